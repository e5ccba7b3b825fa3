/*
 * How clients come in; see entrance.h.  The listener begins, connection.c frees what is left.  The surprising
 * rule: a client that came straight has no entrance at all, since every idle connection would pay for it.
 */
#include "gateway/entrance.h"

#include "common/memory.h"
#include "gateway/gateway.h"
#include "gateway/http_service.h"
#include "proto/proxy_protocol.h"

#include <stdlib.h>

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
    if (admit(gateway, connection))
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
        connection->entrance = memory_zero(1, sizeof *connection->entrance);
        connection->entrance->address = header->client;
        connection->entrance->secure = header->secure;
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
            connection->protocol->input(gateway, connection, joined.data + result,
                                        joined.length - (size_t)result);
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
    free(entrance);
}
