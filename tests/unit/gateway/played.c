/* The played router and the clients of the tests; see played.h. */
#include "tests/unit/gateway/played.h"

#include "gateway/http_service.h"
#include "gateway/router_records.h"
#include "gateway/upgrade.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

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
    if (gateway->connections.paused_count && !link_congested(gateway->link))
        connections_resume(gateway);
    gateway_advance_timers(gateway);
    upgrade_look(gateway);
    rooms_flush(gateway);
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
            .room = bytes_make(socket->rooms[i].room->name, socket->rooms[i].room->name_length));
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

/* -- clients --------------------------------------------------------------------------------- */

struct client client_open(struct gateway *gateway)
{
    struct client client = {.gateway = gateway};
    struct connection *connection;
    uint32_t cursor = 0;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    client.fd = ends[0];
    http_accept(gateway, ends[1]);
    while ((connection = slot_table_next(&gateway->connections.slots, &cursor)))
        if (connection->fd == ends[1])
            client.number = connection->number;
    assert_int_not_equal(client.number, 0);
    return client;
}

void client_close(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    buffer_done(&client->in);
}

struct connection *client_connection(const struct client *client)
{
    return connections_find(client->gateway, client->number);
}

void client_write(struct client *client, struct bytes bytes)
{
    while (bytes.length) {
        ssize_t n = send(client->fd, bytes.data, bytes.length, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) { /* the gateway has to take some */
            played_turn(client->gateway);
            continue;
        }
        assert_true(n > 0);
        bytes = bytes_make(bytes.data + n, bytes.length - (size_t)n);
    }
}

const char *client_read(struct client *client)
{
    char space[65536];
    ssize_t n;

    buffer_clear(&client->in);
    while ((n = read(client->fd, space, sizeof space)) > 0) {
        buffer_append(&client->in, space, (size_t)n);
        played_turn(client->gateway);
    }
    buffer_append_char(&client->in, '\0');
    return client->in.data;
}

bool client_ended(struct client *client)
{
    char byte;
    ssize_t n = recv(client->fd, &byte, 1, MSG_PEEK);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

int client_answer(struct client *client, const char **body)
{
    const char *text = client_read(client), *end = strstr(text, "\r\n\r\n");

    if (!*text)
        return 0;
    assert_non_null(end);
    assert_int_equal(strncmp(text, "HTTP/1.1 ", 9), 0);
    if (body)
        *body = end + 4;
    return atoi(text + 9);
}

void client_poll(struct client *client, const char *sid)
{
    struct buffer request = {0};

    buffer_printf(&request, "GET /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n\r\n",
                  sid);
    client_write(client, buffer_bytes(&request));
    buffer_done(&request);
}

void client_post(struct client *client, const char *sid, const char *body)
{
    struct buffer request = {0};

    buffer_printf(&request,
                  "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n"
                  "Content-Length: %zu\r\n\r\n%s",
                  sid, strlen(body), body);
    client_write(client, buffer_bytes(&request));
    buffer_done(&request);
}

void client_upgrade(struct client *client, const char *sid)
{
    struct buffer request = {0};

    buffer_printf(
        &request,
        "GET /socket.io/?EIO=4&transport=websocket%s%s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        sid ? "&sid=" : "", sid ? sid : "");
    client_write(client, buffer_bytes(&request));
    buffer_done(&request);
}

static void send_message(struct client *client, char byte, const char *text)
{
    size_t length = strlen(text);
    struct buffer frame = {0};

    assert_true(length < 65536);
    buffer_append_char(&frame, byte);
    buffer_append_char(&frame, (char)(0x80 | (length < 126 ? length : 126)));
    if (length >= 126) {
        buffer_append_char(&frame, (char)(length >> 8));
        buffer_append_char(&frame, (char)length);
    }
    buffer_append(&frame, "\0\0\0\0", 4);
    buffer_append(&frame, text, length);
    client_write(client, buffer_bytes(&frame));
    buffer_done(&frame);
}

void client_message(struct client *client, const char *text)
{
    send_message(client, '\x81', text);
}

void client_binary_message(struct client *client, const char *text)
{
    send_message(client, '\x82', text);
}

const char *client_messages(struct client *client)
{
    static struct buffer out;
    const unsigned char *at, *end;
    const char *text = client_read(client), *head = strstr(text, "\r\n\r\n");

    buffer_clear(&out);
    at = (const unsigned char *)text;
    end = at + client->in.length - 1;
    if (strncmp(text, "HTTP/1.1 101", 12) == 0)
        at = (const unsigned char *)head + 4;
    while (at < end) {
        size_t length = at[1];
        unsigned opcode = at[0] & 15;

        at += 2;
        if (length == 126) {
            length = (size_t)at[0] << 8 | at[1];
            at += 2;
        }
        assert_true(length < 65536 && at + length <= end);
        if (out.length)
            buffer_append_char(&out, '|');
        if (opcode == 8) {
            buffer_printf(&out, "close %u", length ? (unsigned)at[0] << 8 | at[1] : 0U);
            if (length > 2)
                buffer_printf(&out, " %.*s", (int)length - 2, at + 2);
        } else if (opcode == 9)
            buffer_append_literal(&out, "ping");
        else
            buffer_append(&out, at, length);
        at += length;
    }
    buffer_append_char(&out, '\0');
    return out.data;
}

/* -- sessions -------------------------------------------------------------------------------- */

void open_session(struct gateway *gateway, char sid[SESSION_SID_LENGTH + 1])
{
    struct client client = client_open(gateway);
    const char *body = "";

    client_write(&client, BYTES("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\n\r\n"));
    played_turn(gateway);
    assert_int_equal(client_answer(&client, &body), 200);
    assert_int_equal(strncmp(body, "0{\"sid\":\"", 9), 0);
    memcpy(sid, body + 9, SESSION_SID_LENGTH);
    sid[SESSION_SID_LENGTH] = '\0';
    client_close(&client);
    played_turn(gateway);
}

void open_socket_session(struct gateway *gateway, char sid[SESSION_SID_LENGTH + 1])
{
    open_session(gateway, sid);
    assert_int_equal(post_once(gateway, sid, "40"), 200);
    assert_int_equal(played_connect(gateway), 1);
    assert_int_equal(strncmp(poll_once(gateway, sid), "40{\"sid\":", 9), 0);
}

const char *poll_once(struct gateway *gateway, const char *sid)
{
    static struct buffer kept;
    struct client client = client_open(gateway);
    const char *body = NULL;
    int status;

    client_poll(&client, sid);
    played_settle();
    status = client_answer(&client, &body);
    buffer_clear(&kept);
    if (status)
        buffer_append_text(&kept, body);
    buffer_append_char(&kept, '\0');
    client_close(&client);
    played_settle();
    return status ? kept.data : NULL;
}

int post_once(struct gateway *gateway, const char *sid, const char *body)
{
    struct client client = client_open(gateway);
    int status;

    client_post(&client, sid, body);
    played_settle();
    status = client_answer(&client, NULL);
    client_close(&client);
    played_settle();
    return status;
}
