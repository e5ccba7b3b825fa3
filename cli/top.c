/*
 * `hubbub top`: what the stack does, on the whole screen, again every second; until a key or a signal ends it.
 *
 * The surprise: signals are taken by the loop and not by ncurses, so that the terminal is given back in order
 * whichever of them comes.
 */
#include "cli/commands.h"
#include "cli/stats_client.h"
#include "cli/top_feed.h"
#include "cli/top_terminal.h"
#include "cli/top_view.h"
#include "common/exit_code.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NCURSES_NOMACROS
#include <curses.h>

enum {
    ROOMS_ASKED_MAX = 1000,
    SIGNALS = 5,
};

struct top_settings {
    struct stats_place place; /* must stay first */
    uint32_t interval;        /* ms */
};

static const struct config_key keys[] = {
    STATS_PLACE_KEYS(struct top_settings),
    {.name = "interval",
     .type = CONFIG_KEY_DURATION,
     CONFIG_FIELD(struct top_settings, interval),
     .minimum = 100,
     .maximum = 3600000,
     .fallback = "1 s",
     .help = "how often the figures are renewed"},
};

static const struct config_program program = {
    .name = "hubbub top",
    .summary = "shows what a running stack does, live on the whole screen; ? shows the keys",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
    .others = stats_place_others,
    .finish = stats_place_finish,
};

struct top {
    struct loop *loop;
    struct top_settings settings;
    struct top_state state;
    struct top_feed *feed;
    struct loop_timer timer;
    struct loop_watch *input;
    struct loop_signal *signals[SIGNALS];
    unsigned rooms_asked; /* how many at most, in the round that is under way */
    unsigned rooms_limit; /* the same of what is shown */
    bool ask_again;       /* what was asked is not what shall be shown */
    int exit_code;
};

/* -- asking and drawing ----------------------------------------------------------------------- */

static void ask(struct top *top)
{
    const struct top_rows *rooms = &top->state.tables[TOP_TABLE_ROOMS];
    /* One screen more than is shown, for the next page. */
    unsigned limit = rooms->first + 2 * (unsigned)LINES;
    struct buffer lines = {0};

    if (limit > ROOMS_ASKED_MAX)
        limit = ROOMS_ASKED_MAX;
    buffer_printf(&lines, "stats json\nrooms by %s %u json\ngateways json\nbackends json\n",
                  top->state.by_rate ? "rate" : "members", limit);
    top->ask_again = !top_feed_ask(top->feed, buffer_bytes(&lines));
    if (!top->ask_again)
        top->rooms_asked = limit;
    buffer_done(&lines);
}

/* An answer's rows: the array itself, or the one that it holds under that name. */
static void take_rows(struct top *top, enum top_table table, enum top_question question, const char *name)
{
    const json_t *answer = top_feed_answer(top->feed, question);

    top->state.tables[table].rows = json_is_array(answer) ? answer : json_object_get(answer, name);
    top->state.tables[table].error = top_feed_error(top->feed, question);
}

/* Whether the router has left out some for which it would be asked. */
static bool more_rooms(const struct top *top)
{
    size_t loaded = json_array_size(top->state.tables[TOP_TABLE_ROOMS].rows);

    return loaded && loaded == top->rooms_limit && loaded < ROOMS_ASKED_MAX;
}

static void draw(struct top *top)
{
    top->state.stats = top_feed_answer(top->feed, TOP_STATS);
    top->state.trouble = top_feed_trouble(top->feed);
    if (!top->state.trouble && *top_feed_error(top->feed, TOP_STATS))
        top->state.trouble = top_feed_error(top->feed, TOP_STATS);
    take_rows(top, TOP_TABLE_ROOMS, TOP_ROOMS, "rooms");
    top->state.tables[TOP_TABLE_ROOMS].more = more_rooms(top);
    take_rows(top, TOP_TABLE_GATEWAYS, TOP_GATEWAYS, "gateways");
    take_rows(top, TOP_TABLE_BACKENDS, TOP_BACKENDS, "backends");
    top_view_draw(&top->state);
}

static void answered(void *arg)
{
    struct top *top = arg;

    if (!top_feed_trouble(top->feed))
        top->rooms_limit = top->rooms_asked;
    draw(top);
    if (top->ask_again && !top_feed_trouble(top->feed))
        ask(top);
}

static void on_tick(void *arg)
{
    struct top *top = arg;

    if (top->state.paused)
        return;
    ask(top);
    if (top_feed_trouble(top->feed))
        draw(top);
}

/* -- keys ------------------------------------------------------------------------------------- */

static void move_rows(struct top *top, long rows)
{
    struct top_rows *table = &top->state.tables[top->state.focus];
    long first = (long)table->first + rows;

    table->first = first > 0 ? (unsigned)first : 0;
}

static void take_key(struct top *top, int key)
{
    struct top_state *state = &top->state;
    long page = state->tables[state->focus].shown;

    if (state->help && key != 'q') {
        state->help = false;
        return;
    }
    switch (key) {
    case 'q':
        loop_stop(top->loop);
        break;
    case 's':
        state->by_rate = !state->by_rate;
        state->tables[TOP_TABLE_ROOMS].first = 0;
        ask(top);
        break;
    case 'p':
        state->paused = !state->paused;
        if (state->paused)
            top->ask_again = false; /* a tick's, behind the round that is under way */
        else
            ask(top);
        break;
    case '\t':
        state->focus = (state->focus + 1) % TOP_TABLES;
        break;
    case KEY_UP:
        move_rows(top, -1);
        break;
    case KEY_DOWN:
        move_rows(top, 1);
        break;
    case KEY_PPAGE:
        move_rows(top, -page);
        break;
    case KEY_NPAGE:
        move_rows(top, page);
        break;
    case KEY_HOME:
        state->tables[state->focus].first = 0;
        break;
    case '?':
    case 'h':
        state->help = true;
        break;
    default:
        break;
    }
}

/* Whether the rows of a next page have not come yet. */
static bool rooms_run_out(const struct top *top)
{
    const struct top_rows *rooms = &top->state.tables[TOP_TABLE_ROOMS];

    return rooms->more && rooms->first + 2 * rooms->shown > json_array_size(rooms->rows);
}

static void on_input(void *arg, int fd, unsigned ready)
{
    struct top *top = arg;
    struct pollfd terminal = {.fd = fd};
    int key, count = 0;

    (void)ready;
    while ((key = getch()) != ERR) {
        take_key(top, key);
        count++;
    }
    if (count == 0 && poll(&terminal, 1, 0) > 0) {
        /* The terminal is gone, and nobody told us. */
        top->exit_code = EXIT_RUNTIME;
        loop_stop(top->loop);
        return;
    }
    draw(top);
    if (!top->state.paused && rooms_run_out(top))
        ask(top);
}

/* -- signals ---------------------------------------------------------------------------------- */

static void asked_to_stop(void *arg, int number)
{
    struct top *top = arg;

    (void)number;
    loop_stop(top->loop);
}

static void size_changed(void *arg, int number)
{
    struct top *top = arg;
    struct winsize size;

    (void)number;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col)
        resizeterm(size.ws_row, size.ws_col);
    draw(top);
    if (!top->state.paused)
        ask(top); /* for more rows, perhaps */
}

static int take_signals(struct top *top)
{
    static const struct {
        int number;
        loop_signal_callback *callback;
    } wanted[SIGNALS] = {{SIGINT, asked_to_stop},
                         {SIGTERM, asked_to_stop},
                         {SIGHUP, asked_to_stop},
                         {SIGQUIT, asked_to_stop},
                         {SIGWINCH, size_changed}};

    for (unsigned i = 0; i < SIGNALS; i++) {
        top->signals[i] = loop_signal_new(top->loop, wanted[i].number, wanted[i].callback, top);
        if (!top->signals[i])
            return ERROR_SYSTEM;
    }
    return 0;
}

/* -- the command ------------------------------------------------------------------------------ */

/* Watches until the end.  An exit code. */
static int watch(struct top *top)
{
    const char *failed = NULL;

    if (top_terminal_open())
        return EXIT_RUNTIME;
    top->feed = top_feed_new(top->loop, top->settings.place.stats, answered, top);
    top->input = loop_watch_new(top->loop, STDIN_FILENO, LOOP_READ, on_input, top);
    loop_timer_init(&top->timer, top->loop, on_tick, top);
    loop_timer_repeat(&top->timer, top->settings.interval);
    if (!top->input || take_signals(top)) {
        failed = strerror(errno);
    } else {
        on_tick(top);
        draw(top);
        if (loop_run(top->loop))
            failed = strerror(errno);
    }
    top_terminal_close();
    loop_timer_stop(&top->timer);
    loop_watch_free(top->input);
    for (unsigned i = 0; i < SIGNALS; i++)
        loop_signal_free(top->signals[i]);
    top_feed_free(top->feed);
    if (failed)
        fprintf(stderr, "hubbub top: cannot wait for events: %s\n", failed);
    return failed ? EXIT_RUNTIME : top->exit_code;
}

int command_top(int argc, char **argv)
{
    struct top top = {.exit_code = EXIT_OK};
    struct config_result result;
    int exit_code = EXIT_RUNTIME;

    if (config_load(&program, argc, argv, &top.settings, &result))
        return config_report(&result);
    top.state.path = top.settings.place.stats;
    for (unsigned i = 0; i < TOP_TABLES; i++)
        top.state.tables[i].error = "";
    top.loop = loop_new();
    if (top.loop)
        exit_code = watch(&top);
    else
        perror("hubbub top: cannot wait for events");
    loop_free(top.loop);
    config_settings_done(&program, &top.settings);
    return exit_code;
}
