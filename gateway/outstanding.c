/*
 * Requests to the router; see outstanding.h.  Clients and the admin port ask through it, the link calls the
 * rest.  Its one surprising rule: what was sent is never refused here, because it may have happened: its
 * client is closed, and asks anew.
 */
#include "gateway/outstanding.h"

#include "gateway/admin.h"
#include "gateway/engine.h"
#include "gateway/gateway.h"

int outstanding_ask(struct gateway *gateway, enum request_kind kind, unsigned weight, struct socket *socket,
                    long long ack, void (*put)(struct wire_batch *batch, uint64_t number, const void *record),
                    const void *record)
{
    struct request_queue *requests = &gateway->requests;
    struct wire_batch unsent = {0};
    struct wire_batch *batch = link_is_live(gateway->link) ? link_batch(gateway->link) : &unsent;
    struct request *request;
    size_t mark;

    if (requests->bytes >= gateway->settings->pending_bytes)
        return ERROR_BUSY;
    mark = wire_batch_mark(batch);
    put(batch, requests_next(requests), record);
    request = requests_add(requests, kind, socket ? socket->number : 0, ack,
                           bytes_make(batch->buffer.data + mark, batch->buffer.length - mark),
                           loop_now(gateway->loop));
    request->weight = (uint8_t)weight;
    request->taken = loop_now_ns(gateway->loop);
    if (socket) {
        socket->unanswered += weight;
        socket->calls += kind == REQUEST_CALL;
    }
    request->sent = batch != &unsent;
    if (request->sent)
        link_split(gateway->link);
    wire_batch_done(&unsent);
    return 0;
}

void outstanding_send_again(struct gateway *gateway)
{
    struct request_queue *requests = &gateway->requests;
    struct request *request;
    uint64_t cursor = 0;

    while ((request = requests_walk(requests, &cursor))) {
        if (request->socket && !sockets_find(gateway, request->socket)) {
            socket_finish_request(gateway, request);
            continue;
        }
        request->sent = true;
        if (request->socket) /* whoever waits for the admin port does not wait longer */
            request->since = loop_now(gateway->loop);
        wire_batch_append_encoded(link_batch(gateway->link), bytes_make(request->record, request->length));
        link_split(gateway->link);
    }
}

/* How long it may wait, in ms.  The router answers everything by itself at once, but for a backend's. */
static uint64_t patience(const struct gateway_settings *settings, const struct request *request)
{
    if (request->sent && request->kind == REQUEST_CALL)
        return UINT64_MAX;
    if (request->sent && request->kind == REQUEST_CONNECT &&
        settings->connect_timeout > settings->request_timeout)
        return settings->connect_timeout;
    return settings->request_timeout;
}

/* What a backend takes its time for no longer keeps its client from being read. */
static void make_light(struct socket *socket, struct request *request)
{
    socket->unanswered -= request->weight;
    request->weight = 0;
}

/* Of the admin port. */
static void expire_call(struct gateway *gateway, struct request *request)
{
    admin_expire(gateway->admin, (uint64_t)request->ack, request->sent);
    requests_finish(&gateway->requests, request);
}

static void refuse(struct gateway *gateway, struct socket *socket, const struct request *request)
{
    struct wire_reader reader;
    struct wire_event event = {0};
    unsigned type;

    wire_reader_open_record(&reader, bytes_make(request->record, request->length));
    if (wire_reader_next(&reader, &type) == 1 && type == WIRE_TYPE_EVENT &&
        wire_get_event(&reader, &event) < 0)
        event.event = (struct bytes){0};
    socket_refuse(gateway, socket, request->ack, event.event, REFUSAL_UNAVAILABLE, NULL);
}

/* It has waited for too long; socket: NULL when its own is gone. */
static void give_up(struct gateway *gateway, struct socket *socket, struct request *request)
{
    if (socket && (request->sent || request->kind == REQUEST_CONNECT))
        engine_close(gateway, socket->connection, CLOSE_ROUTER_SILENT);
    else if (socket && request->kind == REQUEST_RESPONSE)
        gateway->counters.answers_dropped++;
    else if (socket)
        refuse(gateway, socket, request);
    socket_finish_request(gateway, request);
}

void outstanding_expire(struct gateway *gateway)
{
    uint64_t timeout = gateway->settings->request_timeout;
    struct request *request;
    uint64_t cursor = 0;

    while ((request = requests_walk(&gateway->requests, &cursor))) {
        struct socket *socket = sockets_find(gateway, request->socket);
        uint64_t waited = loop_now(gateway->loop) - request->since;

        if (request->socket == 0) {
            if (waited >= timeout)
                expire_call(gateway, request);
            continue;
        }
        if (socket && request->kind == REQUEST_CALL && waited >= timeout)
            make_light(socket, request);
        if (socket && (waited < patience(gateway->settings, request) ||
                       (request->sent && !link_is_live(gateway->link))))
            continue;
        give_up(gateway, socket, request);
    }
}
