/* The played router; see played.h. */
#include "tests/unit/gateway/played.h"

#include "gateway/router_records.h"
#include "gateway/upgrade.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include <cmocka.h>

enum { RECORDS_MAX = 4096, KINDS = 64, SETTLE_TURNS = 1000 };

/* What a gateway has put on its link. */
struct passed {
    struct gateway *from;
    bool take;
    uint64_t to, number, kind;
    struct buffer sid, body;
};

struct gateway *home, *other;

static struct passed records[RECORDS_MAX];
static unsigned first, last, counts[KINDS], disconnects[2];
static enum close_reason last_reasons[2];
static bool down[2];
static uint64_t now = 1000000;
static struct loop_timer *timers[2]; /* those that run once: of late polls, one a gateway */
static uint64_t timers_due[2];
static uint64_t position = 1;

static unsigned index_of(const struct gateway *gateway)
{
    return gateway == other;
}

static struct gateway *of_link(const struct router_link *link)
{
    return home && home->link == link ? home : other;
}

static struct gateway *of_incarnation(uint64_t incarnation)
{
    if (home->incarnation == incarnation)
        return home;
    return other->incarnation == incarnation ? other : NULL;
}

/* -- what is replaced ------------------------------------------------------------------------ */

uint64_t __wrap_loop_now(const struct loop *loop);
void __real_loop_timer_start(struct loop_timer *timer, uint64_t delay_ms);
void __wrap_loop_timer_start(struct loop_timer *timer, uint64_t delay_ms);
void __wrap_link_pass(struct router_link *link, const struct wire_pass *record);
int __wrap_link_take(struct router_link *link, const struct wire_take *record);
void __wrap_link_disconnect(struct router_link *link, const struct socket *socket, enum close_reason reason);

uint64_t __wrap_loop_now(const struct loop *loop)
{
    (void)loop;
    return now;
}

void __wrap_loop_timer_start(struct loop_timer *timer, uint64_t delay_ms)
{
    unsigned at = timer->loop == other->loop;

    __real_loop_timer_start(timer, delay_ms);
    if (timer != &(at ? other : home)->sessions.late_timer)
        return; /* the link's, which is not looked at */
    timers[at] = timer;
    timers_due[at] = now + delay_ms;
}

static struct passed *record_new(const struct router_link *link)
{
    struct passed *record = &records[last];

    assert_true(last < RECORDS_MAX);
    *record = (struct passed){.from = of_link(link)};
    if (down[index_of(record->from)])
        return NULL;
    last++;
    return record;
}

void __wrap_link_pass(struct router_link *link, const struct wire_pass *pass)
{
    struct passed *record = record_new(link);

    if (!record)
        return;
    record->to = pass->to;
    record->number = pass->number;
    record->kind = pass->kind;
    buffer_append_bytes(&record->sid, pass->sid);
    buffer_append_bytes(&record->body, pass->body);
    counts[pass->kind]++;
}

int __wrap_link_take(struct router_link *link, const struct wire_take *take)
{
    struct passed *record = record_new(link);

    if (!record)
        return ERROR_CLOSED;
    record->take = true;
    record->to = take->from;
    record->number = take->number;
    buffer_append_bytes(&record->body, take->sockets);
    return 0;
}

void __wrap_link_disconnect(struct router_link *link, const struct socket *socket, enum close_reason reason)
{
    unsigned at = index_of(of_link(link));

    (void)socket;
    disconnects[at]++;
    last_reasons[at] = reason;
}

/* -- life ------------------------------------------------------------------------------------ */

int played_start(void **state)
{
    (void)state;
    memset(counts, 0, sizeof counts);
    memset(disconnects, 0, sizeof disconnects);
    memset(down, 0, sizeof down);
    memset(timers, 0, sizeof timers);
    home = fixture_start();
    other = fixture_start();
    return 0;
}

static void record_done(struct passed *record)
{
    buffer_done(&record->sid);
    buffer_done(&record->body);
}

int played_stop(void **state)
{
    (void)state;
    fixture_stop(home);
    fixture_stop(other);
    while (first < last)
        record_done(&records[first++]);
    first = last = 0;
    home = other = NULL;
    return 0;
}

/* -- time and turns -------------------------------------------------------------------------- */

static void look_at(struct gateway *gateway, struct connection *connection)
{
    bool reads = !connection->paused && !connection->stopped;
    struct pollfd ready = {
        .fd = connection->fd,
        .events = (short)((reads ? POLLIN : 0) | (connection->blocked && !connection->corked ? POLLOUT : 0))};

    if (connection->fd < 0 || poll(&ready, 1, 0) <= 0)
        return;
    connections_on_event(gateway, connection->number,
                         (ready.revents & POLLIN ? EPOLLIN : 0U) | (ready.revents & POLLOUT ? EPOLLOUT : 0U) |
                             (ready.revents & POLLHUP ? EPOLLHUP : 0U) |
                             (ready.revents & POLLERR ? EPOLLERR : 0U));
}

static void end_turn(struct gateway *gateway)
{
    connections_wake(gateway);
    if (gateway->reading.paused_count && !link_congested(gateway->link))
        connections_resume(gateway);
    gateway_advance_timers(gateway);
    upgrade_look(gateway);
    fanout_flush(gateway);
    connections_flush(gateway);
    connections_reap(gateway);
}

void played_turn(struct gateway *gateway)
{
    struct connection *connection;
    uint32_t cursor = 0;

    while ((connection = slot_table_next(&gateway->connections.slots, &cursor)))
        look_at(gateway, connection);
    end_turn(gateway);
}

static void turn_both(void)
{
    played_turn(home);
    played_turn(other);
}

void played_settle(void)
{
    unsigned turns = 0;

    do {
        for (int i = 0; i < 3; i++) /* what one turn wakes, the next one does */
            turn_both();
        assert_true(++turns < SETTLE_TURNS);
    } while (played_pass());
}

void played_skip(uint64_t ms)
{
    now += ms;
    for (int i = 0; i < 2; i++) {
        struct gateway *gateway = i ? other : home;

        gateway->relays.tick.callback(gateway);
        if (timers[i] && now >= timers_due[i]) {
            struct loop_timer *timer = timers[i];

            timers[i] = NULL;
            loop_timer_stop(timer);
            timer->callback(timer->arg);
        }
        played_turn(gateway);
    }
}

/* -- the router ------------------------------------------------------------------------------ */

static void say(struct gateway *gateway, struct wire_batch *batch, size_t mark)
{
    struct link_progress progress = {0};
    struct wire_reader reader;
    unsigned type;

    wire_reader_open_record(&reader, bytes_make(batch->buffer.data + mark, batch->buffer.length - mark));
    assert_int_equal(wire_reader_next(&reader, &type), 1);
    assert_int_equal(records_handle(gateway, &progress, &reader, type), 0);
    wire_batch_done(batch);
}

#define SAY(gateway, name, ...)                                                                              \
    do {                                                                                                     \
        struct wire_batch said = {0};                                                                        \
        size_t mark = wire_batch_mark(&said);                                                                \
                                                                                                             \
        wire_put_##name(&said, &(struct wire_##name){__VA_ARGS__});                                          \
        say(gateway, &said, mark);                                                                           \
    } while (0)

/* A socket of one gateway becomes the other's. */
static void move_socket(struct gateway *from, struct gateway *to, uint64_t theirs, uint64_t ours)
{
    const struct socket *socket = sockets_find(from, theirs);
    char anon[64];

    assert_non_null(socket);
    snprintf(anon, sizeof anon, "anon:%.*s", (int)socket->sid_length, socket->sid);
    SAY(to, connected, .socket = ours, .sid = bytes_make(socket->sid, socket->sid_length),
        .from = bytes_from_text(anon), .generation = 1);
    for (unsigned i = 0; i < socket->room_count; i++)
        SAY(to, joined, .socket = ours, .joined_pos = position,
            .room = bytes_make(socket_rooms(socket)[i].room->name, socket_rooms(socket)[i].room->name_length));
}

static void handle_take(const struct passed *record)
{
    struct gateway *from = of_incarnation(record->to);
    struct wire_reader list;
    struct wire_list given = {0};
    int count = wire_list_open(&list, buffer_bytes(&record->body));

    assert_non_null(from);
    for (; count > 0; count -= 2) {
        uint64_t theirs, ours;

        assert_int_equal(wire_list_u64(&list, &theirs), 0);
        assert_int_equal(wire_list_u64(&list, &ours), 0);
        if (!sockets_find(from, theirs)) {
            SAY(record->from, taken, .number = record->number, .ok = 0);
            wire_list_done(&given);
            return;
        }
        wire_list_put_u64(&given, theirs);
        move_socket(from, record->from, theirs, ours);
    }
    SAY(record->from, taken, .number = record->number, .ok = 1);
    if (!down[index_of(from)])
        SAY(from, given, .to = record->from->incarnation, .number = record->number,
            .sockets = wire_list_finish(&given));
    wire_list_done(&given);
}

static void handle_pass(const struct passed *record)
{
    struct gateway *to = of_incarnation(record->to);

    if (to && !down[index_of(to)])
        SAY(to, passed, .from = record->from->incarnation, .number = record->number, .kind = record->kind,
            .sid = buffer_bytes(&record->sid), .body = buffer_bytes(&record->body));
    else if (record->kind < WIRE_PASS_ANSWERS)
        SAY(record->from, passed, .from = record->to, .number = record->number,
            .kind = to ? WIRE_PASS_AGAIN : WIRE_PASS_UNKNOWN, .sid = buffer_bytes(&record->sid));
}

bool played_pass(void)
{
    struct passed record;

    if (first == last) {
        first = last = 0;
        return false;
    }
    record = records[first++];
    if (record.take)
        handle_take(&record);
    else
        handle_pass(&record);
    record_done(&record);
    turn_both();
    return true;
}

unsigned played_next(void)
{
    if (first == last)
        return 0;
    return records[first].take ? PLAYED_TAKE : (unsigned)records[first].kind;
}

void played_until(unsigned kind)
{
    for (unsigned i = 0; played_next() != kind; i++) {
        assert_true(i < SETTLE_TURNS);
        turn_both();
        if (played_next() != kind)
            played_pass();
    }
}

void played_lose(void)
{
    assert_true(first < last);
    record_done(&records[first++]);
}

unsigned played_count(unsigned kind)
{
    return counts[kind];
}

unsigned played_disconnects(const struct gateway *gateway)
{
    return disconnects[index_of(gateway)];
}

enum close_reason played_last_reason(const struct gateway *gateway)
{
    return last_reasons[index_of(gateway)];
}

void played_link_down(struct gateway *gateway)
{
    unsigned kept = first;

    down[index_of(gateway)] = true;
    for (unsigned i = first; i < last; i++)
        if (records[i].from == gateway)
            record_done(&records[i]);
        else
            records[kept++] = records[i];
    last = kept;
}

void played_link_up(struct gateway *gateway)
{
    struct gateway *peer = gateway == home ? other : home;

    down[index_of(gateway)] = false;
    relay_on_live(gateway);
    SAY(peer, back, .incarnation = gateway->incarnation);
}

void played_gone(struct gateway *gateway, const struct gateway *gone)
{
    SAY(gateway, gone, .incarnation = gone->incarnation);
}

unsigned played_connect(struct gateway *gateway)
{
    static unsigned made;
    struct request *request;
    uint64_t cursor = 0;
    unsigned count = 0;

    while ((request = requests_walk(&gateway->requests, &cursor))) {
        char sid[16], from[32];
        size_t length;

        if (request->kind != REQUEST_CONNECT)
            continue;
        length = (size_t)snprintf(sid, sizeof sid, "socket%u", ++made);
        snprintf(from, sizeof from, "anon:%s", sid);
        SAY(gateway, connected, .request = cursor - 1, .socket = request->socket,
            .sid = bytes_make(sid, length), .from = bytes_from_text(from), .generation = 1);
        count++;
    }
    return count;
}

struct socket *played_connecting(struct gateway *gateway)
{
    struct socket *socket;
    uint32_t cursor = 0;

    while ((socket = sockets_next(gateway, &cursor)))
        if (!socket->connected)
            return socket;
    return NULL;
}

void played_answer(struct gateway *gateway, struct socket *socket, const char *sid, const char *pid,
                   bool recovered)
{
    struct request *request = NULL;
    uint64_t cursor = 0;
    char from[64];

    do
        request = requests_walk(&gateway->requests, &cursor);
    while (request && (request->kind != REQUEST_CONNECT || request->socket != socket->number));
    assert_non_null(request);
    snprintf(from, sizeof from, "anon:%s", sid);
    SAY(gateway, connected, .request = cursor - 1, .socket = socket->number, .sid = bytes_from_text(sid),
        .from = bytes_from_text(from), .generation = 1 + recovered, .pid = bytes_from_text(pid),
        .recovered = recovered);
}

unsigned played_answer_events(struct gateway *gateway, const char *arguments)
{
    struct wire_list done = {0};
    struct request *request;
    uint64_t cursor = 0;
    unsigned count = 0;

    while ((request = requests_walk(&gateway->requests, &cursor))) {
        if (request->kind != REQUEST_EVENT && request->kind != REQUEST_CALL)
            continue;
        wire_list_put_u64(&done, cursor - 1);
        if (arguments)
            SAY(gateway, answer, .request = cursor - 1, .answer = bytes_from_text(arguments));
        count++;
    }
    if (!arguments)
        SAY(gateway, done, .requests = wire_list_finish(&done));
    wire_list_done(&done);
    return count;
}

void played_emit(struct gateway *gateway, struct socket *socket, const char *payload,
                 struct bytes attachments)
{
    SAY(gateway, emit, .socket = socket->number, .flags = WIRE_DELIVER_REPLAY,
        .payload = bytes_from_text(payload), .attachments = attachments);
}

void played_tell(struct gateway *gateway, struct socket *socket, const char *payload, uint64_t flags)
{
    SAY(gateway, emit, .socket = socket->number, .flags = flags, .payload = bytes_from_text(payload));
}

void played_refuse(struct gateway *gateway, struct socket *socket, const char *error)
{
    struct request *request;
    uint64_t cursor = 0;

    do
        request = requests_walk(&gateway->requests, &cursor);
    while (request && (request->kind != REQUEST_CONNECT || request->socket != socket->number));
    assert_non_null(request);
    SAY(gateway, refused, .request = cursor - 1, .socket = socket->number, .error = bytes_from_text(error));
}

void played_welcome(struct gateway *gateway, bool resume)
{
    SAY(gateway, welcome, .epoch = BYTES("epoch"), .head = position, .resume = resume,
        .rules_digest = namespaces_digest(&gateway->settings->namespaces));
}

void played_close(struct gateway *gateway, struct socket *socket, bool final)
{
    SAY(gateway, close, .socket = socket->number, .reason = BYTES("taken over"), .final = final);
}

void played_join(struct gateway *gateway, struct socket *socket, const char *room)
{
    SAY(gateway, joined, .socket = socket->number, .room = bytes_from_text(room), .joined_pos = position);
}

void played_deliver(struct gateway *gateway, const char *room, const char *payload)
{
    SAY(gateway, deliver, .pos = ++position, .namespace = BYTES("/"), .room = bytes_from_text(room),
        .payload = bytes_from_text(payload));
}

static struct request *find_request(struct gateway *gateway, enum request_kind kind, uint64_t *number)
{
    struct request *request;
    uint64_t cursor = 0;

    while ((request = requests_walk(&gateway->requests, &cursor)))
        if (request->kind == kind)
            break;
    assert_non_null(request);
    *number = cursor - 1;
    return request;
}

struct wire_reader played_request(struct gateway *gateway, enum request_kind kind)
{
    uint64_t number;
    const struct request *request = find_request(gateway, kind, &number);
    struct wire_reader reader;
    unsigned type;

    wire_reader_open_record(&reader, bytes_make(request->record, request->length));
    assert_int_equal(wire_reader_next(&reader, &type), 1);
    return reader;
}

void played_answer_request(struct gateway *gateway, enum request_kind kind, const char *answer,
                           struct bytes attachments)
{
    uint64_t number, socket;
    struct wire_join join;
    struct wire_reader reader = played_request(gateway, kind);

    socket = find_request(gateway, kind, &number)->socket;
    if (kind == REQUEST_JOIN && strncmp(answer, "{\"ok\":true", 10) == 0) {
        assert_int_equal(wire_get_join(&reader, &join), 0);
        SAY(gateway, joined, .request = number, .socket = socket, .room = join.room, .joined_pos = position,
            .answer = bytes_from_text(answer), .attachments = attachments);
    } else
        SAY(gateway, answer, .request = number, .answer = bytes_from_text(answer),
            .attachments = attachments);
}

unsigned played_waiting(struct gateway *gateway)
{
    unsigned count = 0;
    uint64_t cursor = 0;

    while (requests_walk(&gateway->requests, &cursor))
        count++;
    return count;
}

struct socket *played_socket(struct gateway *gateway)
{
    struct socket *socket;
    uint32_t cursor = 0;

    while ((socket = sockets_next(gateway, &cursor)))
        if (socket->connected)
            return socket;
    return NULL;
}
