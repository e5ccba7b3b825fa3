/*
 * The questions on their way; see ask.h.  Its one surprising rule: a question outlives a link that merely
 * broke, until its time is over, because a gateway that comes back with a new link says so by ending the old
 * one.
 */
#include "router/ask.h"

#include "common/memory.h"
#include "proto/utf8.h"

#include <stdlib.h>

struct ask {
    struct ask *previous, *next; /* of all */
    struct router *router;
    const struct gateway_link *link; /* it ends with it: ask_forget() */
    uint64_t number;
    struct loop_timer timer;
    ask_done *done;
    void *argument;
};

void ask_cancel(struct ask *ask)
{
    if (ask->previous)
        ask->previous->next = ask->next;
    else
        ask->router->asks = ask->next;
    if (ask->next)
        ask->next->previous = ask->previous;
    else
        ask->router->newest_ask = ask->previous;
    loop_timer_stop(&ask->timer);
    free(ask);
}

static void finish(struct ask *ask, int result, struct bytes handshake)
{
    ask_done *done = ask->done;
    void *argument = ask->argument;

    ask_cancel(ask);
    done(argument, result, handshake);
}

static void on_timeout(void *arg)
{
    finish(arg, ERROR_AGAIN, (struct bytes){0});
}

/* socket: 0 for the gateway itself. */
static int start(struct router *router, struct gateway_link *link, uint64_t socket, ask_done *done,
                 void *argument, struct ask **out)
{
    struct wire_batch *batch = link_out(link);
    struct ask *ask;

    if (!batch)
        return ERROR_CLOSED;
    ask = memory_zero(1, sizeof *ask);
    ask->router = router;
    ask->link = link;
    ask->number = ++router->last_ask;
    ask->done = done;
    ask->argument = argument;
    /* Answers come nearly in order: the oldest first. */
    ask->previous = router->newest_ask;
    if (ask->previous)
        ask->previous->next = ask;
    else
        router->asks = ask;
    router->newest_ask = ask;
    loop_timer_init(&ask->timer, router->loop, on_timeout, ask);
    loop_timer_start(&ask->timer, router->settings->dead);
    wire_put_ask(batch, &(struct wire_ask){.ask = ask->number, .socket = socket});
    *out = ask;
    return 0;
}

int ask_start(struct router *router, const struct session *session, ask_done *done, void *argument,
              struct ask **out)
{
    return start(router, session->link, session->socket, done, argument, out);
}

int ask_configuration(struct router *router, struct gateway_link *link, ask_done *done, void *argument,
                      struct ask **out)
{
    return start(router, link, 0, done, argument, out);
}

/* It is shown to people line by line. */
static bool is_one_line(struct bytes text)
{
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char)text.data[i] < ' ')
            return false;
    return utf8_valid(text);
}

int ask_told(struct router *router, const struct gateway_link *link, const struct wire_told *record)
{
    if (!is_one_line(record->handshake))
        return ERROR_MALFORMED;
    for (struct ask *ask = router->asks; ask; ask = ask->next)
        if (ask->number == record->ask && ask->link == link) {
            finish(ask, record->handshake.length ? 0 : ERROR_NOT_FOUND, record->handshake);
            break;
        }
    return 0;
}

void ask_forget(struct router *router, const struct gateway_link *link)
{
    struct ask *ask = router->asks;

    while (ask) {
        if (ask->link == link) {
            finish(ask, ERROR_CLOSED, (struct bytes){0});
            ask = router->asks; /* the callback may have changed the list */
        } else {
            ask = ask->next;
        }
    }
}
