/* What bare clients missed: pages of the history, and that nothing else comes before, between or instead. */
#include "tests/unit/gateway/bare_fixture.h"
#include "tests/unit/gateway/played.h"

#include "gateway/bare_resume.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define NONE         ((struct bytes){0})

#define MESSAGE(seq)                                                                                         \
    "{\"seq\":" #seq ",\"id\":\"i\",\"event\":\"msg\",\"from\":\"f\",\"at\":5,\"args\":[" #seq "]}"
#define EVENT(seq)                                                                                           \
    "{\"type\":\"event\",\"event\":\"msg\",\"args\":[" #seq "],\"meta\":{\"room\":\"R\",\"seq\":" #seq       \
    ",\"id\":\"i\",\"from\":\"f\",\"at\":5}}"
#define PAGE(messages, more) "{\"ok\":true,\"room\":\"R\",\"messages\":[" messages "],\"more\":" more "}"
#define LIVE                 "{\"type\":\"event\",\"event\":\"live\",\"args\":[]}"

static void expect_page_asked(uint64_t after)
{
    struct wire_reader reader = played_request(home, REQUEST_HISTORY);
    struct wire_history history;

    assert_int_equal(wire_get_history(&reader, &history), 0);
    assert_true(bytes_equal_text(history.room, "R"));
    assert_int_equal(history.has_after, 1);
    assert_int_equal(history.after, after);
    assert_int_equal(history.limit, 200);
}

static void answer_page(const char *answer)
{
    played_answer_request(home, REQUEST_HISTORY, answer, NONE);
    played_settle();
}

/* In the room, whose last message is 10, with an answer on its way to what it missed. */
static struct client resuming(const char *query, uint64_t asked_after)
{
    struct client client = bare_entering(query);

    bare_let_in();
    assert_string_equal(client_messages(&client), "");
    expect_page_asked(asked_after);
    return client;
}

static void expect_messages(struct client *client, const char *rest)
{
    const char *text = client_messages(client);

    assert_int_equal(strncmp(text, bare_opened, strlen(bare_opened)), 0);
    assert_string_equal(text + strlen(bare_opened), rest);
}

static void what_was_missed_comes_before_what_is_new(void **state)
{
    struct client client = resuming("?room=R&after=7", 7);

    (void)state;
    played_deliver(home, "R", "[\"live\"]"); /* number 11, say */
    bare_say(&client, "{\"data\":1,\"ref\":1}");
    played_answer_request(home, REQUEST_EVENT, "{\"ok\":true}", NONE);
    played_settle();
    assert_string_equal(client_messages(&client), "");
    answer_page(PAGE(MESSAGE(8) "," MESSAGE(9), "true"));
    assert_string_equal(client_messages(&client), "");
    expect_page_asked(9);
    answer_page(PAGE(MESSAGE(10) "," MESSAGE(11), "false")); /* 11 is among the live ones */
    expect_messages(&client, "|" EVENT(8) "|" EVENT(9) "|" EVENT(
                                 10) "|" LIVE "|{\"type\":\"ack\",\"ref\":1,\"ok\":true}");
    played_deliver(home, "R", "[\"live\"]");
    played_settle();
    assert_string_equal(client_messages(&client), LIVE);
    bare_leave(&client);
}

static void who_has_all_gets_nothing_more(void **state)
{
    struct client client = bare_entering("?room=R&after=10");

    (void)state;
    bare_let_in();
    assert_string_equal(client_messages(&client), bare_opened);
    assert_int_equal(played_waiting(home), 0);
    bare_leave(&client);
}

static void a_gap_is_told(void **state)
{
    static const struct {
        const char *query;
        uint64_t asked;
        const char *page, *rest;
    } table[] = {
        /* The history begins later. */
        {"?room=R&after=3", 3, PAGE(MESSAGE(9) "," MESSAGE(10), "false"),
         "|{\"type\":\"gap\",\"room\":\"R\",\"after\":3,\"next\":9}|" EVENT(9) "|" EVENT(10)},
        {"?room=R&after=3", 3, PAGE("", "false"),
         "|{\"type\":\"gap\",\"room\":\"R\",\"after\":3,\"next\":11}"},
        {"?room=R&after=3", 3, PAGE("", "true"),
         "|{\"type\":\"gap\",\"room\":\"R\",\"after\":3,\"next\":11}"},
        /* The numbers are others than those that the client knows. */
        {"?room=R&after=11", 0, PAGE(MESSAGE(10), "false"),
         "|{\"type\":\"gap\",\"room\":\"R\",\"after\":11,\"next\":10}|" EVENT(10)},
        {"?room=R&after=18446744073709551615", 0, PAGE(MESSAGE(1) "," MESSAGE(10), "false"),
         "|{\"type\":\"gap\",\"room\":\"R\",\"after\":18446744073709551615,\"next\":1}|" EVENT(1) "|" EVENT(
             10)},
        /* No gap: all of a room. */
        {"?room=R&after=0", 0, PAGE(MESSAGE(1) "," MESSAGE(10), "false"), "|" EVENT(1) "|" EVENT(10)},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct client client = resuming(table[i].query, table[i].asked);

        answer_page(table[i].page);
        expect_messages(&client, table[i].rest);
        bare_leave(&client);
    }
}

static void no_more_than_so_many_are_read(void **state)
{
    struct client client = bare_entering("?room=R&after=7");

    (void)state;
    played_answer(home, played_connecting(home), "S", "P", false);
    played_answer_request(home, REQUEST_JOIN, "{\"ok\":true,\"room\":\"R\",\"seq\":1009,\"members\":2}",
                          NONE);
    played_settle();
    expect_page_asked(1009 - BARE_RESUME_MAX);
    answer_page(PAGE(MESSAGE(10), "true"));
    expect_page_asked(10);
    answer_page(PAGE(MESSAGE(1009), "false"));
    assert_non_null(
        strstr(client_messages(&client),
               "|{\"type\":\"gap\",\"room\":\"R\",\"after\":7,\"next\":10}|" EVENT(10) "|" EVENT(1009)));
    bare_leave(&client);
}

/* The outbound queue of the fixture is 64 KB: the newest 32 KB of frames fit. */
static void no_more_than_fits_is_sent(void **state)
{
    static const char gap[] = "|{\"type\":\"gap\",\"room\":\"R\",\"after\":4,\"next\":8}|";
    struct client client = resuming("?room=R&after=4", 4);
    struct buffer page = {0};
    const char *text;
    unsigned events = 0;

    (void)state;
    buffer_append_literal(&page, "{\"ok\":true,\"messages\":[");
    for (unsigned seq = 5; seq <= 10; seq++) {
        buffer_printf(&page,
                      "%s{\"seq\":%u,\"id\":\"i\",\"event\":\"msg\",\"from\":\"f\",\"at\":5,\"args\":[\"",
                      seq > 5 ? "," : "", seq);
        for (unsigned i = 0; i < 10000; i++)
            buffer_append_char(&page, 'x');
        buffer_append_literal(&page, "\"]}");
    }
    buffer_append_literal(&page, "],\"more\":false}");
    buffer_append_char(&page, '\0');
    answer_page(page.data);
    text = client_messages(&client);
    assert_int_equal(strncmp(text, bare_opened, strlen(bare_opened)), 0);
    text += strlen(bare_opened);
    assert_int_equal(strncmp(text, gap, sizeof gap - 1), 0);
    for (text = strstr(text, "\"seq\":"); text; text = strstr(text + 1, "\"seq\":"))
        assert_int_equal(atoi(text + 6), 8 + events++);
    assert_int_equal(events, 3);
    buffer_done(&page);
    bare_leave(&client);
}

static void attachments_come_with_their_message(void **state)
{
    struct client client = resuming("?room=R&after=8", 8);
    struct wire_list list = {0};

    (void)state;
    wire_list_put_blob(&list, BYTES("a"));
    wire_list_put_blob(&list, BYTES("bc"));
    played_answer_request(
        home, REQUEST_HISTORY,
        PAGE("{\"seq\":9,\"id\":\"i\",\"event\":\"f\",\"from\":\"f\",\"at\":5,\"args\":[{\"_placeholder\":"
             "true,"
             "\"num\":0}]},{\"seq\":10,\"id\":\"i\",\"event\":\"f\",\"from\":\"f\",\"at\":5,\"args\":[{\"_"
             "placeholder\":true,\"num\":1}]}",
             "false"),
        wire_list_finish(&list));
    played_settle();
    expect_messages(
        &client,
        "|{\"type\":\"event\",\"event\":\"f\",\"args\":[{\"_placeholder\":true,\"num\":0}],\"meta\":{"
        "\"room\":\"R\",\"seq\":9,\"id\":\"i\",\"from\":\"f\",\"at\":5},\"attachments\":[\"YQ==\"]}"
        "|{\"type\":\"event\",\"event\":\"f\",\"args\":[{\"_placeholder\":true,\"num\":0}],\"meta\":{"
        "\"room\":\"R\",\"seq\":10,\"id\":\"i\",\"from\":\"f\",\"at\":5},\"attachments\":[\"YmM=\"]}");
    wire_list_done(&list);
    bare_leave(&client);
}

/* Who would go on from a live event would never hear of what was before it. */
static void nothing_live_leaves_when_the_rest_cannot_come(void **state)
{
    struct client client = resuming("?room=R&after=7", 7);

    (void)state;
    played_deliver(home, "R", "[\"live\"]");
    answer_page("{\"ok\":false,\"error\":{\"code\":\"unavailable\",\"message\":\"the archive is away\"}}");
    assert_string_equal(client_messages(&client), "close 4450 unavailable: the archive is away");
    bare_leave(&client);

    client = resuming("?room=R&after=7", 7);
    played_deliver(home, "R", "[\"live\"]");
    answer_page(PAGE(MESSAGE(8), "true"));
    drain_at_once(home);
    played_settle();
    assert_string_equal(client_messages(&client), "close 1001 drain");
    bare_leave(&client);
}

static void the_clients_own_close_is_answered_alone(void **state)
{
    struct client client = resuming("?room=R&after=7", 7);

    (void)state;
    played_deliver(home, "R", "[\"live\"]");
    client_write(&client, bytes_make("\x88\x82\0\0\0\0\x03\xe8", 8));
    played_settle();
    assert_string_equal(client_messages(&client), "close 1000");
    bare_leave(&client);
}

static void a_client_that_is_gone_takes_its_pages_along(void **state)
{
    struct client client = resuming("?room=R&after=7", 7);

    (void)state;
    answer_page(PAGE(MESSAGE(8), "true"));
    bare_leave(&client);
    answer_page(PAGE(MESSAGE(9) "," MESSAGE(10), "false"));
    assert_int_equal(played_waiting(home), 0);
}

static void nobody_is_blamed_for_a_ping_that_was_kept_back(void **state)
{
    struct client client = resuming("?room=R&after=9", 9);

    (void)state;
    played_skip(home->settings->ping_interval + 1);
    played_skip(home->settings->ping_timeout + 1);
    assert_string_equal(client_messages(&client), "");
    answer_page(PAGE(MESSAGE(10), "false"));
    expect_messages(&client, "|" EVENT(10) "|ping");
    bare_leave(&client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, played_start, played_stop)
    const struct CMUnitTest tests[] = {
        TEST(what_was_missed_comes_before_what_is_new),
        TEST(who_has_all_gets_nothing_more),
        TEST(a_gap_is_told),
        TEST(no_more_than_so_many_are_read),
        TEST(no_more_than_fits_is_sent),
        TEST(attachments_come_with_their_message),
        TEST(nothing_live_leaves_when_the_rest_cannot_come),
        TEST(the_clients_own_close_is_answered_alone),
        TEST(a_client_that_is_gone_takes_its_pages_along),
        TEST(nobody_is_blamed_for_a_ping_that_was_kept_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
