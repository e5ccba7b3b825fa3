/*
 * The stats document on jansson; see stats_tree.h.  stats.c fills it anew for each command.  Its one
 * surprising rule: an object that would be empty is there all the same once stats_tree_labels() was asked for
 * it, so that readers of the JSON always find it.
 */
#include "router/stats_tree.h"

#include "common/memory.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_MAX_LENGTH = 128, PATH_MAX_LENGTH = 256 };

struct stats_tree {
    json_t *root;
    json_t *metrics; /* in root */
};

struct stats_tree *stats_tree_new(void)
{
    struct stats_tree *tree = memory_zero(1, sizeof *tree);

    tree->root = json_object();
    tree->metrics = json_object();
    return tree;
}

void stats_tree_free(struct stats_tree *tree)
{
    if (!tree)
        return;
    json_decref(tree->root);
    json_decref(tree->metrics);
    free(tree);
}

static json_t *get_object(json_t *parent, const char *name)
{
    json_t *object = json_object_get(parent, name);

    if (!object) {
        object = json_object();
        json_object_set_new(parent, name, object);
    }
    return object;
}

static void set(struct stats_tree *tree, const char *path, json_t *value)
{
    json_t *parent = tree->root;
    char name[NAME_MAX_LENGTH];
    size_t length;

    while (path[length = strcspn(path, ".")]) {
        snprintf(name, sizeof name, "%.*s", (int)length, path);
        parent = get_object(parent, name);
        path += length + 1;
    }
    json_object_set_new(parent, path, value);
}

void stats_tree_number(struct stats_tree *tree, const char *path, uint64_t value)
{
    set(tree, path, json_integer((json_int_t)value));
}

void stats_tree_real(struct stats_tree *tree, const char *path, double value)
{
    set(tree, path, json_real(value));
}

void stats_tree_text(struct stats_tree *tree, const char *path, const char *value)
{
    set(tree, path, json_string(value));
}

void stats_tree_flag(struct stats_tree *tree, const char *path, bool value)
{
    set(tree, path, json_boolean(value));
}

void stats_tree_count(struct stats_tree *tree, const char *metric, uint64_t value)
{
    json_object_set_new(tree->metrics, metric,
                        json_integer((json_int_t)(value + stats_tree_metric(tree, metric))));
}

void stats_tree_measure(struct stats_tree *tree, const char *metric, double value)
{
    json_object_set_new(tree->metrics, metric, json_real(value));
}

uint64_t stats_tree_metric(const struct stats_tree *tree, const char *metric)
{
    return (uint64_t)json_integer_value(json_object_get(tree->metrics, metric));
}

void stats_tree_labels(struct stats_tree *tree, const char *path, const char *family)
{
    json_t *object = get_object(tree->root, path);
    size_t length = strlen(family);
    const char *metric;
    json_t *value;

    json_object_foreach(tree->metrics, metric, value)
    {
        const char *label =
            strncmp(metric, family, length) == 0 && metric[length] == '{' ? strchr(metric, '=') : NULL;
        char name[NAME_MAX_LENGTH];

        if (!label || json_integer_value(value) == 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(label + 1, "}"), label + 1);
        json_object_set(object, name, value);
    }
}

static void append_value(struct buffer *out, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));

    buffer_append_text(out, text ? text : "null");
    free(text);
}

void stats_tree_append_json(struct buffer *out, const struct stats_tree *tree)
{
    json_t *whole = json_copy(tree->root);

    json_object_set(whole, "metrics", tree->metrics);
    append_value(out, whole);
    json_decref(whole);
}

static void append_lines(struct buffer *out, json_t *object, const char *prefix)
{
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
    {
        char path[PATH_MAX_LENGTH];

        snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "." : "", name);
        if (json_is_object(value)) {
            append_lines(out, value, path);
            continue;
        }
        buffer_printf(out, "%s ", path);
        if (json_is_string(value))
            buffer_append_text(out, json_string_value(value));
        else if (json_is_real(value))
            buffer_printf(out, "%.3f", json_real_value(value));
        else
            append_value(out, value);
        buffer_append_char(out, '\n');
    }
}

void stats_tree_append_lines(struct buffer *out, const struct stats_tree *tree)
{
    append_lines(out, tree->root, "");
}

void stats_tree_append_part(struct buffer *out, const struct stats_tree *tree, const char *path, bool json)
{
    json_t *object = json_object_get(tree->root, path);

    if (json)
        append_value(out, object);
    else
        append_lines(out, object, "");
}
