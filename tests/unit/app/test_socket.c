/* Sockets: how they arrive, what they tell, what is done to them, and how they go. */
#include "tests/unit/app/fixture.h"

#include <stdlib.h>
#include <string.h>

static struct hubbub_socket *asked;

static void keep_asked(void *user, struct hubbub_socket *socket)
{
    tell(user, "connecting", hubbub_socket_id(socket));
    asked = socket;
}

static void accept_with_data(void *user, struct hubbub_socket *socket)
{
    (void)user;
    assert_false(hubbub_socket_connected(socket));
    assert_int_equal(hubbub_socket_set_data(socket, " {\"name\": 1} "), 0);
    assert_int_equal(hubbub_accept(socket), 0);
    assert_int_equal(hubbub_accept(socket), HUBBUB_ERROR_STATE);
    assert_int_equal(hubbub_reject(socket, "no", NULL), HUBBUB_ERROR_STATE);
}

static void reject_at_once(void *user, struct hubbub_socket *socket)
{
    (void)user;
    assert_int_equal(hubbub_reject(socket, "no", "{"), HUBBUB_ERROR_JSON);
    assert_int_equal(hubbub_reject(socket, "not \"authorized\"", "{\"code\":1}"), 0);
    assert_int_equal(hubbub_accept(socket), HUBBUB_ERROR_GONE);
    assert_int_equal(hubbub_reject(socket, "again", NULL), HUBBUB_ERROR_GONE);
    assert_null(hubbub_socket_find(hubbub_socket_app(socket), "s"));
}

static void say_connection(void *user, struct hubbub_socket *socket)
{
    tell(user, "connection", hubbub_socket_id(socket));
    assert_int_equal(hubbub_socket_emit(socket, "welcome", NULL), 0);
}

static void say_disconnect(void *user, struct hubbub_socket *socket, const char *reason)
{
    tell(user, reason, hubbub_socket_id(socket));
}

/* The namespace "/asking" with other handlers. */
static void serve_asking(struct fixture *fixture,
                         void (*on_connecting)(void *user, struct hubbub_socket *socket))
{
    struct hubbub_handlers handlers = {
        .on_connecting = on_connecting, .on_connection = say_connection, .on_disconnect = say_disconnect};

    assert_int_equal(hubbub_serve(fixture->router.app, "/asking", &handlers, fixture, NULL), 0);
    router_take_in(&fixture->router, 0);
}

static void ask(struct played_router *router, uint64_t task)
{
    wire_put_connection(&router->out, &(struct wire_connection){.task = task,
                                                                .namespace = BYTES("/asking"),
                                                                .sid = BYTES("s"),
                                                                .from = BYTES("f")});
    router_send(router);
}

static void test_everybody_is_let_in_when_nobody_asks(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    router_take_in(router, 0);
    put_connection(router, 5, WIRE_CONNECTION_NEW, "s");
    router_send(router);
    assert_told(fixture, "connection s");
    EXPECT(router, ACCEPT, accept, accept);
    assert_int_equal(accept.task, 5);
    assert_bytes(accept.data, "");
    assert_int_equal(hubbub_socket_arrival(socket_s(fixture)), HUBBUB_NEW);
    assert_true(hubbub_socket_connected(socket_s(fixture)));
}

static void test_accepted_with_data_and_then_sent_to(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    serve_asking(fixture, accept_with_data);
    ask(router, 5);
    assert_told(fixture, "connection s");
    EXPECT(router, ACCEPT, accept, accept);
    assert_bytes(accept.data, "{\"name\": 1}");
    EXPECT(router, SEND, send, send);
    assert_bytes(send.event, "welcome");
    assert_list(send.rooms, "s", NULL);
    assert_string_equal(hubbub_socket_data(socket_s(fixture)), "{\"name\": 1}");
}

static void test_rejected(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    serve_asking(fixture, reject_at_once);
    ask(router, 5);
    EXPECT(router, REJECT, reject, reject);
    assert_int_equal(reject.task, 5);
    assert_bytes(reject.error, "{\"message\":\"not \\\"authorized\\\"\",\"data\":{\"code\":1}}");
    router_expect_silence(router);
    assert_string_equal(fixture->told, "");
}

static void test_answered_later(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    serve_asking(fixture, keep_asked);
    ask(router, 5);
    assert_told(fixture, "connecting s");
    router_expect_silence(router);
    assert_int_equal(hubbub_socket_emit(asked, "too", "\"early\""), HUBBUB_ERROR_STATE);
    /* A new link in between: it is no socket to hold, and is asked about again. */
    wire_put_resync(&router->out, &(struct wire_resync){0});
    router_send(router);
    router_greet(router, 0);
    ask(router, 5);
    router_expect_silence(router);
    assert_string_equal(fixture->told, "");
    assert_int_equal(hubbub_accept(asked), 0);
    assert_told(fixture, "connection s");
    EXPECT(router, ACCEPT, accept, accept);
    assert_int_equal(accept.task, 5);
    (void)router_expect(router, WIRE_TYPE_SEND);
    /* The answer was lost: it is given again, and nobody is called. */
    router->withheld = router->received - 1;
    wire_put_resync(&router->out, &(struct wire_resync){0});
    router_send(router);
    router_greet(router, 1);
    ask(router, 5);
    (void)router_expect(router, WIRE_TYPE_SEND);
    EXPECT(router, ACCEPT, accept, again);
    assert_int_equal(again.task, 5);
    assert_string_equal(fixture->told, "");
}

static void test_a_client_that_does_not_wait_for_the_answer(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    serve_asking(fixture, keep_asked);
    ask(router, 5);
    assert_told(fixture, "connecting s");
    wire_put_disconnection(
        &router->out, &(struct wire_disconnection){.sid = BYTES("s"), .reason = BYTES("transport close")});
    router_send(router);
    assert_told(fixture, "transport close s");
    router_expect_silence(router);
}

static void test_what_a_socket_tells(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    const struct hubbub_handshake *handshake;
    const char *const *rooms;
    struct hubbub_socket *socket;

    router_take_in(router, 0);
    wire_put_connection(&router->out, &(struct wire_connection){.kind = WIRE_CONNECTION_RECOVERED,
                                                                .namespace = BYTES("/"),
                                                                .sid = BYTES("s"),
                                                                .from = BYTES("f"),
                                                                .rooms = list_of("a", "s", "b", NULL),
                                                                .data = BYTES("[1]")});
    put_connection(router, 0, WIRE_CONNECTION_HANDED, "t");
    router_send(router);
    assert_told(fixture, "connection s, connection t");
    socket = socket_s(fixture);
    assert_string_equal(hubbub_socket_id(socket), "s");
    assert_string_equal(hubbub_socket_namespace(socket), "/");
    assert_string_equal(hubbub_socket_from(socket), "f");
    assert_string_equal(hubbub_socket_data(socket), "[1]");
    assert_ptr_equal(hubbub_socket_app(socket), router->app);
    assert_int_equal(hubbub_socket_arrival(socket), HUBBUB_RECOVERED);
    assert_int_equal(hubbub_socket_rooms(socket, &rooms), 3);
    assert_string_equal(rooms[0], "s");
    assert_string_equal(rooms[1], "a");
    assert_string_equal(rooms[2], "b");
    assert_true(hubbub_socket_in(socket, "b"));
    assert_false(hubbub_socket_in(socket, "c"));
    handshake = hubbub_socket_handshake(socket);
    assert_string_equal(handshake->auth, "{}");
    assert_string_equal(handshake->address, "");
    assert_false(handshake->secure);

    socket = hubbub_socket_find(router->app, "t");
    assert_int_equal(hubbub_socket_arrival(socket), HUBBUB_HANDED);
    handshake = hubbub_socket_handshake(socket);
    assert_string_equal(handshake->address, "::1");
    assert_string_equal(handshake->url, "/socket.io/?a=b");
    assert_string_equal(handshake->time, "now");
    assert_string_equal(handshake->query, "{\"a\":\"b\"}");
    assert_string_equal(handshake->headers, "{\"host\":\"h\"}");
    assert_string_equal(handshake->auth, "{\"token\":\"t\\u00e9\"}");
    assert_int_equal(handshake->issued, 17);
    assert_true(handshake->secure);
    hubbub_socket_set_user(socket, fixture);
    assert_ptr_equal(hubbub_socket_user(socket), fixture);
}

static void test_rooms_come_and_go(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    assert_int_equal(hubbub_join(socket_s(fixture), "r"), 0);
    EXPECT(router, MOVE, move, join);
    assert_bytes(join.namespace, "/");
    assert_list(join.rooms, "s", NULL);
    assert_list(join.join, "r", NULL);
    assert_list(join.leave, NULL);
    assert_false(hubbub_socket_in(socket_s(fixture), "r"));
    wire_put_entered(&router->out, &(struct wire_entered){.sid = BYTES("s"), .room = BYTES("r")});
    wire_put_entered(&router->out, &(struct wire_entered){.sid = BYTES("s"), .room = BYTES("r")});
    wire_put_entered(&router->out, &(struct wire_entered){.sid = BYTES("stranger"), .room = BYTES("r")});
    router_send(router);
    assert_told(fixture, "join r");
    assert_true(hubbub_socket_in(socket_s(fixture), "r"));
    assert_int_equal(hubbub_leave(socket_s(fixture), "r"), 0);
    EXPECT(router, MOVE, move, leave);
    assert_list(leave.leave, "r", NULL);
    wire_put_exited(&router->out, &(struct wire_exited){.sid = BYTES("s"), .room = BYTES("r")});
    wire_put_exited(&router->out, &(struct wire_exited){.sid = BYTES("s"), .room = BYTES("r")});
    wire_put_exited(&router->out, &(struct wire_exited){.sid = BYTES("s"), .room = BYTES("s")});
    router_send(router);
    assert_told(fixture, "leave r");
    assert_true(hubbub_socket_in(socket_s(fixture), "s"));
}

static void test_data(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    static char large[17000];

    begin(fixture);
    memset(large, ' ', sizeof large - 1);
    assert_int_equal(hubbub_socket_set_data(socket_s(fixture), large), HUBBUB_ERROR_TOO_LARGE);
    assert_int_equal(hubbub_socket_set_data(socket_s(fixture), "{"), HUBBUB_ERROR_JSON);
    assert_int_equal(hubbub_socket_set_data(socket_s(fixture), "\"\xff\""), HUBBUB_ERROR_JSON);
    assert_string_equal(hubbub_socket_data(socket_s(fixture)), "");
    assert_int_equal(hubbub_socket_set_data(socket_s(fixture), "{\"a\":1}"), 0);
    EXPECT(router, STORE, store, store);
    assert_bytes(store.sid, "s");
    assert_bytes(store.data, "{\"a\":1}");
    assert_int_equal(hubbub_socket_set_data(socket_s(fixture), NULL), 0);
    EXPECT(router, STORE, store, none);
    assert_bytes(none.data, "");
}

static void test_disconnected_by_the_client(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    fixture->later = true;
    put_call(router, 3, "s", "e", "1", true);
    router_send(router);
    assert_told(fixture, "e s");
    wire_put_disconnection(&router->out,
                           &(struct wire_disconnection){.sid = BYTES("s"),
                                                        .reason = BYTES("client namespace disconnect"),
                                                        .rooms = list_of("r", NULL)});
    router_send(router);
    assert_told(fixture, "client namespace disconnect s");
    assert_null(hubbub_socket_find(router->app, "s"));
    /* What was begun may be finished: its answer finds nobody. */
    assert_int_equal(hubbub_answer(router->app, fixture->task, NULL), 0);
    (void)router_expect(router, WIRE_TYPE_HANDLED);
}

static void test_disconnected_by_the_backend(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    for (int parting = HUBBUB_LEAVE_NAMESPACE; parting <= HUBBUB_DROP_CONNECTION; parting++) {
        if (parting == HUBBUB_LEAVE_NAMESPACE)
            begin(fixture);
        else
            put_connection(router, 0, WIRE_CONNECTION_HANDED, "s");
        router_send(router);
        if (parting != HUBBUB_LEAVE_NAMESPACE)
            assert_told(fixture, "connection s");
        assert_int_equal(hubbub_disconnect(socket_s(fixture), (enum hubbub_parting)parting), 0);
        assert_int_equal(hubbub_disconnect(socket_s(fixture), HUBBUB_LEAVE_NAMESPACE), HUBBUB_ERROR_GONE);
        assert_int_equal(hubbub_socket_emit(socket_s(fixture), "e", NULL), HUBBUB_ERROR_GONE);
        EXPECT(router, EXPEL, expel, expel);
        assert_list(expel.rooms, "s", NULL);
        assert_int_equal(expel.close, parting);
        /* An event that was on its way is not handled, but done with. */
        put_call(router, 3, "s", "late", "1", true);
        router_send(router);
        EXPECT(router, HANDLED, handled, handled);
        assert_int_equal(handled.answered, 0);
        wire_put_disconnection(&router->out,
                               &(struct wire_disconnection){.sid = BYTES("s"), .reason = BYTES("server")});
        router_send(router);
        assert_told(fixture, "server s");
        router_send(router);
        router_expect_silence(router);
    }
    assert_int_equal(hubbub_disconnect(NULL, HUBBUB_LEAVE_NAMESPACE), HUBBUB_ERROR_ARGUMENT);
}

static void test_a_socket_that_comes_back_in_another_way(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    put_connection(router, 0, WIRE_CONNECTION_RECOVERED, "s");
    router_send(router);
    assert_told(fixture, "handover s, connection s");
    assert_int_equal(hubbub_socket_arrival(socket_s(fixture)), HUBBUB_RECOVERED);
    put_connection(router, 9, WIRE_CONNECTION_NEW, "s");
    router_send(router);
    assert_told(fixture, "handover s, connection s");
}

static void count(void *user, struct hubbub_socket *socket)
{
    tell(user, "each", hubbub_socket_id(socket));
    if (hubbub_socket_connected(socket))
        assert_int_equal(hubbub_disconnect(socket, HUBBUB_LEAVE_NAMESPACE), 0);
}

static void test_each(void **state)
{
    struct fixture *fixture = *state;

    begin(fixture);
    hubbub_sockets_each(fixture->router.app, count, fixture);
    assert_told(fixture, "each s");
    hubbub_sockets_each(fixture->router.app, count, fixture);
    assert_string_equal(fixture->told, "");
}

static void free_from_each(void *user, struct hubbub_socket *socket)
{
    struct fixture *fixture = user;
    struct hubbub_app *app = fixture->router.app;

    assert_int_equal(hubbub_app_process(app), HUBBUB_ERROR_STATE);
    assert_int_equal(hubbub_app_run(app), HUBBUB_ERROR_STATE);
    hubbub_app_free(app);
    tell(fixture, "each", hubbub_socket_id(socket)); /* it is there yet */
}

static void test_freed_for_each_outside_of_a_turn(void **state)
{
    struct fixture *fixture = *state;

    begin(fixture);
    put_connection(&fixture->router, 0, WIRE_CONNECTION_HANDED, "t");
    router_send(&fixture->router);
    assert_told(fixture, "connection t");
    hubbub_sockets_each(fixture->router.app, free_from_each, fixture);
    assert_non_null(strstr(fixture->told, "each s"));
    assert_non_null(strstr(fixture->told, "each t"));
    assert_int_equal(hubbub_app_process(fixture->router.app), HUBBUB_ERROR_STATE);
    fixture->router.app = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_everybody_is_let_in_when_nobody_asks),
        TEST(test_accepted_with_data_and_then_sent_to),
        TEST(test_rejected),
        TEST(test_answered_later),
        TEST(test_a_client_that_does_not_wait_for_the_answer),
        TEST(test_what_a_socket_tells),
        TEST(test_rooms_come_and_go),
        TEST(test_data),
        TEST(test_disconnected_by_the_client),
        TEST(test_disconnected_by_the_backend),
        TEST(test_a_socket_that_comes_back_in_another_way),
        TEST(test_each),
        TEST(test_freed_for_each_outside_of_a_turn),
    };

    return cmocka_run_group_tests_name("app/socket", tests, NULL, NULL);
}
