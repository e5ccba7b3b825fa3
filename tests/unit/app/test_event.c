/* Events of clients and their answers, and events that are to be judged. */
#include "tests/unit/app/fixture.h"

#include <stdio.h>
#include <string.h>

static void on_named(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    struct fixture *fixture = user;

    tell(fixture, "named", event->arguments);
    fixture->task = event->task;
    assert_null(event->room);
    assert_int_equal(hubbub_answer(hubbub_socket_app(socket), event->task, "[1"), HUBBUB_ERROR_JSON);
    assert_int_equal(hubbub_answer(hubbub_socket_app(socket), event->task, "1,\"a\" , {}"), 0);
    assert_int_equal(hubbub_answer(hubbub_socket_app(socket), event->task, "2"), HUBBUB_ERROR_NOT_FOUND);
    assert_int_equal(hubbub_done(hubbub_socket_app(socket), event->task), HUBBUB_ERROR_NOT_FOUND);
    assert_int_equal(hubbub_later(hubbub_socket_app(socket), event->task), HUBBUB_ERROR_NOT_FOUND);
}

static void on_binary(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    struct hubbub_app *app = hubbub_socket_app(socket);
    struct hubbub_blob twice[2] = {event->attachments[0], {NULL, 0}};

    tell(user, "binary", event->arguments);
    assert_int_equal(event->attachment_count, 1);
    assert_memory_equal(event->attachments[0].data, "\0\1\2", 3);
    assert_int_equal(hubbub_answer_binary(app, event->task, "{\"_placeholder\":true,\"num\":2}", twice, 2),
                     HUBBUB_ERROR_JSON);
    assert_int_equal(hubbub_answer_binary(app, event->task, "1", twice, 11), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_answer_binary(app, event->task, "1", NULL, 1), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_answer_binary(app, event->task, "{\"_placeholder\":true,\"num\":1}", twice, 2),
                     0);
}

static void on_nothing(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    (void)user;
    (void)socket;
    (void)event;
}

static void test_by_name_and_any(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    fixture->quiet = true;
    assert_int_equal(hubbub_on(fixture->root, "named", on_named, fixture), 0);
    assert_int_equal(hubbub_on(fixture->root, "named", on_named, fixture), HUBBUB_ERROR_STATE);
    begin(fixture);
    put_call(router, 1, "s", "named", "\"x\"", true);
    put_call(router, 2, "s", "other", "", true);
    router_send(router);
    assert_told(fixture, "named s, named \"x\", other s");
    EXPECT(router, HANDLED, handled, first);
    assert_int_equal(first.task, 1);
    assert_int_equal(first.answered, 1);
    assert_bytes(first.arguments, "1,\"a\" , {}");
    EXPECT(router, HANDLED, handled, second); /* nobody has answered */
    assert_int_equal(second.task, 2);
    assert_int_equal(second.answered, 0);
}

static void test_no_answer_is_wanted(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    assert_int_equal(hubbub_on(fixture->root, "named", on_named, fixture), 0);
    fixture->quiet = true;
    begin(fixture);
    put_call(router, 1, "s", "named", "1", false);
    router_send(router);
    assert_told(fixture, "named s, named 1");
    EXPECT(router, HANDLED, handled, handled);
    assert_int_equal(handled.answered, 0);
    assert_bytes(handled.arguments, "");
}

static void test_nobody_handles_it(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    router_take_in(router, 0);
    wire_put_connection(&router->out, &(struct wire_connection){.kind = WIRE_CONNECTION_HANDED,
                                                                .namespace = BYTES("/dyn-1"),
                                                                .sid = BYTES("d")});
    put_call(router, 1, "d", "e", "1", true);
    put_call(router, 2, "d", "e", "1", false);
    put_call(router, 3, "stranger", "e", "1", true);
    router_send(router);
    EXPECT(router, HANDLED, handled, wanted);
    assert_int_equal(wanted.answered, 1);
    assert_non_null(memmem(wanted.arguments.data, wanted.arguments.length, "unknown_event", 13));
    EXPECT(router, HANDLED, handled, unwanted);
    assert_int_equal(unwanted.answered, 0);
    EXPECT(router, HANDLED, handled, stranger);
    assert_int_equal(stranger.answered, 0);
}

static void test_binary(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    struct wire_list blobs = {0};
    struct bytes both;

    fixture->quiet = true;
    assert_int_equal(hubbub_on(fixture->root, "binary", on_binary, fixture), 0);
    begin(fixture);
    wire_list_put_blob(&blobs, bytes_make("\0\1\2", 3));
    wire_put_call(&router->out, &(struct wire_call){.task = 1,
                                                    .sid = BYTES("s"),
                                                    .flags = WIRE_CALL_ACK | WIRE_CALL_AGAIN,
                                                    .event = BYTES("binary"),
                                                    .arguments = BYTES("{\"_placeholder\":true,\"num\":0}"),
                                                    .attachments = wire_list_finish(&blobs)});
    router_send(router);
    assert_told(fixture, "binary s, binary {\"_placeholder\":true,\"num\":0}");
    EXPECT(router, HANDLED, handled, handled);
    assert_bytes(handled.arguments, "{\"_placeholder\":true,\"num\":1}");
    wire_list_put_blob(&blobs, bytes_make("", 0));
    both = wire_list_finish(&blobs);
    assert_int_equal(handled.attachments.length, both.length);
    assert_memory_equal(handled.attachments.data, both.data, both.length);
    wire_list_done(&blobs);
}

static void test_answered_later(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    fixture->later = true;
    put_call(router, 1, "s", "e", "1", true);
    router_send(router);
    assert_told(fixture, "e s");
    router_expect_silence(router);
    assert_int_equal(hubbub_pass(router->app, fixture->task), HUBBUB_ERROR_STATE);
    assert_int_equal(hubbub_answer(router->app, fixture->task + 1, "1"), HUBBUB_ERROR_NOT_FOUND);
    assert_int_equal(hubbub_answer(router->app, 0, "1"), HUBBUB_ERROR_NOT_FOUND);
    assert_int_equal(hubbub_answer(NULL, fixture->task, "1"), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_answer(router->app, fixture->task, "\"late\""), 0);
    EXPECT(router, HANDLED, handled, handled);
    assert_bytes(handled.arguments, "\"late\"");
    put_call(router, 2, "s", "e", "1", true);
    router_send(router);
    assert_told(fixture, "e s");
    assert_int_equal(hubbub_done(router->app, fixture->task), 0);
    EXPECT(router, HANDLED, handled, done);
    assert_int_equal(done.answered, 0);
}

/* One event of that socket's, which is left open: its task, for the app. */
static uint64_t open_one(struct fixture *fixture, uint64_t task, const char *sid)
{
    struct played_router *router = &fixture->router;
    char told[16];

    fixture->later = true;
    put_call(router, task, sid, "e", "1", true);
    router_send(router);
    snprintf(told, sizeof told, "e %s", sid);
    assert_told(fixture, told);
    return fixture->task;
}

static void test_open_events_go_with_their_socket(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    struct hubbub_app *app = router->app;
    uint64_t first, second, third, of_t, of_u;

    begin(fixture);
    put_connection(router, 0, WIRE_CONNECTION_HANDED, "t");
    put_connection(router, 0, WIRE_CONNECTION_HANDED, "u");
    router_send(router);
    assert_told(fixture, "connection t, connection u");
    first = open_one(fixture, 1, "s");
    of_t = open_one(fixture, 2, "t");
    second = open_one(fixture, 3, "s");
    of_u = open_one(fixture, 4, "u");
    third = open_one(fixture, 5, "s");
    assert_int_equal(hubbub_answer(app, second, "2"), 0);
    EXPECT(router, HANDLED, handled, middle);
    assert_int_equal(middle.task, 3);
    router_expect_silence(router); /* it is acknowledged, and forgotten */
    wire_put_taken_away(&router->out, &(struct wire_taken_away){.sid = BYTES("s")});
    wire_put_disconnection(
        &router->out, &(struct wire_disconnection){.sid = BYTES("t"), .reason = BYTES("transport close")});
    router_send(router);
    assert_told(fixture, "handover s, transport close t");
    assert_int_equal(hubbub_answer(app, first, "1"), HUBBUB_ERROR_NOT_FOUND);
    assert_int_equal(hubbub_answer(app, third, "3"), HUBBUB_ERROR_NOT_FOUND);
    /* Who has gone may still be answered: the router sorts it out. */
    assert_int_equal(hubbub_answer(app, of_t, "\"t\""), 0);
    assert_int_equal(hubbub_answer(app, of_u, "\"u\""), 0);
    EXPECT(router, HANDLED, handled, gone);
    assert_int_equal(gone.task, 2);
    EXPECT(router, HANDLED, handled, there);
    assert_int_equal(there.task, 4);
}

static void test_an_answer_that_is_too_large(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    static char large[100002]; /* the fixture's router takes 100000 */
    struct hubbub_blob blob = {large, 100000};

    begin(fixture);
    fixture->later = true;
    put_call(router, 1, "s", "e", "1", true);
    router_send(router);
    assert_told(fixture, "e s");
    memset(large, '1', 100001);
    assert_int_equal(hubbub_answer(router->app, fixture->task, large), HUBBUB_ERROR_TOO_LARGE);
    assert_int_equal(hubbub_answer_binary(router->app, fixture->task, "1", &blob, 1), HUBBUB_ERROR_TOO_LARGE);
    large[100000] = '\0';
    assert_int_equal(hubbub_answer(router->app, fixture->task, large), 0);
    (void)router_expect(router, WIRE_TYPE_HANDLED);
}

static void test_names_of_any_bytes(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    assert_int_equal(hubbub_on(fixture->root, "a", on_nothing, NULL), 0);
    fixture->quiet = true;
    begin(fixture);
    wire_put_call(&router->out, &(struct wire_call){.task = 1, .sid = BYTES("s"), .event = BYTES("a\0b")});
    router_send(router);
    assert_told(fixture, "a s");
    (void)router_expect(router, WIRE_TYPE_HANDLED);
}

/* -- judging --------------------------------------------------------------------------------- */

static void on_judge(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    struct fixture *fixture = user;
    struct hubbub_app *app = hubbub_socket_app(socket);

    tell(fixture, event->room, event->arguments);
    fixture->task = event->task;
    if (strcmp(event->name, "pass") == 0)
        assert_int_equal(hubbub_pass(app, event->task), 0);
    else if (strcmp(event->name, "change") == 0)
        assert_int_equal(hubbub_change(app, event->task, "\"***\"", NULL, 0), 0);
    else if (strcmp(event->name, "refuse") == 0)
        assert_int_equal(hubbub_refuse(app, event->task, "rude", "mind your words"), 0);
}

static void judge(struct played_router *router, uint64_t task, const char *sid, const char *event)
{
    wire_put_judge(&router->out, &(struct wire_judge){.task = task,
                                                      .sid = bytes_from_text(sid),
                                                      .room = BYTES("r"),
                                                      .event = bytes_from_text(event),
                                                      .arguments = BYTES("\"words\"")});
}

static void test_judging(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    struct hubbub_handlers handlers = {.on_judge = on_judge};

    assert_int_equal(hubbub_serve(router->app, "/judged", &handlers, fixture, NULL), 0);
    begin(fixture);
    wire_put_connection(&router->out, &(struct wire_connection){.kind = WIRE_CONNECTION_HANDED,
                                                                .namespace = BYTES("/judged"),
                                                                .sid = BYTES("j")});
    judge(router, 1, "j", "pass");
    judge(router, 2, "j", "change");
    judge(router, 3, "j", "refuse");
    judge(router, 4, "j", "later");
    judge(router, 5, "s", "nobody judges here");
    router_send(router);
    EXPECT(router, VERDICT, verdict, pass);
    assert_int_equal(pass.task, 1);
    assert_int_equal(pass.verdict, WIRE_VERDICT_PASS);
    EXPECT(router, VERDICT, verdict, change);
    assert_int_equal(change.verdict, WIRE_VERDICT_CHANGE);
    assert_bytes(change.arguments, "\"***\"");
    EXPECT(router, VERDICT, verdict, refuse);
    assert_int_equal(refuse.verdict, WIRE_VERDICT_REFUSE);
    assert_bytes(refuse.code, "rude");
    assert_bytes(refuse.message, "mind your words");
    EXPECT(router, VERDICT, verdict, nobody);
    assert_int_equal(nobody.task, 5);
    assert_int_equal(nobody.verdict, WIRE_VERDICT_REFUSE);
    assert_bytes(nobody.code, "forbidden");
    assert_told(fixture, "r \"words\", r \"words\", r \"words\", r \"words\"");
    assert_int_equal(hubbub_answer(router->app, fixture->task, NULL), HUBBUB_ERROR_STATE);
    assert_int_equal(hubbub_refuse(router->app, fixture->task, "", NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_change(router->app, fixture->task, "x", NULL, 0), HUBBUB_ERROR_JSON);
    assert_int_equal(hubbub_pass(router->app, fixture->task), 0);
    assert_int_equal(hubbub_pass(router->app, fixture->task), HUBBUB_ERROR_NOT_FOUND);
    EXPECT(router, VERDICT, verdict, later);
    assert_int_equal(later.task, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_by_name_and_any),
        TEST(test_no_answer_is_wanted),
        TEST(test_nobody_handles_it),
        TEST(test_binary),
        TEST(test_open_events_go_with_their_socket),
        TEST(test_answered_later),
        TEST(test_an_answer_that_is_too_large),
        TEST(test_names_of_any_bytes),
        TEST(test_judging),
    };

    return cmocka_run_group_tests_name("app/event", tests, NULL, NULL);
}
