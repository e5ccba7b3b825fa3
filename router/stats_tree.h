/*
 * A document of named values, shown as JSON or as lines of text.
 *
 * Paths are names joined by dots; what leads to a value is made as needed.  Besides there are metrics: one
 * flat object under the key "metrics", which only the JSON shows.  (Jansson is behind this header: its names
 * are those of proto/json_value.h.)
 */
#ifndef HUBBUB_ROUTER_STATS_TREE_H
#define HUBBUB_ROUTER_STATS_TREE_H

#include "common/buffer.h"

#include <stdbool.h>
#include <stdint.h>

struct stats_tree;

struct stats_tree *stats_tree_new(void);
void stats_tree_free(struct stats_tree *tree);

/* Each replaces what is there.  Texts are UTF-8 and copied. */
void stats_tree_number(struct stats_tree *tree, const char *path, uint64_t value);
void stats_tree_real(struct stats_tree *tree, const char *path, double value);
void stats_tree_text(struct stats_tree *tree, const char *path, const char *value);
void stats_tree_flag(struct stats_tree *tree, const char *path, bool value);

/* Adds to the metric of that name, family or family{label=value}. */
void stats_tree_count(struct stats_tree *tree, const char *metric, uint64_t value);
void stats_tree_measure(struct stats_tree *tree, const char *metric, double value);

/* 0 when there is none. */
uint64_t stats_tree_metric(const struct stats_tree *tree, const char *metric);

/* Copies the metrics of one family that are not 0 to path.VALUE, where VALUE is that of their label. */
void stats_tree_labels(struct stats_tree *tree, const char *path, const char *family);

/* Appends the document on one line, without line end. */
void stats_tree_append_json(struct buffer *out, const struct stats_tree *tree);

/* Appends the object at that path alone, as JSON on one line without line end, or as lines with their names in
   it. */
void stats_tree_append_part(struct buffer *out, const struct stats_tree *tree, const char *path, bool json);

/* Appends a line "path value" for each value. */
void stats_tree_append_lines(struct buffer *out, const struct stats_tree *tree);

#endif
