#include "tests/unit/app/played_router.h"

#include "common/clock.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { PATIENCE_MS = 60000, TURN_MS = 20, SILENT_TURNS = 10 };

void router_open(struct played_router *router)
{
    size_t size = sizeof router->endpoint;

    *router = (struct played_router){0};
    router->context = zmq_ctx_new();
    router->socket = zmq_socket(router->context, ZMQ_ROUTER);
    assert_int_equal(zmq_setsockopt(router->socket, ZMQ_LINGER, &(int){0}, sizeof(int)), 0);
    assert_int_equal(zmq_setsockopt(router->socket, ZMQ_SNDHWM, &(int){0}, sizeof(int)), 0);
    assert_int_equal(zmq_bind(router->socket, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(router->socket, ZMQ_LAST_ENDPOINT, router->endpoint, &size), 0);
}

void router_close(struct played_router *router)
{
    hubbub_app_free(router->app);
    for (; router->first < router->last; router->first++)
        free((char *)router->waiting[router->first % PLAYED_BATCHES].data);
    free(router->batch);
    wire_batch_done(&router->out);
    zmq_close(router->socket);
    zmq_ctx_term(router->context);
}

static void take_batch(struct played_router *router, struct bytes batch)
{
    struct wire_reader reader;

    assert_int_equal(wire_reader_open(&reader, batch), 0);
    if (router->broken && reader.number != 1)
        return;
    if (reader.number == 1) {
        router->broken = false;
        router->link = reader.link;
        router->received = router->sent = router->withheld = 0;
        router->links++;
    }
    assert_int_equal(reader.link, router->link);
    assert_int_equal(reader.number, router->received + 1);
    assert_true(reader.acknowledged <= router->sent);
    router->received++;
    router->acknowledged = reader.acknowledged;
    if (reader.records == 0)
        return;
    assert_true(router->last - router->first < PLAYED_BATCHES);
    router->waiting[router->last++ % PLAYED_BATCHES] =
        bytes_make(memcpy(malloc(batch.length), batch.data, batch.length), batch.length);
}

static void receive(struct played_router *router)
{
    zmq_msg_t message;

    while (!router->deaf) {
        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, router->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&message);
            return;
        }
        router->routing_length = zmq_msg_size(&message);
        memcpy(router->routing, zmq_msg_data(&message), router->routing_length);
        assert_true(zmq_msg_more(&message));
        assert_true(zmq_msg_recv(&message, router->socket, 0) >= 0);
        take_batch(router, bytes_make(zmq_msg_data(&message), zmq_msg_size(&message)));
        zmq_msg_close(&message);
    }
}

void router_turn(struct played_router *router)
{
    int timeout = hubbub_app_timeout(router->app);
    zmq_pollitem_t items[] = {{.fd = hubbub_app_fd(router->app), .events = ZMQ_POLLIN},
                              {.socket = router->socket, .events = router->deaf ? 0 : ZMQ_POLLIN}};

    zmq_poll(items, 2, timeout < 0 || timeout > TURN_MS ? TURN_MS : timeout);
    assert_int_equal(hubbub_app_process(router->app), 0);
    receive(router);
}

void router_until(struct played_router *router, bool (*done)(void *argument), void *argument)
{
    uint64_t end = clock_monotonic_ms() + PATIENCE_MS;

    while (!done(argument)) {
        assert_true(clock_monotonic_ms() < end);
        router_turn(router);
    }
}

void router_expect_silence(struct played_router *router)
{
    for (int i = 0; i < SILENT_TURNS; i++)
        router_turn(router);
    assert_int_equal(router->reader.records, 0);
    assert_int_equal(router->first, router->last);
}

static bool has_record(void *argument)
{
    const struct played_router *router = argument;

    return router->reader.records || router->first < router->last;
}

struct wire_reader router_expect(struct played_router *router, enum wire_type type)
{
    unsigned found;

    router_until(router, has_record, router);
    if (router->reader.records == 0) {
        struct bytes batch = router->waiting[router->first++ % PLAYED_BATCHES];

        free(router->batch);
        router->batch = (char *)batch.data;
        assert_int_equal(wire_reader_open(&router->reader, batch), 0);
    }
    assert_int_equal(wire_reader_next(&router->reader, &found), 1);
    if (found != type)
        fail_msg("%s came, not %s", wire_type_name(found), wire_type_name(type));
    return router->reader;
}

void router_send(struct played_router *router)
{
    struct bytes bytes =
        wire_batch_finish(&router->out, router->link, ++router->sent, router->received - router->withheld);

    assert_true(zmq_send(router->socket, router->routing, router->routing_length, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(router->socket, bytes.data, bytes.length, 0) >= 0);
    wire_batch_clear(&router->out);
}

void router_greet(struct played_router *router, uint64_t sockets)
{
    EXPECT(router, SERVE, serve, serve);
    assert_true(serve.incarnation > 0);
    for (uint64_t i = 0; i < sockets; i++)
        (void)router_expect(router, WIRE_TYPE_HOLD);
    EXPECT(router, SERVE_END, serve_end, end);
    assert_int_equal(end.sockets, sockets);
    wire_put_serving(&router->out,
                     &(struct wire_serving){
                         .epoch = BYTES("epoch"), .heartbeat = 1000, .dead = 5000, .max_event = 100000});
}

static bool is_live(void *argument)
{
    return hubbub_app_state(argument) == HUBBUB_LIVE;
}

void router_take_in(struct played_router *router, uint64_t sockets)
{
    router_greet(router, sockets);
    router_send(router);
    router_until(router, is_live, router->app);
}

struct bytes list_of(const char *first, ...)
{
    static struct wire_list lists[4];
    static unsigned at;
    struct wire_list *list = &lists[at++ % 4];
    va_list texts;

    wire_list_clear(list);
    va_start(texts, first);
    for (const char *text = first; text; text = va_arg(texts, const char *))
        wire_list_put_text(list, bytes_from_text(text));
    va_end(texts);
    return wire_list_finish(list);
}

void assert_list(struct bytes list, ...)
{
    struct wire_reader reader = {0};
    int count = wire_list_open(&reader, list), n = 0;
    va_list texts;
    const char *text;

    va_start(texts, list);
    while ((text = va_arg(texts, const char *))) {
        struct bytes element;

        assert_true(n++ < count);
        assert_int_equal(wire_list_text(&reader, &element), 0);
        assert_bytes(element, text);
    }
    va_end(texts);
    assert_int_equal(n, count);
}

void put_connection(struct played_router *router, uint64_t task, enum wire_connection_kind kind,
                    const char *sid)
{
    wire_put_connection(
        &router->out,
        &(struct wire_connection){
            .task = task,
            .kind = kind,
            .namespace = BYTES("/"),
            .sid = bytes_from_text(sid),
            .from = BYTES("someone"),
            .handshake =
                BYTES("{\"headers\":{\"host\":\"h\"},\"time\":\"now\",\"issued\":17,\"address\":\"::1\","
                      "\"secure\":true,\"url\":\"/socket.io/?a=b\",\"query\":{\"a\":\"b\"},"
                      "\"auth\":{\"token\":\"t\\u00e9\"}}")});
}

void put_call(struct played_router *router, uint64_t task, const char *sid, const char *event,
              const char *arguments, bool ack)
{
    wire_put_call(&router->out, &(struct wire_call){.task = task,
                                                    .sid = bytes_from_text(sid),
                                                    .flags = ack ? WIRE_CALL_ACK : 0,
                                                    .event = bytes_from_text(event),
                                                    .arguments = bytes_from_text(arguments)});
}
