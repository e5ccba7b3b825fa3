/* A router that the test plays, at the other end of an app's link; and the turns of both. */
#ifndef HUBBUB_TESTS_UNIT_APP_PLAYED_ROUTER_H
#define HUBBUB_TESTS_UNIT_APP_PLAYED_ROUTER_H

#include "app/hubbub.h"
#include "proto/wire.h"
#include "tests/unit/common/test.h"

enum { PLAYED_BATCHES = 4096 };

struct played_router {
    void *context, *socket;
    char endpoint[64];
    struct hubbub_app *app;
    char routing[256]; /* of the present link */
    size_t routing_length;
    uint64_t link, sent, received, acknowledged;
    unsigned links;    /* so far */
    bool deaf;         /* reads nothing, and so acknowledges nothing */
    bool broken;       /* the present link is as good as gone: whatever is still said on it counts no more */
    uint64_t withheld; /* acknowledges so many batches less than it has read, on this link */
    struct wire_batch out;
    struct wire_reader reader; /* of the batch that is being read */
    char *batch;
    struct bytes waiting[PLAYED_BATCHES]; /* a ring of those behind it */
    size_t first, last;
};

/* An app with the served namespaces "/" and "/dyn-*" is to be made with router->endpoint. */
void router_open(struct played_router *router);

/* Frees the app, too. */
void router_close(struct played_router *router);

/* One turn of both.  Waits for at most some milliseconds when there is nothing to do. */
void router_turn(struct played_router *router);

/* Turns until done(argument). */
void router_until(struct played_router *router, bool (*done)(void *argument), void *argument);

/* Some turns, in which nothing must come. */
void router_expect_silence(struct played_router *router);

/* The next record, which must be of that type. */
struct wire_reader router_expect(struct played_router *router, enum wire_type type);

/* Sends what wire_put_...(&router->out) has written. */
void router_send(struct played_router *router);

/* Waits for a hello with so many sockets, and answers it. */
void router_take_in(struct played_router *router, uint64_t sockets);

/* The same, but SERVING is only in the batch. */
void router_greet(struct played_router *router, uint64_t sockets);

/* Puts a list of texts into a LIST field; at most 8, NULL at the end.  Valid until the call after the next
 * three. */
struct bytes list_of(const char *first, ...) __attribute__((sentinel));

/* Puts CONNECTION. */
void put_connection(struct played_router *router, uint64_t task, enum wire_connection_kind kind,
                    const char *sid);

/* Puts CALL in the name of that socket; with ack it wants an answer. */
void put_call(struct played_router *router, uint64_t task, const char *sid, const char *event,
              const char *arguments, bool ack);

/* Fetches the record that must be next: EXPECT(&router, HANDLED, handled, record). */
#define EXPECT(router, NAME, name, record)                                                                   \
    struct wire_##name record;                                                                               \
    do {                                                                                                     \
        struct wire_reader expect_reader = router_expect((router), WIRE_TYPE_##NAME);                        \
                                                                                                             \
        assert_int_equal(wire_get_##name(&expect_reader, &(record)), 0);                                     \
    } while (0)

#define assert_bytes(actual, text)                                                                           \
    do {                                                                                                     \
        struct bytes assert_left = (actual);                                                                 \
                                                                                                             \
        assert_int_equal(assert_left.length, strlen(text));                                                  \
        assert_memory_equal(assert_left.data, text, strlen(text));                                           \
    } while (0)

/* Whether a LIST field has exactly these texts; NULL at the end. */
void assert_list(struct bytes list, ...) __attribute__((sentinel));

#endif
