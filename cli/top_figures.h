/* The figures of the live view as texts: one line each, without line end, from the router's stats document. */
#ifndef HUBBUB_CLI_TOP_FIGURES_H
#define HUBBUB_CLI_TOP_FIGURES_H

#include "common/buffer.h"

#include <jansson.h>

/* A number in five characters or a few more: 98765, 123k, 12.3M. */
void top_figures_count(struct buffer *out, double value);

/* Bytes with a unit, powers of 1024: 512 B, 1.5 MB. */
void top_figures_bytes(struct buffer *out, double value);

/* Each appends its line.  stats: the document, or NULL for one that has not come yet; gateways: the rows of the
 * list of gateways, or NULL. */
void top_figures_title(struct buffer *out, const json_t *stats);
void top_figures_clients(struct buffer *out, const json_t *stats, const json_t *gateways);
void top_figures_messages(struct buffer *out, const json_t *stats);
void top_figures_storage(struct buffer *out, const json_t *stats);

#endif
