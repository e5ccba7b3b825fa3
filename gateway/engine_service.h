/*
 * The HTTP side of Engine.IO (protocol 4): requests to /socket.io/, and to /engine.io/ with the diagnostic
 * echo: handshakes, polls, posts and WebSockets, in the order of the reference server's checks.
 */
#ifndef HUBBUB_GATEWAY_ENGINE_SERVICE_H
#define HUBBUB_GATEWAY_ENGINE_SERVICE_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "gateway/close_reason.h"
#include "gateway/relay.h"
#include "proto/engineio.h"
#include "proto/http_body.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection;
struct gateway;
struct http_request;
struct output;

/* A request whose body is being read, or that waits for its session. */
struct exchange {
    char sid[SESSION_SID_LENGTH];
    uint64_t home;     /* the incarnation of the session's gateway; 0: there is no session */
    uint64_t question; /* to it (relay.h); 0 when it is this one, or was not asked yet */
    uint8_t kind;      /* enum relay_kind: what is asked */
    bool reading;      /* the body is not complete */
    uint16_t refused;  /* the status for a post that its session is to forget first; 0: none */
    uint8_t decided;   /* enum relay_kind: the answer that goes out when the body is here; 0: none */
    char decision[4];  /* its body */
    bool keep_alive, head, gzip;
    struct http_body body;
    struct buffer content;
    struct buffer fields; /* CORS and the like, for the answer */
};

/* Whether a path is served here. */
bool engine_serves(const struct gateway *gateway, struct bytes path);

/* Answers the request, or leaves it as the connection's exchange, or makes a WebSocket of the connection. */
void engine_request(struct gateway *gateway, struct connection *connection,
                    const struct http_request *request);

/* Takes in bytes of the exchange's body, which is being read; returns how many it took. */
size_t engine_body(struct gateway *gateway, struct connection *connection, const char *data, size_t length);

/* The session's answer to the exchange; does nothing when there is none any more. */
void http_answer_pending(struct gateway *gateway, struct connection *connection, enum relay_kind kind,
                         struct bytes body);

/* The same for a poll of this gateway: a payload that waits in the output, which is empty afterwards. */
void http_answer_poll(struct gateway *gateway, struct connection *connection, struct output *output);

/* Refuses a WebSocket's handshake. */
void http_refuse_upgrade(struct gateway *gateway, struct connection *connection, enum engineio_error error);

/* The connection leaves OPEN: its session is told that the client is gone. */
void exchange_abandon(struct gateway *gateway, struct connection *connection);

#endif
