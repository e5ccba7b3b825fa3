/* Targets and what is sent to them: what goes on the wire, and what is refused. */
#include "tests/unit/app/fixture.h"

#include <stdlib.h>
#include <string.h>

static void test_the_vocabulary(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    struct hubbub_socket *socket;

    begin(fixture);
    socket = socket_s(fixture);
    assert_int_equal(hubbub_socket_emit(socket, "self", "1"), 0);
    assert_int_equal(hubbub_emit(hubbub_broadcast(socket), "broadcast", NULL), 0);
    assert_int_equal(hubbub_emit(hubbub_to(hubbub_broadcast(socket), "r"), "others", "\"a\",{\"b\":[]}"), 0);
    assert_int_equal(hubbub_emit(hubbub_of(router->app, "/dyn-7"), "all", " 1 , 2 "), 0);
    assert_int_equal(
        hubbub_emit(hubbub_except(hubbub_to(hubbub_to(hubbub_of(router->app, "/"), "a"), "b"), "c"), "rooms",
                    NULL),
        0);
    EXPECT(router, SEND, send, self);
    assert_int_equal(self.number, 1);
    assert_bytes(self.namespace, "/");
    assert_list(self.rooms, "s", NULL);
    assert_list(self.except, NULL);
    assert_int_equal(self.class, WIRE_SEND_LOGGED);
    assert_int_equal(self.flags, WIRE_SEND_TELL);
    assert_bytes(self.id, "");
    assert_bytes(self.event, "self");
    assert_bytes(self.arguments, "1");
    assert_int_equal(self.attachments.length, 0);
    EXPECT(router, SEND, send, broadcast);
    assert_list(broadcast.rooms, NULL);
    assert_list(broadcast.except, "s", NULL);
    EXPECT(router, SEND, send, others);
    assert_list(others.rooms, "r", NULL);
    assert_list(others.except, "s", NULL);
    assert_bytes(others.arguments, "\"a\",{\"b\":[]}");
    EXPECT(router, SEND, send, all);
    assert_bytes(all.namespace, "/dyn-7");
    assert_list(all.rooms, NULL);
    assert_bytes(all.arguments, "1 , 2");
    EXPECT(router, SEND, send, rooms);
    assert_list(rooms.rooms, "a", "b", NULL);
    assert_list(rooms.except, "c", NULL);
    assert_int_equal(rooms.number, 5);
}

static void on_outcome(void *user, const struct hubbub_outcome *outcome)
{
    struct fixture *fixture = user;

    tell(fixture, outcome->error ? outcome->code : "done", outcome->error ? outcome->message : outcome->id);
    if (outcome->error) {
        assert_int_equal(outcome->error, HUBBUB_ERROR_REFUSED);
        assert_int_equal(outcome->seq_count, 0);
        return;
    }
    assert_int_equal(outcome->seq_count, 2);
    assert_int_equal(outcome->seqs[0], 41);
    assert_int_equal(outcome->seqs[1], 7);
    assert_int_equal(outcome->at, 1234);
}

static void test_classes_and_outcomes(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    struct hubbub_target *target;
    struct wire_list seqs = {0};

    begin(fixture);
    assert_int_equal(hubbub_emit(hubbub_volatile(hubbub_of(router->app, "/")), "volatile", NULL), 0);
    target = hubbub_to(hubbub_to(hubbub_of(router->app, "/"), "a"), "b");
    target =
        hubbub_on_outcome(hubbub_id(hubbub_meta(hubbub_archived(target)), "12345678"), on_outcome, fixture);
    target = hubbub_attach(hubbub_attach(target, "\0\1", 2), NULL, 0);
    assert_int_equal(hubbub_emit(target, "archived", "{\"_placeholder\":true,\"num\":1}"), 0);
    assert_int_equal(
        hubbub_emit(hubbub_on_outcome(hubbub_of(router->app, "/"), on_outcome, fixture), "refused", NULL), 0);
    EXPECT(router, SEND, send, fleeting);
    assert_int_equal(fleeting.class, WIRE_SEND_VOLATILE);
    assert_int_equal(fleeting.flags, 0);
    EXPECT(router, SEND, send, archived);
    assert_int_equal(archived.class, WIRE_SEND_ARCHIVED);
    assert_int_equal(archived.flags, WIRE_SEND_TELL | WIRE_SEND_META);
    assert_bytes(archived.id, "12345678");
    assert_true(archived.attachments.length > 0);
    EXPECT(router, SEND, send, refused);
    wire_list_put_u64(&seqs, 41);
    wire_list_put_u64(&seqs, 7);
    wire_put_outcome(&router->out, &(struct wire_outcome){.number = archived.number,
                                                          .id = BYTES("12345678"),
                                                          .seqs = wire_list_finish(&seqs),
                                                          .at = 1234});
    wire_put_outcome(&router->out, &(struct wire_outcome){.number = archived.number, .id = BYTES("twice")});
    wire_put_outcome(&router->out, &(struct wire_outcome){.number = 99, .id = BYTES("never asked")});
    wire_put_outcome(&router->out, &(struct wire_outcome){.number = refused.number,
                                                          .error = BYTES("storage_full"),
                                                          .message = BYTES("full")});
    router_send(router);
    assert_told(fixture, "done 12345678, storage_full full");
    wire_list_done(&seqs);
}

static void test_many_sockets(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    struct hubbub_app *app = router->app;

    begin(fixture);
    assert_int_equal(hubbub_sockets_join(hubbub_except(hubbub_of(app, "/"), "a"), "r"), 0);
    assert_int_equal(hubbub_sockets_leave(
                         hubbub_on_outcome(hubbub_to(hubbub_of(app, "/"), "r"), on_outcome, fixture), "q"),
                     0);
    assert_int_equal(hubbub_sockets_disconnect(hubbub_to(hubbub_of(app, "/"), "r"), HUBBUB_CLOSE_CONNECTION),
                     0);
    EXPECT(router, MOVE, move, join);
    assert_list(join.rooms, NULL);
    assert_list(join.except, "a", NULL);
    assert_list(join.join, "r", NULL);
    assert_list(join.leave, NULL);
    EXPECT(router, MOVE, move, leave);
    assert_list(leave.rooms, "r", NULL);
    assert_list(leave.join, NULL);
    assert_list(leave.leave, "q", NULL);
    EXPECT(router, EXPEL, expel, expel);
    assert_list(expel.rooms, "r", NULL);
    assert_int_equal(expel.close, 1);
    wire_put_outcome(
        &router->out,
        &(struct wire_outcome){.number = leave.number, .error = BYTES("busy"), .message = BYTES("m")});
    router_send(router);
    assert_told(fixture, "busy m");
}

static void on_replies(void *user, const struct hubbub_replies *replies)
{
    (void)user;
    (void)replies;
}

static void test_wrong_targets(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    struct hubbub_app *app = router->app;
    struct hubbub_target *target;
    char long_name[300];

    memset(long_name, 'a', 299);
    long_name[299] = '\0';
    begin(fixture);
#define WRONG(made, error) assert_int_equal(hubbub_emit(made, "e", NULL), error)
    WRONG(NULL, HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_of(NULL, "/"), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_of(app, NULL), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_of(app, "/unserved"), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_to(hubbub_of(NULL, "/"), "r"), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_to(NULL, "r"), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_to(hubbub_of(app, "/"), NULL), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_to(hubbub_of(app, "/"), ""), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_to(hubbub_of(app, "/"), "a\nb"), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_to(hubbub_of(app, "/"), "\xff"), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_except(hubbub_of(app, "/"), long_name), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_archived(hubbub_of(app, "/")), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_archived(hubbub_volatile(hubbub_to(hubbub_of(app, "/"), "r"))), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_id(hubbub_of(app, "/"), "short"), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_id(hubbub_of(app, "/"), long_name), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_id(hubbub_of(app, "/"), NULL), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_id(hubbub_volatile(hubbub_of(app, "/")), "12345678"), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_on_outcome(hubbub_volatile(hubbub_of(app, "/")), on_outcome, NULL), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_on_outcome(hubbub_of(app, "/"), NULL, NULL), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_timeout(hubbub_of(app, "/"), 5), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_attach(hubbub_of(app, "/"), NULL, 1), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_attach(hubbub_of(app, "/"), long_name, 100001), HUBBUB_ERROR_TOO_LARGE);
    WRONG(hubbub_self(NULL), HUBBUB_ERROR_ARGUMENT);
    WRONG(hubbub_broadcast(NULL), HUBBUB_ERROR_ARGUMENT);
#undef WRONG
    target = hubbub_of(app, "/");
    for (int i = 0; i < 64; i++)
        target = hubbub_to(target, "r");
    assert_int_equal(hubbub_emit(hubbub_to(target, "r"), "e", NULL), HUBBUB_ERROR_ARGUMENT);
    target = hubbub_of(app, "/");
    for (int i = 0; i < 11; i++)
        target = hubbub_attach(target, "x", 1);
    assert_int_equal(hubbub_emit(target, "e", NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_ask(hubbub_of(app, "/"), "e", NULL, NULL, NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_ask(hubbub_timeout(hubbub_of(app, "/"), 0), "e", NULL, on_replies, NULL),
                     HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_ask(hubbub_volatile(hubbub_of(app, "/")), "e", NULL, on_replies, NULL),
                     HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_fetch_sockets(hubbub_of(app, "/"), NULL, NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_sockets_join(hubbub_of(app, "/"), ""), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_sockets_join(hubbub_meta(hubbub_of(app, "/")), "r"), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_sockets_disconnect(hubbub_of(app, "/"), (enum hubbub_parting)3),
                     HUBBUB_ERROR_ARGUMENT);
    hubbub_target_free(hubbub_to(hubbub_of(app, "/"), "r"));
    hubbub_target_free(NULL);
    hubbub_target_free(hubbub_of(NULL, NULL));
    router_expect_silence(router);
}

static void test_a_target_is_used_once(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    struct hubbub_target *target;

    begin(fixture);
    target = hubbub_of(router->app, "/");
    assert_int_equal(hubbub_emit(target, "e", NULL), 0);
    assert_int_equal(hubbub_emit(hubbub_to(target, "r"), "e", NULL), HUBBUB_ERROR_STATE);
    hubbub_target_free(target);
    (void)router_expect(router, WIRE_TYPE_SEND);
    router_expect_silence(router);
}

static void test_a_target_may_outlive_its_socket(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    struct hubbub_target *self, *broadcast, *unused;

    begin(fixture);
    self = hubbub_self(socket_s(fixture));
    broadcast = hubbub_broadcast(socket_s(fixture));
    unused = hubbub_to(hubbub_broadcast(socket_s(fixture)), "r");
    wire_put_disconnection(
        &router->out, &(struct wire_disconnection){.sid = BYTES("s"), .reason = BYTES("transport close")});
    router_send(router);
    assert_told(fixture, "transport close s");
    router_expect_silence(router); /* by now its memory is gone */
    assert_int_equal(hubbub_emit(self, "e", NULL), HUBBUB_ERROR_GONE);
    assert_int_equal(hubbub_ask(broadcast, "e", NULL, on_replies, NULL), HUBBUB_ERROR_GONE);
    hubbub_target_free(unused);
    router_expect_silence(router);
}

static void test_wrong_events(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    struct hubbub_app *app = router->app;
    static char large[100002];
    static char deep[300];

    begin(fixture);
    memset(large, '1', 100001);
    memset(deep, '[', 128);
    memset(deep + 128, ']', 128);
#define WRONG(event, arguments, error)                                                                       \
    assert_int_equal(hubbub_emit(hubbub_of(app, "/"), event, arguments), error)
    WRONG(NULL, NULL, HUBBUB_ERROR_ARGUMENT);
    WRONG("", NULL, HUBBUB_ERROR_ARGUMENT);
    WRONG("connect", NULL, HUBBUB_ERROR_ARGUMENT);
    WRONG("disconnect", NULL, HUBBUB_ERROR_ARGUMENT);
    WRONG("\xff", NULL, HUBBUB_ERROR_JSON);
    WRONG("e", "\xff", HUBBUB_ERROR_JSON);
    WRONG("e", "1,", HUBBUB_ERROR_JSON);
    WRONG("e", ",1", HUBBUB_ERROR_JSON);
    WRONG("e", "1]", HUBBUB_ERROR_JSON);
    WRONG("e", "1],[2", HUBBUB_ERROR_JSON);
    WRONG("e", "{a:1}", HUBBUB_ERROR_JSON);
    WRONG("e", deep, HUBBUB_ERROR_JSON);
    WRONG("e", large, HUBBUB_ERROR_TOO_LARGE);
#undef WRONG
    assert_int_equal(
        hubbub_emit(hubbub_attach(hubbub_of(app, "/"), "x", 1), "e", "{\"_placeholder\":true,\"num\":1}"),
        HUBBUB_ERROR_JSON);
    /* Without attachments such an object is data. */
    assert_int_equal(hubbub_emit(hubbub_of(app, "/"), "e", "{\"_placeholder\":true,\"num\":1}"), 0);
    (void)router_expect(router, WIRE_TYPE_SEND);
    router_expect_silence(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_vocabulary),
        TEST(test_classes_and_outcomes),
        TEST(test_many_sockets),
        TEST(test_wrong_targets),
        TEST(test_a_target_is_used_once),
        TEST(test_wrong_events),
        TEST(test_a_target_may_outlive_its_socket),
    };

    return cmocka_run_group_tests_name("app/target", tests, NULL, NULL);
}
