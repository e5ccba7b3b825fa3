/*
 * Draws the live view with ncurses: a head with totals, the tables of rooms, gateways and backends, and a foot
 * with the keys.  What does not fit is left out: columns from the right, tables from below.
 */
#ifndef HUBBUB_CLI_TOP_VIEW_H
#define HUBBUB_CLI_TOP_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum top_table { TOP_TABLE_ROOMS, TOP_TABLE_GATEWAYS, TOP_TABLE_BACKENDS, TOP_TABLES };

/* What one table is drawn from. */
struct top_rows {
    const json_t *rows; /* an array of objects, or NULL */
    const char *error;  /* shown in place of rows when it is not empty */
    bool more;          /* there may be rows behind them that have not come yet */
    unsigned first; /* the row that shall be at the top, counted from 0; corrected when there is no more */
    unsigned shown; /* set by the view: how many rows had room */
};

struct top_state {
    const char *path;    /* of the stats socket */
    const char *trouble; /* why the figures are old, or NULL */
    const json_t *stats; /* the router's document, or NULL */
    struct top_rows tables[TOP_TABLES];
    enum top_table focus; /* whose rows the arrows move */
    bool by_rate;         /* how rooms are sorted: by members else */
    bool paused, help;
};

/* Draws the whole screen, at its present size. */
void top_view_draw(struct top_state *state);

#endif
