/* Questions to clients and their replies, and sockets that are searched for. */
#include "tests/unit/app/fixture.h"

#include <stdio.h>
#include <string.h>

static void on_replies(void *user, const struct hubbub_replies *replies)
{
    char line[256];
    int at = snprintf(line, sizeof line, "%d%s", replies->error, replies->code);

    for (size_t i = 0; i < replies->reply_count; i++)
        at += snprintf(line + at, sizeof line - at, " %s=%s+%zu", replies->replies[i].id,
                       replies->replies[i].arguments, replies->replies[i].attachment_count);
    for (size_t i = 0; i < replies->missing_count; i++)
        at += snprintf(line + at, sizeof line - at, " %s?", replies->missing[i]);
    if (replies->reply_count && replies->replies[0].attachment_count)
        assert_memory_equal(replies->replies[0].attachments[0].data, "\0\1", 2);
    tell(user, "replies", line);
}

static void reply(struct played_router *router, uint64_t number, const char *sid, const char *arguments)
{
    wire_put_reply(&router->out, &(struct wire_reply){.number = number,
                                                      .sid = bytes_from_text(sid),
                                                      .arguments = bytes_from_text(arguments)});
}

static void asked(struct played_router *router, uint64_t number, struct bytes sids)
{
    wire_put_asked(&router->out, &(struct wire_asked){.number = number, .sids = sids});
}

static void test_all_answer(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    struct wire_list blobs = {0};

    begin(fixture);
    assert_int_equal(hubbub_ask(hubbub_timeout(hubbub_to(hubbub_of(router->app, "/"), "r"), 60000),
                                "question", "1", on_replies, fixture),
                     0);
    EXPECT(router, QUESTION, question, question);
    assert_bytes(question.namespace, "/");
    assert_list(question.rooms, "r", NULL);
    assert_int_equal(question.timeout, 60000);
    assert_bytes(question.event, "question");
    assert_bytes(question.arguments, "1");
    wire_list_put_blob(&blobs, bytes_make("\0\1", 2));
    wire_put_reply(&router->out, &(struct wire_reply){.number = question.number,
                                                      .sid = BYTES("b"),
                                                      .arguments = BYTES("{\"_placeholder\":true,\"num\":0}"),
                                                      .attachments = wire_list_finish(&blobs)});
    asked(router, question.number, list_of("a", "b", NULL));
    reply(router, question.number, "b", "\"twice\"");
    reply(router, question.number + 1, "a", "\"never asked\"");
    router_send(router);
    router_expect_silence(router);
    assert_string_equal(fixture->told, "");
    reply(router, question.number, "a", "1,2");
    reply(router, question.number, "c", "\"too late\"");
    router_send(router);
    assert_told(fixture, "replies 0 b={\"_placeholder\":true,\"num\":0}+1 a=1,2+0");
    wire_list_done(&blobs);
}

static void test_nobody_is_there(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    assert_int_equal(hubbub_ask(hubbub_self(socket_s(fixture)), "question", NULL, on_replies, fixture), 0);
    EXPECT(router, QUESTION, question, question);
    assert_int_equal(question.timeout, HUBBUB_ASK_TIMEOUT_MS);
    asked(router, question.number, (struct bytes){0});
    router_send(router);
    assert_told(fixture, "replies 0");
}

static void test_some_do_not_answer(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    assert_int_equal(
        hubbub_ask(hubbub_timeout(hubbub_of(router->app, "/"), 2500), "question", NULL, on_replies, fixture),
        0);
    EXPECT(router, QUESTION, question, question);
    asked(router, question.number, list_of("a", "b", "c", NULL));
    reply(router, question.number, "b", "");
    router_send(router);
    assert_told(fixture, "replies -8 b=+0 a? c?");
}

static void test_a_refused_question(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    assert_int_equal(hubbub_ask(hubbub_of(router->app, "/"), "question", NULL, on_replies, fixture), 0);
    EXPECT(router, QUESTION, question, question);
    wire_put_outcome(&router->out, &(struct wire_outcome){.number = question.number, .error = BYTES("busy")});
    router_send(router);
    assert_told(fixture, "replies -9busy");
}

static void test_a_question_is_put_once(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    assert_int_equal(hubbub_ask(hubbub_of(router->app, "/"), "asked", NULL, on_replies, fixture), 0);
    assert_int_equal(hubbub_ask(hubbub_of(router->app, "/"), "lost", NULL, on_replies, fixture), 0);
    EXPECT(router, QUESTION, question, first);
    EXPECT(router, QUESTION, question, second);
    asked(router, first.number, list_of("a", NULL));
    reply(router, second.number, "x", "\"from nobody knows whom\"");
    router_send(router);
    wire_put_resync(&router->out, &(struct wire_resync){0});
    router_send(router);
    router_take_in(router, 1);
    EXPECT(router, QUESTION, question, again);
    assert_int_equal(again.number, second.number);
    reply(router, first.number, "a", "1");
    asked(router, second.number, list_of("b", NULL));
    reply(router, second.number, "b", "2");
    router_send(router);
    assert_told(fixture, "replies 0 a=1+0, replies 0 b=2+0");
}

static void on_findings(void *user, const struct hubbub_findings *findings)
{
    char line[256];
    int at = snprintf(line, sizeof line, "%d%s", findings->error, findings->code);

    for (size_t i = 0; i < findings->count; i++) {
        const struct hubbub_found *found = &findings->sockets[i];

        at += snprintf(line + at, sizeof line - at, " %s/%s/%s/%s", found->id, found->from, found->data,
                       found->address);
        for (size_t j = 0; j < found->room_count; j++)
            at += snprintf(line + at, sizeof line - at, "/%s", found->rooms[j]);
    }
    tell(user, "found", line);
}

static void found(struct played_router *router, uint64_t number, const char *sid)
{
    wire_put_found(&router->out, &(struct wire_found){.number = number,
                                                      .sid = bytes_from_text(sid),
                                                      .from = BYTES("f"),
                                                      .rooms = list_of("r", NULL),
                                                      .data = BYTES("{}"),
                                                      .address = BYTES("::1")});
}

static void test_searching(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    assert_int_equal(hubbub_fetch_sockets(hubbub_except(hubbub_to(hubbub_of(router->app, "/"), "r"), "x"),
                                          on_findings, fixture),
                     0);
    EXPECT(router, FIND, find, find);
    assert_list(find.rooms, "r", NULL);
    assert_list(find.except, "x", NULL);
    found(router, find.number, "a");
    router_send(router);
    /* The link breaks in the middle of the answer: it begins anew. */
    wire_put_resync(&router->out, &(struct wire_resync){0});
    router_send(router);
    router_take_in(router, 1);
    EXPECT(router, FIND, find, again);
    assert_int_equal(again.number, find.number);
    found(router, find.number, "a");
    found(router, find.number, "b");
    wire_put_found_end(&router->out, &(struct wire_found_end){.number = find.number, .sockets = 2});
    router_send(router);
    assert_told(fixture, "found 0 a/f/{}/::1/a/r b/f/{}/::1/b/r");
}

static void test_a_search_that_finds_too_much(void **state)
{
    struct fixture *fixture = *state;
    struct hubbub_options options = {.router = fixture->router.endpoint, .queue_bytes = 2000};
    struct played_router *router = &fixture->router;

    hubbub_app_free(router->app);
    assert_int_equal(hubbub_app_new(&options, &router->app), 0);
    assert_int_equal(hubbub_serve(router->app, "/", NULL, NULL, NULL), 0);
    assert_int_equal(hubbub_fetch_sockets(hubbub_of(router->app, "/"), on_findings, fixture), 0);
    router_take_in(router, 0);
    EXPECT(router, FIND, find, find);
    for (int i = 0; i < 100; i++)
        found(router, find.number, "a");
    router_send(router);
    assert_told(fixture, "found -3");
    assert_int_equal(hubbub_emit(hubbub_of(router->app, "/"), "e", NULL), 0); /* the queue is free again */
}

static void on_outcome(void *user, const struct hubbub_outcome *outcome)
{
    tell(user, "outcome", outcome->error == HUBBUB_ERROR_GONE ? "gone" : "another");
}

static void test_the_end_of_the_app_ends_them(void **state)
{
    struct fixture *fixture = *state;
    struct hubbub_app *app = fixture->router.app;

    begin(fixture);
    assert_int_equal(hubbub_ask(hubbub_of(app, "/"), "question", NULL, on_replies, fixture), 0);
    assert_int_equal(hubbub_fetch_sockets(hubbub_of(app, "/"), on_findings, fixture), 0);
    assert_int_equal(hubbub_emit(hubbub_on_outcome(hubbub_of(app, "/"), on_outcome, fixture), "e", NULL), 0);
    hubbub_app_free(app);
    fixture->router.app = NULL;
    assert_string_equal(fixture->told, "replies -7, found -7, outcome gone");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_answer),
        TEST(test_nobody_is_there),
        TEST(test_some_do_not_answer),
        TEST(test_a_refused_question),
        TEST(test_a_question_is_put_once),
        TEST(test_searching),
        TEST(test_a_search_that_finds_too_much),
        TEST(test_the_end_of_the_app_ends_them),
    };

    return cmocka_run_group_tests_name("app/gathering", tests, NULL, NULL);
}
