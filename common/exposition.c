/*
 * Prometheus' text; see exposition.h.  Both programs fill one for each scrape.  Its one surprising rule: the
 * lines of a family are text at once, kept apart from those of others until the end, so nothing is sorted.
 */
#include "common/exposition.h"

#include "common/memory.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

struct family {
    struct bytes name;
    const char *help; /* NULL so far */
    const char *type;
    struct buffer lines;
};

struct exposition {
    struct family *families;
    unsigned count, capacity;
};

struct exposition *exposition_new(void)
{
    return memory_zero(1, sizeof(struct exposition));
}

void exposition_free(struct exposition *exposition)
{
    if (!exposition)
        return;
    for (unsigned i = 0; i < exposition->count; i++)
        buffer_done(&exposition->families[i].lines);
    free(exposition->families);
    free(exposition);
}

static struct bytes family_of(const char *name)
{
    return bytes_make(name, strcspn(name, "{"));
}

static bool is_counter(struct bytes family)
{
    static const struct bytes suffix = {"_total", 6};

    return family.length > suffix.length &&
           memcmp(family.data + family.length - suffix.length, suffix.data, suffix.length) == 0;
}

/* The family of that name, which is made when there is none. */
static struct family *get_family(struct exposition *exposition, struct bytes name, const char *help)
{
    struct family *family = NULL;

    for (unsigned i = 0; i < exposition->count && !family; i++)
        if (bytes_equal(exposition->families[i].name, name))
            family = &exposition->families[i];
    if (!family) {
        if (exposition->count == exposition->capacity) {
            exposition->capacity = exposition->capacity ? exposition->capacity * 2 : 64;
            exposition->families =
                memory_resize(exposition->families, exposition->capacity * sizeof *exposition->families);
        }
        family = &exposition->families[exposition->count++];
        *family = (struct family){.name = name, .type = is_counter(name) ? "counter" : "gauge"};
    }
    if (!family->help)
        family->help = help;
    return family;
}

void exposition_describe(struct exposition *exposition, const char *family, const char *help)
{
    get_family(exposition, bytes_from_text(family), help);
}

static void append_escaped(struct buffer *out, struct bytes text, bool quotes)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];

        if (c == '\n')
            buffer_append_literal(out, "\\n");
        else if (c == '\\' || (quotes && c == '"')) {
            buffer_append_char(out, '\\');
            buffer_append_char(out, c);
        } else
            buffer_append_char(out, c);
    }
}

static void append_label(struct buffer *out, struct bytes label, struct bytes value)
{
    buffer_append_char(out, '{');
    buffer_append_bytes(out, label);
    buffer_append_literal(out, "=\"");
    append_escaped(out, value, true);
    buffer_append_literal(out, "\"}");
}

/* Begins a sample's line: all but its value.  The family's buffer. */
static struct buffer *begin_line(struct exposition *exposition, const char *name, const char *help)
{
    struct bytes family_name = family_of(name);
    const char *brace = name[family_name.length] ? name + family_name.length : NULL;
    struct buffer *lines = &get_family(exposition, family_name, brace ? NULL : help)->lines;

    buffer_append_bytes(lines, family_name);
    if (brace) {
        const char *value = strchr(brace, '='), *end = strrchr(brace, '}');

        assert(value && end && value < end);
        append_label(lines, bytes_make(brace + 1, (size_t)(value - brace - 1)),
                     bytes_make(value + 1, (size_t)(end - value - 1)));
    }
    buffer_append_char(lines, ' ');
    return lines;
}

static void end_line(struct buffer *lines, uint64_t value)
{
    buffer_append_u64(lines, value);
    buffer_append_char(lines, '\n');
}

/* Never negative. */
static void end_line_real(struct buffer *lines, double value)
{
    if (value == (double)(uint64_t)value) /* whole: all of its digits */
        end_line(lines, (uint64_t)value);
    else
        buffer_printf(lines, "%.12g\n", value);
}

void exposition_add(struct exposition *exposition, const char *name, const char *help, uint64_t value)
{
    end_line(begin_line(exposition, name, help), value);
}

void exposition_add_real(struct exposition *exposition, const char *name, const char *help, double value)
{
    end_line_real(begin_line(exposition, name, help), value);
}

void exposition_add_labelled(struct exposition *exposition, const char *family, const char *label,
                             struct bytes value, uint64_t number)
{
    struct buffer *lines = &get_family(exposition, bytes_from_text(family), NULL)->lines;

    buffer_append_text(lines, family);
    append_label(lines, bytes_from_text(label), value);
    buffer_append_char(lines, ' ');
    end_line(lines, number);
}

void exposition_add_histogram(struct exposition *exposition, const char *name, const char *help,
                              const struct histogram *histogram)
{
    const struct histogram_bounds *bounds = histogram->bounds;
    struct family *family = get_family(exposition, bytes_from_text(name), help);
    uint64_t count = 0;

    family->type = "histogram";
    for (unsigned i = 0; i < bounds->count; i++) {
        count += histogram->counts[i];
        buffer_printf(&family->lines, "%s_bucket{le=\"%.9g\"} ", name,
                      (double)bounds->upper[i] / (double)bounds->divisor);
        end_line(&family->lines, count);
    }
    count += histogram->counts[bounds->count];
    buffer_printf(&family->lines, "%s_bucket{le=\"+Inf\"} ", name);
    end_line(&family->lines, count);
    buffer_printf(&family->lines, "%s_sum ", name);
    end_line_real(&family->lines, (double)histogram->sum / (double)bounds->divisor);
    buffer_printf(&family->lines, "%s_count ", name);
    end_line(&family->lines, count);
}

void exposition_append(const struct exposition *exposition, struct buffer *out)
{
    for (unsigned i = 0; i < exposition->count; i++) {
        const struct family *family = &exposition->families[i];

        if (!family->lines.length)
            continue;
        buffer_append_literal(out, "# HELP ");
        buffer_append_bytes(out, family->name);
        buffer_append_char(out, ' ');
        append_escaped(out, family->help ? bytes_from_text(family->help) : family->name, false);
        buffer_append_literal(out, "\n# TYPE ");
        buffer_append_bytes(out, family->name);
        buffer_printf(out, " %s\n", family->type);
        buffer_append_bytes(out, buffer_bytes(&family->lines));
    }
}
