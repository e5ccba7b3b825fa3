/*
 * How clients come in; see entrance.h.  The listener begins, connection.c frees what is left.  The surprising
 * rule: a client that came straight has no entrance at all, since every idle connection would pay for it.
 */
#include "gateway/entrance.h"

#include "common/memory.h"
#include "gateway/gateway.h"
#include "gateway/http_service.h"
#include "gateway/tls.h"
#include "proto/proxy_protocol.h"

#include <stdlib.h>

static struct entrance *entrance_of(struct connection *connection)
{
    if (!connection->entrance)
        connection->entrance = memory_zero(1, sizeof *connection->entrance);
    return connection->entrance;
}

/* -- TLS --------------------------------------------------------------------------------------- */

static void count_failure(struct gateway *gateway, enum tls_failure failure)
{
    static const size_t fields[] = {
#define X(name) [TLS_FAILURE_##name] = offsetof(struct counters, tls_failed_##name),
        TLS_FAILURE_TABLE(X)
#undef X
    };

    ++*(uint64_t *)((char *)&gateway->counters + fields[failure]);
}

static void on_tls_input(struct gateway *gateway, struct connection *connection, char *data, size_t length)
{
    (void)data;
    (void)length;
    /* What is secured comes through entrance_receive(), which sees the end of the handshake first. */
    connection_drop(gateway, connection, CLOSE_TLS_FAILED);
}

static void on_tls_timeout(struct gateway *gateway, struct connection *connection)
{
    gateway->counters.tls_timeouts++;
    connection_drop(gateway, connection, CLOSE_TLS_FAILED);
}

static void on_tls_ending(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    (void)connection;
    if (reason == CLOSE_PEER_GONE || reason == CLOSE_TRANSPORT_ERROR)
        gateway->counters.tls_abandoned++;
}

static const struct connection_protocol tls_protocol = {
    .input = on_tls_input,
    .timeout = on_tls_timeout,
    .ending = on_tls_ending,
};

static void begin_tls(struct gateway *gateway, struct connection *connection)
{
    struct tls *tls = tls_new(gateway->tls);

    if (!tls) {
        connection_drop(gateway, connection, CLOSE_TLS_FAILED);
        return;
    }
    entrance_of(connection)->tls = tls;
    connection->secured = true;
    connection->protocol = &tls_protocol;
    connection_set_timer(gateway, connection,
                         loop_now(gateway->loop) + gateway->settings->tls_handshake_timeout);
}

static void on_established(struct gateway *gateway, struct connection *connection)
{
    const struct tls *tls = connection->entrance->tls;

    if (tls_is_1_3(tls))
        gateway->counters.tls_handshakes_1_3++;
    else
        gateway->counters.tls_handshakes_1_2++;
    if (tls_is_resumed(tls))
        gateway->counters.tls_resumed++;
    connection->entrance->secure = true;
    http_begin(gateway, connection);
}

/* Its alert is sent, then it ends. */
static void on_failed(struct gateway *gateway, struct connection *connection)
{
    struct tls *tls = connection->entrance->tls;
    enum tls_failure failure = tls_failure(tls);
    enum close_reason reason = CLOSE_TRANSPORT_ERROR;

    if (connection->protocol == &tls_protocol) {
        reason = CLOSE_TLS_FAILED;
        count_failure(gateway, failure);
        if (failure == TLS_FAILURE_HTTP)
            tls_say_plainly(tls, BYTES("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
                                       "Content-Type: text/plain\r\nContent-Length: 40\r\n\r\n"
                                       "This port speaks TLS: https:// or wss://"));
    }
    connection_end(gateway, connection, reason);
}

void entrance_receive(struct gateway *gateway, struct connection *connection, char *data, size_t length)
{
    struct tls *tls = connection->entrance->tls;
    char *plain;
    size_t plain_length;
    int result = tls_receive(tls, bytes_make(data, length), &plain, &plain_length);

    if (connection->protocol == &tls_protocol && tls_has_begun(tls))
        on_established(gateway, connection);
    if (tls_waiting(tls)) /* what TLS itself has to say */
        connection_push(gateway, connection);
    if (plain_length)
        connection->protocol->input(gateway, connection, plain, plain_length);
    if (connection->state != CONNECTION_OPEN)
        return;
    if (result == ERROR_PROTOCOL)
        on_failed(gateway, connection);
    else if (result == ERROR_CLOSED) /* it may still read the answer to what came in front of that */
        connection_end(gateway, connection, CLOSE_PEER_GONE);
    else if (result < 0)
        connection_drop(gateway, connection, CLOSE_SLOW_READER);
}

/* -- the first step ---------------------------------------------------------------------------- */

/* Its address is known, and may have one more; else it is told so.  What a trusted balancer carries counts
 * when its requests tell whose it is. */
static bool admit(struct gateway *gateway, struct connection *connection)
{
    if (quota_attribute(gateway, connection, NULL))
        return true;
    http_say_refused(gateway, connection->fd, 429);
    connection_drop(gateway, connection, CLOSE_RATE_LIMITED);
    return false;
}

/* Who the client is is known from here on. */
static void enter(struct gateway *gateway, struct connection *connection)
{
    if (!admit(gateway, connection))
        return;
    if (gateway->tls)
        begin_tls(gateway, connection);
    else
        http_begin(gateway, connection);
}

/* -- the balancer's header -------------------------------------------------------------------- */

static void refuse(struct gateway *gateway, struct connection *connection, const char *error)
{
    struct ip_address address = connection_address(connection);
    char text[IP_ADDRESS_TEXT];

    ip_address_text(&address, text);
    log_warn("no PROXY header of a balancer", "peer=%s error=%s", text, error);
    connection_drop(gateway, connection, CLOSE_PROXY_REFUSED);
}

static void on_header(struct gateway *gateway, struct connection *connection,
                      const struct proxy_header *header)
{
    if (ip_address_is_known(&header->client) || header->secure) {
        struct entrance *entrance = entrance_of(connection);

        entrance->address = header->client;
        entrance->told = ip_address_is_known(&header->client);
        entrance->secure = header->secure;
    }
    enter(gateway, connection);
}

static void on_input(struct gateway *gateway, struct connection *connection, char *data, size_t length)
{
    struct buffer joined = connection_unhold(connection);
    struct proxy_header header;
    int result;

    buffer_append(&joined, data, length);
    result = proxy_protocol_read(buffer_bytes(&joined), &header);
    if (result < 0)
        refuse(gateway, connection, error_text(result));
    else if (result == 0)
        connection_hold(connection, joined.data, joined.length);
    else {
        on_header(gateway, connection, &header);
        if (joined.length > (size_t)result && connection->state == CONNECTION_OPEN)
            connection_receive(gateway, connection, joined.data + result, joined.length - (size_t)result);
    }
    buffer_done(&joined);
}

static void on_timeout(struct gateway *gateway, struct connection *connection)
{
    refuse(gateway, connection, "it did not come in time");
}

static void on_ending(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    (void)gateway;
    (void)connection;
    (void)reason;
}

static const struct connection_protocol header_protocol = {
    .input = on_input,
    .timeout = on_timeout,
    .ending = on_ending,
};

void entrance_accept(struct gateway *gateway, int fd)
{
    struct connection *connection = connection_new(gateway, fd, &header_protocol);
    struct ip_address address;

    if (!connection)
        return;
    if (gateway->settings->proxy_protocol == PROXY_PROTOCOL_OFF) {
        enter(gateway, connection);
        return;
    }
    address = connection_address(connection);
    if (ip_ranges_have(&gateway->settings->trusted_ranges, &address))
        connection_set_timer(gateway, connection,
                             loop_now(gateway->loop) + gateway->settings->http_head_timeout);
    else
        refuse(gateway, connection, "the peer is none of trusted_proxies");
}

void entrance_free(struct entrance *entrance)
{
    if (entrance)
        tls_free(entrance->tls);
    free(entrance);
}
