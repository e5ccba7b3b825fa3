/*
 * What /metrics answers with: Prometheus' text format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 * Samples may be added in any order: those of one family (a name without its labels) come out together,
 * behind its HELP and TYPE.  A name is FAMILY or FAMILY{LABEL=VALUE} as the tables of counters have it, with
 * the value up to the last brace; quotes and escapes are made here.  A family that ends in _total is a
 * counter, any other a gauge, but for histograms.
 */
#ifndef HUBBUB_COMMON_EXPOSITION_H
#define HUBBUB_COMMON_EXPOSITION_H

#include "common/buffer.h"
#include "common/histogram.h"

#include <stdint.h>

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct exposition;

struct exposition *exposition_new(void);
void exposition_free(struct exposition *exposition);

/* The help of a family, before its samples; it does not have to get any.  Both texts are borrowed until
 * exposition_append(). */
void exposition_describe(struct exposition *exposition, const char *family, const char *help);

/* One sample.  help (borrowed) is the family's if it has none yet; a name with a label does not give one. */
void exposition_add(struct exposition *exposition, const char *name, const char *help, uint64_t value);
void exposition_add_real(struct exposition *exposition, const char *name, const char *help,
                         double value); /* from 0 to 2^63 */

/* One sample of a family that was described; value is any text in UTF-8. */
void exposition_add_labelled(struct exposition *exposition, const char *family, const char *label,
                             struct bytes value, uint64_t number);

/* All samples of a histogram. */
void exposition_add_histogram(struct exposition *exposition, const char *name, const char *help,
                              const struct histogram *histogram);

/* Appends the text; families without a sample are left out.  The help of one that was not described is its
 * name. */
void exposition_append(const struct exposition *exposition, struct buffer *out);

#endif
