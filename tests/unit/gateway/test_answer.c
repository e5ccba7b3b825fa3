/* What clients answer to questions: it reaches the router when they were asked, and nothing else does. */
#include "gateway/packet.h"
#include "gateway/router_records.h"
#include "tests/unit/gateway/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define PLACEHOLDER "{\"_placeholder\":true,\"num\":0}"

static struct gateway *gateway;
static struct peer peer;
static uint64_t walk; /* over the requests, up to the last one looked at */

static int start(void **state)
{
    (void)state;
    gateway = fixture_start();
    peer = fixture_peer(gateway);
    walk = 0;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fixture_peer_done(&peer);
    fixture_stop(gateway);
    return 0;
}

static void text(const char *packet)
{
    packet_receive(gateway, peer.connection, bytes_from_text(packet));
}

static void ask(uint64_t ack)
{
    socket_ask(gateway, peer.socket, ack, BYTES("[\"q\"]"), (struct bytes){0});
}

/* The next request that waits must be this answer; its attachments. */
static struct bytes assert_answered(uint64_t ack, const char *arguments)
{
    struct wire_reader reader;
    struct wire_response response;
    struct request *request = requests_walk(&gateway->requests, &walk);
    unsigned type;

    assert_non_null(request);
    wire_reader_open_record(&reader, bytes_make(request->record, request->length));
    assert_int_equal(wire_reader_next(&reader, &type), 1);
    assert_int_equal(type, WIRE_TYPE_RESPONSE);
    assert_int_equal(wire_get_response(&reader, &response), 0);
    assert_int_equal(response.request, walk - 1);
    assert_int_equal(response.socket, peer.socket->number);
    assert_int_equal(response.ack, ack);
    assert_true(bytes_equal_text(response.arguments, arguments));
    return response.attachments;
}

static void assert_nothing_more(uint64_t unasked)
{
    assert_null(requests_walk(&gateway->requests, &walk));
    assert_int_equal(gateway->counters.answers_unasked, unasked);
    assert_int_equal(peer.connection->state, CONNECTION_OPEN);
}

static void an_answer_travels_with_its_arguments(void **state)
{
    (void)state;
    for (uint64_t ack = 1; ack <= 5; ack++)
        ask(ack);
    text("31[]");
    text("33[1,\"two\",{\"three\":[3]}]");
    text("32[ \t\r\n ]");
    text("35[\r\n [1 , 2] \t] ");
    text("34[\"]\"]");
    assert_answered(1, "");
    assert_answered(3, "1,\"two\",{\"three\":[3]}");
    assert_answered(2, "");
    assert_answered(5, "[1 , 2]");
    assert_answered(4, "\"]\"");
    assert_nothing_more(0);
}

static void an_answer_has_attachments(void **state)
{
    struct wire_reader list;
    struct bytes attachments, blob;

    (void)state;
    ask(7);
    text("61-7[" PLACEHOLDER ",2]");
    assert_int_equal(gateway->requests.count, 0);
    packet_receive_binary(gateway, peer.connection, BYTES("\0\xff"));
    attachments = assert_answered(7, PLACEHOLDER ",2");
    assert_int_equal(wire_list_open(&list, attachments), 1);
    assert_int_equal(wire_list_text(&list, &blob), 0);
    assert_true(bytes_equal(blob, BYTES("\0\xff")));
    assert_nothing_more(0);
}

static void what_nobody_asked_for_stays_here(void **state)
{
    (void)state;
    text("399[1]");
    text("61-5[" PLACEHOLDER "]");
    packet_receive_binary(gateway, peer.connection, BYTES("x"));
    assert_nothing_more(2);
    ask(1);
    text("3[1]"); /* without an id: it answers nothing */
    text("31[1]");
    text("31[2]");
    text("32[3]");
    assert_answered(1, "1");
    assert_nothing_more(5);
}

static void a_broken_answer_closes(void **state)
{
    static const char *const broken[] = {"31{\"a\":1}", "31",       "31[",
                                         "31[1]x",      "61-1[1]1", ("61-1[" PLACEHOLDER)};

    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        ask(1);
        text(broken[i]);
        assert_int_not_equal(peer.connection->state, CONNECTION_OPEN);
        assert_int_equal(peer.connection->close_reason, CLOSE_PARSE_ERROR);
        assert_int_equal(gateway->requests.count, 0);
        fixture_peer_done(&peer);
        fixture_flush(gateway);
        peer = fixture_peer(gateway);
    }
}

static void an_answer_that_is_too_large_is_taken_in_and_counted(void **state)
{
    static char large[2000];

    (void)state;
    fixture_settings(gateway)->max_attachments = 1000;
    ask(1);
    ask(2);
    text("61-1[" PLACEHOLDER "]");
    packet_receive_binary(gateway, peer.connection, bytes_make(large, sizeof large));
    assert_int_equal(gateway->counters.answers_dropped, 1);
    text("32[1]");
    assert_answered(2, "1");
    assert_nothing_more(0);
}

static void an_answer_that_finds_no_room_is_counted(void **state)
{
    (void)state;
    fixture_settings(gateway)->pending_bytes = 1;
    ask(1);
    text("31[1]");
    assert_int_equal(gateway->requests.count, 1); /* the first one fits always */
    ask(2);
    text("32[1]");
    assert_int_equal(gateway->requests.count, 1);
    assert_int_equal(gateway->counters.answers_dropped, 1);
    assert_int_equal(peer.connection->paused, true);
}

/* DONE answers a RESPONSE; the client hears nothing of it. */
static void the_routers_word_ends_it(void **state)
{
    struct link_progress progress = {0};
    struct wire_batch batch = {0};
    struct wire_list requests = {0};
    struct wire_reader reader;
    size_t mark = wire_batch_mark(&batch);
    unsigned type;

    (void)state;
    ask(1);
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&peer), "421[\"q\"]");
    text("31[1]");
    assert_int_equal(peer.socket->unanswered, 1);
    wire_list_put_u64(&requests, 1);
    wire_put_done(&batch, &(struct wire_done){.requests = wire_list_finish(&requests)});
    wire_reader_open_record(&reader, bytes_make(batch.buffer.data + mark, batch.buffer.length - mark));
    assert_int_equal(wire_reader_next(&reader, &type), 1);
    assert_int_equal(records_handle(gateway, &progress, &reader, type), 0);
    assert_int_equal(peer.socket->unanswered, 0);
    assert_nothing_more(0);
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&peer), "");
    wire_list_done(&requests);
    wire_batch_done(&batch);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_travels_with_its_arguments),
        TEST(an_answer_has_attachments),
        TEST(what_nobody_asked_for_stays_here),
        TEST(a_broken_answer_closes),
        TEST(an_answer_that_is_too_large_is_taken_in_and_counted),
        TEST(an_answer_that_finds_no_room_is_counted),
        TEST(the_routers_word_ends_it),
    };

    return cmocka_run_group_tests_name("gateway answer", tests, NULL, NULL);
}
