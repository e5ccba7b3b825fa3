/* Questions to other gateways: how long they are asked, how often, and how much of them is kept. */
#include "gateway/relay.h"
#include "tests/unit/gateway/played.h"
#include "tests/unit/gateway/played_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static char sid[SESSION_SID_LENGTH + 1];

static struct bytes sid_bytes(void)
{
    return bytes_make(sid, SESSION_SID_LENGTH);
}

/* A post at the other gateway, with that much of its body, of that length in all. */
static struct client posting(size_t length, const char *begun)
{
    struct client client = client_open(other);
    struct buffer head = {0};

    buffer_printf(&head,
                  "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n"
                  "Content-Length: %zu\r\n\r\n%s",
                  sid, length, begun);
    client_write(&client, buffer_bytes(&head));
    buffer_done(&head);
    played_settle();
    return client;
}

static void numbers_of_kinds_are_apart(void **state)
{
    unsigned seen[64] = {0};

    (void)state;
#define X(name, number) assert_in_range(number, WIRE_PASS_QUESTIONS, WIRE_PASS_ANSWERS - 1), seen[number]++;
    RELAY_QUESTIONS(X)
#undef X
#define X(name, number) assert_in_range(number, WIRE_PASS_ANSWERS, 63), seen[number]++;
    RELAY_ANSWERS(X)
#undef X
    for (unsigned i = 0; i < 64; i++)
        assert_true(seen[i] <= 1);
}

/* -- time ---------------------------------------------------------------------------------------- */

/* Its home has the head, and is not to be given up before the body's own time is over. */
static void a_post_may_take_its_time(void **state)
{
    struct client post;

    (void)state;
    open_session(home, sid);
    post = posting(2, "4");
    played_skip(other->settings->http_body_timeout - 1);
    client_write(&post, BYTES("0"));
    played_settle();
    assert_int_equal(client_answer(&post, NULL), 200);
    assert_int_equal(home->requests.count, 1);
    client_close(&post);
}

static void a_post_whose_body_does_not_come_is_given_up(void **state)
{
    struct client post;

    (void)state;
    open_session(home, sid);
    post = posting(2, "4");
    played_skip(other->settings->http_body_timeout);
    played_settle();
    assert_int_equal(client_answer(&post, NULL), 408);
    assert_null(session_find(home, sid_bytes()));
    assert_int_equal(other->relays.questions.count, 0);
    client_close(&post);
}

/* A home that does not answer: the session counts as unknown, each kind in its time. */
static void questions_without_an_answer_end(void **state)
{
    const struct gateway_settings *settings = other->settings;
    struct client poll = client_open(other), post, upgrade = client_open(other);

    (void)state;
    open_session(home, sid);
    post = posting(2, "40");
    client_close(&post);
    played_settle();
    played_link_down(home);
    client_poll(&poll, sid);
    post = posting(2, "40");
    client_upgrade(&upgrade, sid);
    for (int i = 0; i < 3; i++)
        played_turn(other);
    assert_int_equal(other->relays.questions.count, 3);
    played_skip(settings->request_timeout);
    assert_int_equal(client_answer(&post, NULL), 400);
    assert_int_equal(client_answer(&upgrade, NULL), 400); /* upgrade_timeout is no longer */
    assert_int_equal(client_answer(&poll, NULL), 0);
    played_skip(settings->ping_interval + settings->ping_timeout + 5000);
    assert_int_equal(client_answer(&poll, NULL), 400);
    client_close(&poll);
    client_close(&post);
    client_close(&upgrade);
}

static void the_router_may_say_again_or_never(void **state)
{
    const uint64_t incarnation = home->incarnation;
    struct client poll = client_open(other);
    const char *body = "";

    (void)state;
    open_session(home, sid);
    played_link_down(home);
    client_poll(&poll, sid);
    played_settle();
    assert_int_equal(played_count(RELAY_POLL), 1);
    played_skip(499);
    assert_int_equal(played_count(RELAY_POLL), 1);
    played_skip(1);
    assert_int_equal(played_count(RELAY_POLL), 2);
    played_settle();
    home->incarnation++; /* nobody's any more */
    played_skip(500);
    played_settle();
    assert_int_equal(client_answer(&poll, &body), 400);
    assert_string_equal(body, "{\"code\":1,\"message\":\"Session ID unknown\"}");
    assert_int_equal(other->relays.questions.count, 0);
    home->incarnation = incarnation;
    client_close(&poll);
}

/* -- memory ------------------------------------------------------------------------------------ */

static void what_is_kept_has_a_limit(void **state)
{
    enum { CLIENTS = 40, BODY = 10000 };
    static char filler[BODY + 1];
    struct client posts[CLIENTS];
    unsigned refused = 0;

    (void)state;
    memset(filler, '4', BODY);
    fixture_settings(other)->pending_bytes = 65536;
    open_session(home, sid);
    played_link_down(other);
    for (int i = 0; i < CLIENTS; i++) {
        posts[i] = posting(BODY, filler);
        refused += client_answer(&posts[i], NULL) == 503;
        assert_true(other->relays.bytes < 65536 + 2 * BODY);
    }
    assert_true(refused >= CLIENTS - 8);
    assert_true(refused < CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        client_close(&posts[i]);
    played_settle();
    assert_int_equal(other->relays.questions.count, 0);
    assert_int_equal(other->relays.bytes, 0);
}

/* A post that is refused for want of memory leaves its session as it was. */
static void a_post_refused_here_is_forgotten_at_home(void **state)
{
    struct client post;
    uint64_t filler;

    (void)state;
    open_session(home, sid);
    post = posting(2, "4");
    fixture_settings(other)->pending_bytes = 65536;
    filler = relay_ask(other, home->incarnation + 1, RELAY_POLL, sid_bytes(),
                       bytes_make(other->reading.buffer, 65536), 0);
    assert_int_not_equal(filler, 0);
    relay_tell(other, home->incarnation, 0, RELAY_METHOD, sid_bytes()); /* passed, and answered to nobody */
    client_write(&post, BYTES("0"));
    played_settle();
    assert_int_equal(client_answer(&post, NULL), 503);
    relay_forget(other, filler);
    client_close(&post);
    played_settle();
    assert_int_equal(other->relays.bytes, 0);
    assert_int_equal(post_once(home, sid, "40"), 200);
}

/* A WebSocket for which nothing can be asked is told so, and not only hung up on. */
static void a_websocket_beyond_the_limit_is_refused(void **state)
{
    struct client client = client_open(other);
    uint64_t filler;

    (void)state;
    open_session(home, sid);
    fixture_settings(other)->pending_bytes = 65536;
    filler = relay_ask(other, home->incarnation + 1, RELAY_POLL, sid_bytes(),
                       bytes_make(other->reading.buffer, 65536), 0);
    assert_int_not_equal(filler, 0);
    client_upgrade(&client, sid);
    played_settle();
    assert_int_equal(client_answer(&client, NULL), 503);
    assert_true(client_ended(&client));
    assert_int_equal(other->counters.http_refused[503 - HTTP_REFUSED_FIRST], 1);
    assert_int_equal(other->counters.closed[CLOSE_ROUTER_SILENT], 1);
    relay_forget(other, filler);
    client_close(&client);
    played_settle();
    assert_int_equal(other->relays.bytes, 0);
}

/* -- what others say ------------------------------------------------------------------------------ */

static void pass(struct gateway *gateway, uint64_t number, unsigned kind, struct bytes about,
                 struct bytes body)
{
    relay_on_passed(
        gateway, &(struct wire_passed){
                     .from = other->incarnation, .number = number, .kind = kind, .sid = about, .body = body});
}

/* Every kind, about sessions that are there or not, with or without a body, from nobody who was asked. */
static void nothing_that_is_said_does_harm(void **state)
{
    static const char zeros[8];
    const struct bytes bodies[] = {BYTES(""), BYTES("1"), BYTES("400"), BYTES("no number"),
                                   bytes_make(zeros, 8)};

    (void)state;
    for (unsigned kind = 0; kind < 70; kind++)
        for (unsigned body = 0; body < sizeof bodies / sizeof *bodies; body++)
            for (int which = 0; which < 4; which++) {
                struct client poll = client_open(home);

                open_session(home, sid);
                client_poll(&poll, sid);
                played_settle();
                pass(home, which & 1, kind, which & 2 ? sid_bytes() : BYTES("no sid"), bodies[body]);
                played_turn(home);
                client_close(&poll);
                played_settle();
                assert_null(session_find(home, sid_bytes()));
            }
    assert_int_equal(home->connections.slots.count, 0);
    assert_int_equal(home->relays.questions.count, 0);
}

/* And every kind of answer to every kind of question that a client is behind. */
static void every_answer_to_every_question_ends_well(void **state)
{
    (void)state;
    for (unsigned kind = WIRE_PASS_ANSWERS; kind < WIRE_PASS_ANSWERS + 12; kind++)
        for (int asked = 0; asked < 4; asked++)
            for (int with = 0; with < 2; with++) {
                struct client client;
                uint64_t number = 0;
                uint32_t slot = 0;

                open_session(home, sid);
                client = asked == 1 ? posting(3, "4") : client_open(other);
                if (asked == 0)
                    client_poll(&client, sid);
                else if (asked == 2)
                    client_upgrade(&client, sid);
                else if (asked == 3)
                    client_post(&client, sid, "40");
                played_turn(other);
                while (number == 0) { /* the only one's */
                    if (other->relays.questions.things[slot])
                        number = (uint64_t)other->relays.questions.generations[slot] << 32 | slot;
                    slot++;
                }
                pass(other, number, kind, sid_bytes(), with ? BYTES("400") : (struct bytes){0});
                if (asked == 1 && client_connection(&client))
                    client_write(&client, BYTES("0x"));
                for (int i = 0; i < 3; i++)
                    played_turn(other);
                client_read(&client);
                client_close(&client);
                played_settle();
                assert_int_equal(other->relays.questions.count, 0);
                assert_int_equal(other->connections.slots.count, 0);
                if (session_find(home, sid_bytes()))
                    connection_drop(home, session_find(home, sid_bytes())->connection, CLOSE_DRAIN);
                played_settle();
            }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, played_start, played_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_kinds_are_apart),
        TEST(a_post_may_take_its_time),
        TEST(a_post_whose_body_does_not_come_is_given_up),
        TEST(questions_without_an_answer_end),
        TEST(the_router_may_say_again_or_never),
        TEST(what_is_kept_has_a_limit),
        TEST(a_post_refused_here_is_forgotten_at_home),
        TEST(a_websocket_beyond_the_limit_is_refused),
        TEST(nothing_that_is_said_does_harm),
        TEST(every_answer_to_every_question_ends_well),
    };

    return cmocka_run_group_tests_name("gateway relay", tests, NULL, NULL);
}
