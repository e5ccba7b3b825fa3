/*
 * The screen of the live view; see top_view.h.
 *
 * The surprise: every line is made as one text of exactly the screen's width, since ncurses would wrap, and
 * what it can't show would move what follows.
 */
#include "cli/top_view.h"

#include "cli/screen_text.h"
#include "cli/top_figures.h"

/* Its functions without a window are macros that hide what they evaluate. */
#define NCURSES_NOMACROS
#include <curses.h>
#include <string.h>

enum {
    NAME_WIDTH_MIN = 14,
    FOOT_FROM = 6,   /* lines of a screen that has room for the foot */
    TABLES_FROM = 9, /* lines of a body in which several tables have room */
    REST = 4,        /* gateways and backends take a part in so many of the body each */
};

enum kind { KIND_TEXT, KIND_STATE, KIND_COUNT, KIND_BYTES, KIND_RATE, KIND_LIST };

struct column {
    const char *title;
    const char *field;
    enum kind kind;
    unsigned width; /* 0: all that the others leave; the first column of a table */
};

struct table {
    const struct column *columns;
    unsigned count;
    const char *nothing; /* what stands in an empty one */
};

static const struct column room_columns[] = {
    {"ROOM", "name", KIND_TEXT, 0},  {"MEMBERS", "members", KIND_COUNT, 8},
    {"MSG/S", "rate", KIND_RATE, 8}, {"GATEWAYS", "gateways", KIND_COUNT, 8},
    {"SEQ", "seq", KIND_COUNT, 9},   {"NAMESPACE", "namespace", KIND_TEXT, 12},
};
static const struct column gateway_columns[] = {
    {"GATEWAY", "name", KIND_TEXT, 0},
    {"STATE", "state", KIND_STATE, 9},
    {"CONNS", "connections", KIND_COUNT, 8},
    {"SOCKETS", "sockets", KIND_COUNT, 8},
    {"UNACKED", "unacknowledged_bytes", KIND_BYTES, 9},
    {"VERSION", "version", KIND_TEXT, 10},
};
static const struct column backend_columns[] = {
    {"BACKEND", "name", KIND_TEXT, 0},
    {"STATE", "state", KIND_STATE, 9},
    {"SOCKETS", "sockets", KIND_COUNT, 8},
    {"TASKS", "tasks", KIND_COUNT, 8},
    {"UNACKED", "unacknowledged_bytes", KIND_BYTES, 9},
    {"NAMESPACES", "namespaces", KIND_LIST, 16},
};

#define TABLE(columns, nothing)                                                                              \
    {                                                                                                        \
        columns, sizeof columns / sizeof *columns, nothing                                                   \
    }

static const struct table tables[TOP_TABLES] = {
    [TOP_TABLE_ROOMS] = TABLE(room_columns, "no rooms"),
    [TOP_TABLE_GATEWAYS] = TABLE(gateway_columns, "no gateways"),
    [TOP_TABLE_BACKENDS] = TABLE(backend_columns, "no backends"),
};

static const char *const help_lines[] = {
    "q, Ctrl-C      quit",
    "s              sort rooms by members, or by messages a second",
    "p              pause: nothing is asked until p again",
    "Tab            the next table: arrows and pages move its rows",
    "Up, Down       one row",
    "Page Up, Down  as many rows as are shown",
    "Home           the first row",
    "? or h         this page; any key leaves it",
};

/* -- lines ------------------------------------------------------------------------------------ */

/* Draws a line of exactly the screen's width. */
static void draw_line(unsigned at, struct bytes text, attr_t attributes)
{
    struct buffer line = {0};

    screen_text_fit(&line, text, (unsigned)COLS, SCREEN_LEFT);
    buffer_append_char(&line, '\0');
    attrset(attributes);
    mvaddstr((int)at, 0, line.data);
    attrset(A_NORMAL);
    buffer_done(&line);
}

/* The same with something at its right end, which goes first when there is no room for both. */
static void draw_both_ends(unsigned at, struct bytes left, struct bytes right, attr_t attributes)
{
    struct buffer line = {0};
    unsigned columns = (unsigned)COLS;
    bool both = left.length + right.length + 1 < columns;

    screen_text_fit(&line, left, both ? columns - (unsigned)right.length : columns, SCREEN_LEFT);
    if (both)
        buffer_append_bytes(&line, right);
    draw_line(at, buffer_bytes(&line), attributes);
    buffer_done(&line);
}

/* -- the head --------------------------------------------------------------------------------- */

static unsigned draw_head(const struct top_state *state, unsigned lines)
{
    struct buffer title = {0}, texts[3] = {{0}};
    unsigned at = 0;

    top_figures_title(&title, state->stats);
    top_figures_clients(&texts[0], state->stats, state->tables[TOP_TABLE_GATEWAYS].rows);
    top_figures_messages(&texts[1], state->stats);
    top_figures_storage(&texts[2], state->stats);
    draw_both_ends(at++, buffer_bytes(&title), bytes_from_text(state->paused ? "PAUSED " : ""), A_BOLD);
    if (state->trouble && at < lines)
        draw_line(at++, bytes_from_text(state->trouble), A_REVERSE | A_BOLD);
    for (unsigned i = 0; i < 3; i++) {
        if (at < lines)
            draw_line(at++, buffer_bytes(&texts[i]), A_NORMAL);
        buffer_done(&texts[i]);
    }
    buffer_done(&title);
    return at;
}

/* -- tables ----------------------------------------------------------------------------------- */

static void append_list(struct buffer *out, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (i)
            buffer_append_char(out, ',');
        buffer_append_bytes(out, bytes_from_text(json_string_value(json_array_get(list, i))));
    }
}

static void append_cell(struct buffer *out, const struct column *column, const json_t *row, unsigned width)
{
    const json_t *value = json_object_get(row, column->field);
    struct buffer text = {0};
    enum screen_align align = SCREEN_RIGHT;

    switch (column->kind) {
    case KIND_TEXT:
        buffer_append(&text, json_string_value(value), json_string_length(value));
        align = SCREEN_LEFT;
        break;
    case KIND_STATE:
        if (json_is_true(json_object_get(row, "draining")))
            buffer_append_literal(&text, "draining");
        else
            buffer_append_bytes(&text, bytes_from_text(json_string_value(value)));
        align = SCREEN_LEFT;
        break;
    case KIND_LIST:
        append_list(&text, value);
        align = SCREEN_LEFT;
        break;
    case KIND_COUNT:
        top_figures_count(&text, json_number_value(value));
        break;
    case KIND_BYTES:
        top_figures_bytes(&text, json_number_value(value));
        break;
    case KIND_RATE:
        buffer_printf(&text, "%.1f", json_number_value(value));
        break;
    }
    screen_text_fit(out, buffer_bytes(&text), width, align);
    buffer_done(&text);
}

/* How many columns have room, and how wide the first one becomes. */
static unsigned fitting_columns(const struct table *table, unsigned *first_width)
{
    unsigned count = table->count, width;

    for (;; count--) {
        width = 0;
        for (unsigned i = 1; i < count; i++)
            width += table->columns[i].width + 1;
        if (count == 1 || width + NAME_WIDTH_MIN <= (unsigned)COLS)
            break;
    }
    *first_width = (unsigned)COLS - width;
    return count;
}

static void draw_title(const struct top_state *state, enum top_table which, unsigned first, unsigned at)
{
    const struct table *table = &tables[which];
    struct buffer line = {0}, name = {0};
    unsigned width, count = fitting_columns(table, &width);
    const struct top_rows *rows = &state->tables[which];
    size_t all = json_array_size(rows->rows);

    buffer_append_text(&name, table->columns[0].title);
    if (all > rows->shown && all)
        buffer_printf(&name, "  %u-%u of %zu%s", first + 1, first + rows->shown, all, rows->more ? "+" : "");
    screen_text_fit(&line, buffer_bytes(&name), width, SCREEN_LEFT);
    for (unsigned i = 1; i < count; i++) {
        const struct column *column = &table->columns[i];
        bool text = column->kind == KIND_TEXT || column->kind == KIND_STATE || column->kind == KIND_LIST;
        struct buffer title = {0};
        bool sorted =
            which == TOP_TABLE_ROOMS && strcmp(column->field, state->by_rate ? "rate" : "members") == 0;

        buffer_printf(&title, "%s%s", sorted ? ">" : "", column->title);
        buffer_append_char(&line, ' ');
        screen_text_fit(&line, buffer_bytes(&title), column->width, text ? SCREEN_LEFT : SCREEN_RIGHT);
        buffer_done(&title);
    }
    draw_line(at, buffer_bytes(&line), A_REVERSE | (state->focus == which ? A_BOLD : A_NORMAL));
    buffer_done(&line);
    buffer_done(&name);
}

static void draw_row(const struct table *table, const json_t *row, unsigned at)
{
    struct buffer line = {0};
    unsigned width, count = fitting_columns(table, &width);

    for (unsigned i = 0; i < count; i++) {
        if (i)
            buffer_append_char(&line, ' ');
        append_cell(&line, &table->columns[i], row, i ? table->columns[i].width : width);
    }
    draw_line(at, buffer_bytes(&line), A_NORMAL);
    buffer_done(&line);
}

/* A title and rows in that many lines. */
static void draw_table(struct top_state *state, enum top_table which, unsigned at, unsigned lines)
{
    struct top_rows *rows = &state->tables[which];
    unsigned all = (unsigned)json_array_size(rows->rows), first = rows->first;

    rows->shown = lines - 1 < all ? lines - 1 : all;
    if (first > all - rows->shown)
        first = all - rows->shown;
    if (!rows->more)
        rows->first = first;
    draw_title(state, which, first, at++);
    for (unsigned i = 0; i < rows->shown; i++)
        draw_row(&tables[which], json_array_get(rows->rows, first + i), at++);
    if (lines > 1 && *rows->error)
        draw_line(at, bytes_from_text(rows->error), A_BOLD);
    else if (lines > 1 && all == 0 && rows->rows)
        draw_line(at, bytes_from_text(tables[which].nothing), A_DIM);
}

/* Lines of a table that shall have all its rows, but at most that many. */
static unsigned lines_wanted(const struct top_rows *rows, unsigned maximum)
{
    unsigned lines = (unsigned)json_array_size(rows->rows) + 1;

    if (lines == 1)
        lines = 2; /* an empty one says so, or what is wrong */
    return lines < maximum ? lines : maximum;
}

static void draw_tables(struct top_state *state, unsigned at, unsigned lines)
{
    const struct top_rows *rooms = &state->tables[TOP_TABLE_ROOMS];
    unsigned taken[TOP_TABLES] = {0};
    bool backends = json_array_size(state->tables[TOP_TABLE_BACKENDS].rows) > 0;

    for (unsigned i = 0; i < TOP_TABLES; i++)
        state->tables[i].shown = 0;
    if (lines < TABLES_FROM) {
        /* One table, the one that is looked at. */
        if (lines)
            draw_table(state, state->focus, at, lines);
        return;
    }
    taken[TOP_TABLE_GATEWAYS] = lines_wanted(&state->tables[TOP_TABLE_GATEWAYS], lines / REST + 1);
    if (backends || state->focus == TOP_TABLE_BACKENDS)
        taken[TOP_TABLE_BACKENDS] = lines_wanted(&state->tables[TOP_TABLE_BACKENDS], lines / REST + 1);
    taken[TOP_TABLE_ROOMS] = lines - taken[TOP_TABLE_GATEWAYS] - taken[TOP_TABLE_BACKENDS];
    /* What rooms do not need goes to the gateways. */
    if (lines_wanted(rooms, lines) < taken[TOP_TABLE_ROOMS]) {
        unsigned spare = taken[TOP_TABLE_ROOMS] - lines_wanted(rooms, lines);

        taken[TOP_TABLE_ROOMS] -= spare;
        taken[TOP_TABLE_GATEWAYS] =
            lines_wanted(&state->tables[TOP_TABLE_GATEWAYS], taken[TOP_TABLE_GATEWAYS] + spare);
    }
    for (unsigned i = 0; i < TOP_TABLES; i++) {
        if (taken[i])
            draw_table(state, i, at, taken[i]);
        at += taken[i];
    }
}

/* -- the screen ------------------------------------------------------------------------------- */

static void draw_help(unsigned lines)
{
    unsigned at = 0;

    draw_line(at++, BYTES("hubbub top: the keys"), A_BOLD);
    for (unsigned i = 0; i < sizeof help_lines / sizeof *help_lines && at < lines; i++)
        draw_line(at++, bytes_from_text(help_lines[i]), A_NORMAL);
}

void top_view_draw(struct top_state *state)
{
    unsigned lines = (unsigned)LINES, head, body = lines;

    erase();
    if (state->help) {
        draw_help(lines);
    } else {
        if (lines >= FOOT_FROM) {
            struct buffer keys = {0};

            body = lines - 1;
            buffer_printf(&keys, "q quit  s sort by %s  p %s  Tab, arrows, pages  ? help",
                          state->by_rate ? "members" : "rate", state->paused ? "go on" : "pause");
            draw_both_ends(body, buffer_bytes(&keys), bytes_from_text(state->path), A_DIM);
            buffer_done(&keys);
        }
        head = draw_head(state, body);
        draw_tables(state, head, body - head);
    }
    move(lines ? (int)lines - 1 : 0, 0);
    refresh();
}
