/* What one client may use: events of a connection on every transport, and connections of an address. */
#include "common/memory.h"
#include "gateway/entrance.h"
#include "gateway/quota.h"
#include "tests/unit/gateway/bare_fixture.h"
#include "tests/unit/gateway/played.h"
#include "tests/unit/gateway/played_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RATE = 10, BURST = 20, HEARD = 32 };

static int start(void **state)
{
    int result = played_start(state);

    fixture_settings(home)->events_per_second = RATE;
    fixture_settings(home)->events_burst = BURST;
    return result;
}

static unsigned occurrences(const char *text, const char *wanted)
{
    unsigned count = 0;

    for (const char *at = text; (at = strstr(at, wanted)); at += strlen(wanted))
        count++;
    return count;
}

/* A WebSocket with a socket in "/". */
static struct client connected(void)
{
    struct client client = client_open(home);

    client_upgrade(&client, NULL);
    played_settle();
    client_message(&client, "40");
    played_settle();
    played_connect(home);
    played_settle();
    client_messages(&client);
    return client;
}

static void say(struct client *client, const char *text, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        client_message(client, text);
    played_settle();
}

static void more_than_the_burst_is_refused_until_time_has_passed(void **state)
{
    struct client client = connected();
    const char *said;

    (void)state;
    say(&client, "421[\"presence\",\"R\"]", BURST + 1); /* the CONNECT took one */
    said = client_messages(&client);
    assert_int_equal(occurrences(said, "431[{\"ok\":false,\"error\":{\"code\":\"rate_limited\""), 2);
    assert_int_equal(home->counters.refused[REFUSAL_RATE_LIMITED], 2);
    assert_int_equal(played_waiting(home), BURST - 1);

    played_skip(500);
    say(&client, "422[\"presence\",\"R\"]", 6);
    assert_int_equal(occurrences(client_messages(&client), "rate_limited"), 1);
    assert_int_equal(played_waiting(home), BURST - 1 + 5);
    client_close(&client);
    played_settle();
}

static void who_asks_for_no_answer_hears_of_it(void **state)
{
    struct client client = connected();

    (void)state;
    say(&client, "42[\"msg\",{\"room\":\"R\"}]", BURST);
    assert_non_null(strstr(client_messages(&client),
                           "42[\"hubbub:error\",{\"event\":\"msg\",\"error\":{\"code\":\"rate_limited\""));
    client_close(&client);
    played_settle();
}

static void who_does_not_listen_is_left_unread(void **state)
{
    struct client client = connected();

    (void)state;
    say(&client, "421[\"presence\",\"R\"]", 150);
    assert_int_equal(occurrences(client_messages(&client), "rate_limited"), HEARD);
    assert_true(client_connection(&client)->paused);
    assert_int_equal(home->counters.reading_paused, 1);
    played_settle(); /* turns alone change nothing */
    assert_int_equal(home->counters.refused[REFUSAL_RATE_LIMITED], HEARD);

    played_skip(1000 * (BURST / 2) / RATE - 1);
    assert_true(client_connection(&client)->paused);
    played_skip(1);
    played_settle();
    assert_int_equal(home->counters.refused[REFUSAL_RATE_LIMITED], 2 * HEARD); /* and again */
    assert_true(client_connection(&client)->paused);
    assert_int_equal(played_waiting(home), BURST - 1 + BURST / 2);
    client_close(&client);
    played_settle();
}

static void nobody_is_refused_without_a_rate(void **state)
{
    struct client client = connected();

    (void)state;
    fixture_settings(home)->events_per_second = 0;
    say(&client, "421[\"presence\",\"R\"]", 200);
    assert_int_equal(home->counters.refused[REFUSAL_RATE_LIMITED], 0);
    assert_int_equal(played_waiting(home), 200);
    client_close(&client);
    played_settle();
}

static void connects_and_answers_and_pings_count_too(void **state)
{
    struct client client = connected();

    (void)state;
    say(&client, "437[1]", BURST - 1);
    assert_int_equal(home->counters.answers_unasked, BURST - 1);
    say(&client, "40/other,", 1); /* CONNECT_ERROR would be for good: the transport ends */
    assert_string_equal(client_messages(&client), "close 1013");
    assert_int_equal(home->counters.closed[CLOSE_RATE_LIMITED], 1);
    client_close(&client);
    played_settle();
}

static void posts_count_as_frames_do(void **state)
{
    char sid[SESSION_SID_LENGTH + 1];
    struct buffer body = {0};
    struct client client;

    (void)state;
    open_socket_session(home, sid);
    for (unsigned i = 0; i < 200; i++)
        buffer_printf(&body, "%s421[\"presence\",\"R\"]", i ? "\x1e" : "");
    buffer_append_char(&body, '\0');
    client = client_open(home);
    client_post(&client, sid, body.data);
    played_settle();
    assert_int_equal(home->counters.refused[REFUSAL_RATE_LIMITED], HEARD);
    assert_int_equal(client_answer(&client, NULL), 0); /* what is left of the post waits, and its answer */
    client_close(&client);
    played_settle();
    buffer_done(&body);
}

static void bare_frames_count_as_well(void **state)
{
    struct client client = bare_enter();
    const char *said;

    (void)state;
    for (unsigned i = 0; i < BURST; i++)
        bare_say(&client, "{\"type\":\"presence\",\"ref\":1}");
    client_messages(&client);
    bare_say(&client, "{\"type\":\"presence\",\"ref\":2}");
    bare_say(&client, "{\"type\":\"nonsense\",\"ref\":3}");
    said = client_messages(&client);
    assert_int_equal(occurrences(said, "rate_limited"), 2);
    assert_non_null(strstr(said, "\"ref\":2,\"ok\":false"));
    assert_non_null(strstr(said, "\"ref\":3,\"ok\":false"));
    client_close(&client);
    played_settle();
}

/* -- addresses ---------------------------------------------------------------------------------- */

/* The gateways' connections are pairs of Unix sockets, so only what a trusted balancer tells has an address. */
static struct ip_address own = {{[15] = 1}};

static int start_behind_balancer(void **state)
{
    int result = played_start(state);
    struct buffer error = {0};

    assert_int_equal(ip_ranges_parse("::2", &fixture_settings(home)->trusted_ranges, &error), 0);
    fixture_settings(home)->max_connections_per_address = 3;
    return result;
}

/* A connection of the balancer's, or of that address itself. */
static struct client from(struct ip_address address)
{
    struct client client = client_open(home);
    struct connection *connection = client_connection(&client);

    connection->entrance = memory_zero(1, sizeof *connection->entrance);
    connection->entrance->address = address;
    return client;
}

static struct client balancer(void)
{
    return from((struct ip_address){{[15] = 2}});
}

/* The status of a request for a client of that address. */
static int ask(struct client *client, const char *target, const char *forwarded, const char *fields)
{
    struct buffer request = {0};

    buffer_printf(&request, "GET %s HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: %s\r\n%s\r\n", target, forwarded,
                  fields);
    client_write(client, buffer_bytes(&request));
    played_settle();
    buffer_done(&request);
    return client_answer(client, NULL);
}

#define POLLING "/socket.io/?EIO=4&transport=polling"
#define UPGRADE                                                                                              \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"                             \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static void an_address_has_so_many_sessions_on_one_connection(void **state)
{
    struct client client = balancer();

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ask(&client, POLLING, "192.0.2.1", ""), 200);
    assert_int_equal(ask(&client, POLLING, "192.0.2.1", ""), 429);
    assert_int_equal(home->counters.address_too_many, 1);
    assert_int_equal(home->counters.http_refused[429 - HTTP_REFUSED_FIRST], 1);
    assert_int_equal(ask(&client, POLLING, "192.0.2.2", ""), 200);
    assert_int_equal(home->counters.polling_sessions, 4);
    client_close(&client);
    for (unsigned i = 0; i < 3; i++)
        played_skip(100000); /* they answer no pings, and nobody polls for their ends */
    assert_int_equal(home->counters.polling_sessions, 0);
    assert_int_equal(home->quotas.addresses.by_network.count, 0);
}

/* One that a PROXY header names counts, also where its address is one of the balancers'. */
static void a_client_with_an_address_like_a_balancer_s_counts(void **state)
{
    struct client client = balancer();

    (void)state;
    client_connection(&client)->entrance->told = true;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ask(&client, POLLING, "192.0.2.1", ""), 200);
    assert_int_equal(ask(&client, POLLING, "192.0.2.9", ""), 429);
    client_close(&client);
    for (unsigned i = 0; i < 3; i++)
        played_skip(100000);
    assert_int_equal(home->quotas.addresses.by_network.count, 0);
}

static void websockets_count_as_well(void **state)
{
    static const char *const targets[] = {"/socket.io/?EIO=4&transport=websocket", "/ws?room=R"};
    struct client clients[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        clients[i] = balancer();
        assert_int_equal(ask(&clients[i], targets[i % 2], "192.0.2.1", UPGRADE), i < 3 ? 101 : 429);
    }
    client_close(&clients[0]);
    played_settle();
    assert_int_equal(ask(&clients[3], targets[0], "192.0.2.1", UPGRADE), 101);
    for (unsigned i = 1; i < 4; i++)
        client_close(&clients[i]);
    played_settle();
    assert_int_equal(home->quotas.addresses.by_network.count, 0);
}

static void an_address_connects_so_fast(void **state)
{
    struct client client = balancer();

    (void)state;
    fixture_settings(home)->max_connections_per_address = 0;
    fixture_settings(home)->connects_per_second = 2;
    fixture_settings(home)->connects_burst = 4;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(ask(&client, POLLING, "192.0.2.1", ""), 200);
    assert_int_equal(ask(&client, POLLING, "192.0.2.1", ""), 429);
    assert_int_equal(home->counters.address_too_fast, 1);
    played_skip(500);
    assert_int_equal(ask(&client, POLLING, "192.0.2.1", ""), 200);
    assert_int_equal(ask(&client, POLLING, "192.0.2.1", ""), 429);
    client_close(&client);
    played_settle();
}

static void who_is_no_balancer_counts_for_itself(void **state)
{
    struct client clients[2] = {from(own), from(own)};

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ask(&clients[0], POLLING, i ? "192.0.2.1" : "192.0.2.2", ""), 200);
    assert_int_equal(ask(&clients[1], POLLING, "192.0.2.3", ""), 429);
    for (unsigned i = 0; i < 2; i++)
        client_close(&clients[i]);
    played_settle();
}

static void a_balancer_itself_has_no_limit(void **state)
{
    struct client client = balancer();

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(ask(&client, POLLING, "::2", ""), 200);
    client_close(&client);
    played_settle();
}

static void nothing_is_kept_without_limits(void **state)
{
    struct client client = balancer();

    (void)state;
    fixture_settings(home)->max_connections_per_address = 0;
    home->quotas.capacity = 0; /* the balancer's own connection came before */
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(ask(&client, POLLING, "192.0.2.1", ""), 200);
    assert_int_equal(home->quotas.capacity, 0);
    assert_int_equal(home->quotas.addresses.by_network.count, 0);
    client_close(&client);
    played_settle();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name)     cmocka_unit_test_setup_teardown(name, start, played_stop)
#define BALANCED(name) cmocka_unit_test_setup_teardown(name, start_behind_balancer, played_stop)
        TEST(more_than_the_burst_is_refused_until_time_has_passed),
        TEST(who_asks_for_no_answer_hears_of_it),
        TEST(who_does_not_listen_is_left_unread),
        TEST(nobody_is_refused_without_a_rate),
        TEST(connects_and_answers_and_pings_count_too),
        TEST(posts_count_as_frames_do),
        TEST(bare_frames_count_as_well),
        BALANCED(an_address_has_so_many_sessions_on_one_connection),
        BALANCED(websockets_count_as_well),
        BALANCED(a_client_with_an_address_like_a_balancer_s_counts),
        BALANCED(an_address_connects_so_fast),
        BALANCED(who_is_no_balancer_counts_for_itself),
        BALANCED(a_balancer_itself_has_no_limit),
        BALANCED(nothing_is_kept_without_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
