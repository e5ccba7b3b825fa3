/* CAST and POSE: exceptions are judged where the members are, and questions are counted. */
#include "gateway/router_records.h"
#include "tests/unit/gateway/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define ROOM BYTES("lobby")

enum { PEERS = 4 };

static struct gateway *gateway;
static struct peer peers[PEERS]; /* with the sids s0, s1, ..., in the room; the last one is in none */
static struct wire_list except;
static struct link_progress progress;

static int start(void **state)
{
    (void)state;
    gateway = fixture_start();
    progress = (struct link_progress){0};
    for (int i = 0; i < PEERS; i++) {
        struct socket *socket;

        peers[i] = fixture_peer(gateway);
        socket = peers[i].socket;
        socket->sid_length = (uint8_t)snprintf(socket->sid, sizeof socket->sid, "s%d", i);
        if (i < PEERS - 1)
            room_add(gateway, socket, ROOM, 0, false);
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (int i = 0; i < PEERS; i++)
        fixture_peer_done(&peers[i]);
    wire_list_done(&except);
    except = (struct wire_list){0};
    fixture_stop(gateway);
    return 0;
}

/* The next cast is not for these. */
static struct bytes but(const char *first, const char *second)
{
    wire_list_clear(&except);
    if (first)
        wire_list_put_text(&except, bytes_from_text(first));
    if (second)
        wire_list_put_text(&except, bytes_from_text(second));
    return wire_list_finish(&except);
}

static int cast(struct wire_cast record)
{
    struct wire_batch batch = {0};
    size_t mark = wire_batch_mark(&batch);
    struct wire_reader reader;
    unsigned type;
    int result;

    record.namespace = BYTES("/");
    wire_put_cast(&batch, &record);
    wire_reader_open_record(&reader, bytes_make(batch.buffer.data + mark, batch.buffer.length - mark));
    assert_int_equal(wire_reader_next(&reader, &type), 1);
    result = records_handle(gateway, &progress, &reader, type);
    wire_batch_done(&batch);
    return result;
}

static void deliver(const char *payload)
{
    deliver_to_room(gateway, room_find(namespace_find(&gateway->namespaces, BYTES("/")), ROOM),
                    &(struct wire_deliver){.room = ROOM, .payload = bytes_from_text(payload)});
}

/* What each peer has got in this turn. */
static void assert_got(const char *const expected[PEERS])
{
    fixture_flush(gateway);
    for (int i = 0; i < PEERS; i++)
        assert_string_equal(fixture_read_any(&peers[i]), expected[i]);
}

static void the_excepted_get_everything_else_in_its_order(void **state)
{
    uint64_t writes;

    (void)state;
    room_add(gateway, peers[1].socket, BYTES("away"), 0, false);
    writes = gateway->counters.writes;
    deliver("[1]");
    assert_int_equal(
        cast((struct wire_cast){.pos = 2, .room = ROOM, .payload = BYTES("[2]"), .except = but("s0", NULL)}),
        0);
    deliver("[3]");
    assert_int_equal(cast((struct wire_cast){
                         .pos = 4, .room = ROOM, .payload = BYTES("[4]"), .except = but("away", "s3")}),
                     0);
    assert_int_equal(cast((struct wire_cast){
                         .pos = 5, .room = ROOM, .payload = BYTES("[5]"), .except = but("lobby", NULL)}),
                     0);
    deliver("[6]");
    assert_got((const char *const[]){"42[1]|42[3]|42[4]|42[6]", "42[1]|42[2]|42[3]|42[6]",
                                     "42[1]|42[2]|42[3]|42[4]|42[6]", ""});
    assert_int_equal(gateway->counters.deliveries, 13);
    assert_int_equal(gateway->counters.writes - writes, 3); /* one a member, whatever was excepted */
    assert_int_equal(progress.position, 5);
}

static void without_exceptions_it_is_for_all(void **state)
{
    (void)state;
    cast((struct wire_cast){.pos = 1, .room = ROOM, .payload = BYTES("[1]"), .except = but(NULL, NULL)});
    cast((struct wire_cast){.pos = 2, .room = ROOM, .payload = BYTES("[2]")});
    cast((struct wire_cast){.pos = 3, .room = BYTES("nobody is here"), .payload = BYTES("[3]")});
    assert_got((const char *const[]){"42[1]|42[2]", "42[1]|42[2]", "42[1]|42[2]", ""});
    assert_int_equal(progress.position, 3);
}

static void a_namespace_has_exceptions_too(void **state)
{
    (void)state;
    cast((struct wire_cast){
        .pos = 1, .flags = WIRE_DELIVER_NAMESPACE, .payload = BYTES("[1]"), .except = but("lobby", NULL)});
    cast((struct wire_cast){
        .pos = 2, .flags = WIRE_DELIVER_NAMESPACE, .payload = BYTES("[2]"), .except = but("s1", "s3")});
    assert_got((const char *const[]){"42[2]", "", "42[2]", "42[1]"});
}

static void a_replay_is_for_those_who_joined_before_and_are_not_excepted(void **state)
{
    (void)state;
    room_add(gateway, peers[3].socket, ROOM, 7, false);
    cast((struct wire_cast){.pos = 7,
                            .flags = WIRE_DELIVER_REPLAY,
                            .room = ROOM,
                            .payload = BYTES("[7]"),
                            .except = but("s0", NULL)});
    cast((struct wire_cast){.pos = 8,
                            .flags = WIRE_DELIVER_REPLAY,
                            .room = ROOM,
                            .payload = BYTES("[8]"),
                            .except = but("s1", NULL)});
    assert_got((const char *const[]){"42[8]", "42[7]", "42[7]|42[8]", "42[8]"});
    /* A room counts for who was in it then. */
    room_add(gateway, peers[0].socket, BYTES("away"), 8, false);
    room_add(gateway, peers[1].socket, BYTES("away"), 7, false);
    cast((struct wire_cast){.pos = 8,
                            .flags = WIRE_DELIVER_REPLAY,
                            .room = ROOM,
                            .payload = BYTES("[\"8\"]"),
                            .except = but("away", NULL)});
    assert_got((const char *const[]){"42[\"8\"]", "", "42[\"8\"]", "42[\"8\"]"});
    peers[2].socket->connected_pos = 9;
    cast((struct wire_cast){.pos = 9,
                            .flags = WIRE_DELIVER_REPLAY | WIRE_DELIVER_NAMESPACE,
                            .payload = BYTES("[9]"),
                            .except = but("s3", NULL)});
    assert_got((const char *const[]){"42[9]", "42[9]", "", ""});
}

static void a_volatile_one_moves_no_position(void **state)
{
    (void)state;
    cast((struct wire_cast){.pos = 9,
                            .flags = WIRE_DELIVER_VOLATILE,
                            .room = ROOM,
                            .payload = BYTES("[1]"),
                            .except = but("s0", NULL)});
    assert_got((const char *const[]){"", "42[1]", "42[1]", ""});
    assert_int_equal(progress.position, 0);
}

static void a_question_asks_each_receiver_once(void **state)
{
    struct wire_list attachments = {0};

    (void)state;
    cast((struct wire_cast){
        .pos = 5, .room = ROOM, .ack = 12, .payload = BYTES("[\"q\"]"), .except = but("s1", NULL)});
    deliver("[1]");
    assert_got((const char *const[]){"4212[\"q\"]|42[1]", "42[1]", "4212[\"q\"]|42[1]", ""});
    cast((struct wire_cast){.flags = WIRE_DELIVER_NAMESPACE,
                            .ack = 13,
                            .payload = BYTES("[\"q\"]"),
                            .except = but("lobby", NULL)});
    assert_got((const char *const[]){"", "", "", "4213[\"q\"]"});
    wire_list_put_blob(&attachments, BYTES("bytes"));
    cast((struct wire_cast){.room = ROOM,
                            .ack = 14,
                            .payload = BYTES("[\"b\"]"),
                            .except = but("s0", "s2"),
                            .attachments = wire_list_finish(&attachments)});
    assert_got((const char *const[]){"", "451-14[\"b\"]|bytes", "", ""});
    wire_list_done(&attachments);
    for (int i = 0; i < PEERS; i++)
        assert_int_equal(peers[i].socket->questions, 1);
    assert_int_equal(progress.position, 0); /* they are not in the log */
}

/* What was handed to the excepted one keeps a chunk from growing. */
static void a_full_turn_is_handed_out_between_casts(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        char payload[1100];

        memset(payload, ' ', sizeof payload);
        payload[0] = '[', payload[sizeof payload - 1] = ']';
        cast((struct wire_cast){
            .room = ROOM, .payload = bytes_make(payload, sizeof payload), .except = but("s0", NULL)});
        deliver("[1]");
    }
    fixture_flush(gateway);
    assert_int_equal(strlen(fixture_read(&peers[0])), 40 * 5 + 39);
    assert_int_equal(strlen(fixture_read(&peers[1])), 40 * (1102 + 5) + 79);
}

static void what_is_no_list_of_names_ends_the_link(void **state)
{
    (void)state;
    assert_int_equal(cast((struct wire_cast){.room = ROOM, .except = BYTES("\x91\x01")}), ERROR_MALFORMED);
    /* Two thousand million are announced. */
    assert_int_equal(cast((struct wire_cast){.room = ROOM, .except = BYTES("\xdd\x7f\xff\xff\xff")}),
                     ERROR_MALFORMED);
    assert_int_equal(cast((struct wire_cast){.room = ROOM, .ack = 1ULL << 53, .payload = BYTES("[1]")}),
                     ERROR_MALFORMED);
    assert_got((const char *const[]){"", "", "", ""});
}

static void a_question_to_one(void **state)
{
    struct socket *connecting;

    (void)state;
    deliver("[1]");
    socket_ask(gateway, peers[0].socket, 9007199254740991, BYTES("[\"q\",2]"), (struct bytes){0});
    deliver("[3]");
    assert_got(
        (const char *const[]){"42[1]|429007199254740991[\"q\",2]|42[3]", "42[1]|42[3]", "42[1]|42[3]", ""});
    assert_int_equal(peers[0].socket->questions, 1);
    connecting = socket_new(gateway, peers[3].connection, namespace_find(&gateway->namespaces, BYTES("/")),
                            (struct bytes){0});
    socket_ask(gateway, connecting, 3, BYTES("[\"q\"]"), (struct bytes){0});
    assert_int_equal(connecting->questions, 0);
    assert_got((const char *const[]){"", "", "", ""});
}

/* From here on the peer, in the room or not, takes that encoding. */
static void let_take(unsigned i, enum encoding encoding)
{
    struct membership *membership = socket_membership(peers[i].socket, ROOM);

    if (membership)
        room_remove(gateway, peers[i].socket, membership);
    peers[i].connection->encoding = (uint8_t)encoding;
    if (membership)
        room_add(gateway, peers[i].socket, ROOM, 0, false);
}

#define PACKED(type, data, end) "{\"type\":" type ",\"data\":" data ",\"nsp\":\"/\"" end "}"
#define BARE(name, args, end)   "{\"type\":\"event\",\"event\":\"" name "\",\"args\":[" args "]" end "}"

/* Exceptions hold whatever the encoding, and each client is told in its own. */
static void every_encoding_has_its_casts(void **state)
{
    static const struct {
        enum encoding encoding;
        const char *first, *second;
    } table[] = {
        {ENCODING_WEBSOCKET, "42[\"a\",1]", "42[\"b\",2]"},
        {ENCODING_MSGPACK, PACKED("2", "[\"a\",1]", ""), PACKED("2", "[\"b\",2]", "")},
        {ENCODING_MSGPACK_DEFLATE, PACKED("2", "[\"a\",1]", ""), PACKED("2", "[\"b\",2]", "")},
        {ENCODING_MSGPACK_POLLING, PACKED("2", "[\"a\",1]", ""), PACKED("2", "[\"b\",2]", "")},
        {ENCODING_BARE, BARE("a", "1", ""), BARE("b", "2", "")},
        {ENCODING_BARE_DEFLATE, BARE("a", "1", ""), BARE("b", "2", "")},
    };
    char both[200];

    (void)state;
    gateway->encoder = encoder_new(1 << 20);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        let_take(1, table[i].encoding);
        let_take(2, table[i].encoding);
        let_take(3, table[i].encoding);
        cast((struct wire_cast){.room = ROOM, .payload = BYTES("[\"a\",1]"), .except = but("s1", NULL)});
        cast((struct wire_cast){.room = ROOM, .payload = BYTES("[\"b\",2]"), .except = but("s2", NULL)});
        assert_got((const char *const[]){"42[\"a\",1]|42[\"b\",2]", table[i].second, table[i].first, ""});
        cast((struct wire_cast){
            .flags = WIRE_DELIVER_NAMESPACE, .payload = BYTES("[\"a\",1]"), .except = but("lobby", NULL)});
        cast((struct wire_cast){
            .flags = WIRE_DELIVER_NAMESPACE, .payload = BYTES("[\"b\",2]"), .except = but("s0", "s3")});
        assert_got((const char *const[]){"", table[i].second, table[i].second, table[i].first});
        cast((struct wire_cast){.room = ROOM, .payload = BYTES("[\"a\",1]")});
        cast((struct wire_cast){.room = ROOM, .payload = BYTES("[\"b\",2]")});
        snprintf(both, sizeof both, "%s|%s", table[i].first, table[i].second);
        assert_got((const char *const[]){"42[\"a\",1]|42[\"b\",2]", both, both, ""});
    }
    assert_int_equal(peers[1].socket->questions + peers[2].socket->questions, 0);
}

/* Meta object and offset of what a backend sends are told apart for bare clients alone. */
static void what_a_cast_ends_in_is_not_an_argument(void **state)
{
    static const char payload[] = "[\"a\",{\"room\":\"lobby\",\"seq\":1},\"epoch.1\"]";

    (void)state;
    gateway->encoder = encoder_new(1 << 20);
    let_take(1, ENCODING_BARE);
    let_take(2, ENCODING_MSGPACK);
    cast((struct wire_cast){.pos = 1,
                            .flags = WIRE_DELIVER_META | WIRE_DELIVER_OFFSET,
                            .room = ROOM,
                            .payload = bytes_from_text(payload),
                            .except = but("s0", NULL)});
    assert_got((const char *const[]){"", BARE("a", "", ",\"meta\":{\"room\":\"lobby\",\"seq\":1}"),
                                     PACKED("2", "[\"a\",{\"room\":\"lobby\",\"seq\":1},\"epoch.1\"]", ""),
                                     ""});
}

/* A client with the msgpack parser is asked in it, and a bare one hears an event that it can't answer. */
static void every_encoding_has_its_questions(void **state)
{
    struct wire_list attachments = {0};

    (void)state;
    gateway->encoder = encoder_new(1 << 20);
    let_take(1, ENCODING_MSGPACK);
    let_take(2, ENCODING_BARE);
    let_take(3, ENCODING_BARE);
    cast((struct wire_cast){
        .room = ROOM, .ack = 12, .payload = BYTES("[\"q\",1]"), .except = but("s3", NULL)});
    assert_got((const char *const[]){"4212[\"q\",1]", PACKED("2", "[\"q\",1]", ",\"id\":12"),
                                     BARE("q", "1", ""), ""});
    cast((struct wire_cast){.flags = WIRE_DELIVER_NAMESPACE, .ack = 13, .payload = BYTES("[\"q\"]")});
    assert_got((const char *const[]){"4213[\"q\"]", PACKED("2", "[\"q\"]", ",\"id\":13"), BARE("q", "", ""),
                                     BARE("q", "", "")});
    let_take(3, ENCODING_MSGPACK_POLLING);
    cast((struct wire_cast){.flags = WIRE_DELIVER_NAMESPACE,
                            .ack = 1ULL << 52,
                            .payload = BYTES("[\"q\"]"),
                            .except = but("lobby", NULL)});
    assert_got((const char *const[]){"", "", "", PACKED("2", "[\"q\"]", ",\"id\":4503599627370496")});
    wire_list_put_blob(&attachments, BYTES("\x01"));
    cast((struct wire_cast){.room = ROOM,
                            .ack = 14,
                            .payload = BYTES("[\"b\",{\"_placeholder\":true,\"num\":0}]"),
                            .except = but("s0", NULL),
                            .attachments = wire_list_finish(&attachments)});
    assert_got((const char *const[]){
        "", PACKED("2", "[\"b\",{\"_placeholder\":true,\"num\":0}]", ",\"id\":14") "+1",
        BARE("b", "{\"_placeholder\":true,\"num\":0}", ",\"attachments\":[\"AQ==\"]"), ""});
    wire_list_done(&attachments);
    assert_int_equal(peers[0].socket->questions, 2);
    assert_int_equal(peers[1].socket->questions, 3);
    assert_int_equal(peers[2].socket->questions, 0);
    assert_int_equal(peers[3].socket->questions, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(the_excepted_get_everything_else_in_its_order),
        TEST(without_exceptions_it_is_for_all),
        TEST(a_namespace_has_exceptions_too),
        TEST(a_replay_is_for_those_who_joined_before_and_are_not_excepted),
        TEST(a_volatile_one_moves_no_position),
        TEST(a_question_asks_each_receiver_once),
        TEST(a_full_turn_is_handed_out_between_casts),
        TEST(what_is_no_list_of_names_ends_the_link),
        TEST(a_question_to_one),
        TEST(every_encoding_has_its_casts),
        TEST(what_a_cast_ends_in_is_not_an_argument),
        TEST(every_encoding_has_its_questions),
    };

    return cmocka_run_group_tests_name("gateway cast", tests, NULL, NULL);
}
