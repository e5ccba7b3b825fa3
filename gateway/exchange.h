/*
 * A request of Engine.IO that is not answered yet: its body is being read, or its session has not answered. A
 * connection has at most one.
 */
#ifndef HUBBUB_GATEWAY_EXCHANGE_H
#define HUBBUB_GATEWAY_EXCHANGE_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "gateway/relay.h"
#include "gateway/session.h"
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

/* Makes it the connection's.  fields, each with its CRLF, go into the answer. */
struct exchange *exchange_new(struct gateway *gateway, struct connection *connection,
                              const struct http_request *request, struct bytes fields);

/* Forgets it, without an answer. */
void exchange_free(struct connection *connection);

/* Asks its session; the request must be whole. */
void exchange_ask(struct gateway *gateway, struct connection *connection);

/* Tells its session that a post is coming: a second one before its end is one too many. */
void exchange_begin_post(struct gateway *gateway, struct connection *connection);

/* Takes in bytes of the body, which is being read; returns how many it took. */
size_t exchange_read(struct gateway *gateway, struct connection *connection, const char *data, size_t length);

/* Refuses it, as soon as its body is here. */
void exchange_refuse(struct gateway *gateway, struct connection *connection, enum engineio_error error);

/* The session's answer, which goes out as soon as the body is here; does nothing when there is no exchange.
 */
void exchange_answer(struct gateway *gateway, struct connection *connection, enum relay_kind kind,
                     struct bytes body);

/* Answers with a payload, compressed if it is large and the client takes that; or with one that waits in the
 * output, which is empty afterwards. */
void exchange_answer_payload(struct gateway *gateway, struct connection *connection, struct bytes payload);
void exchange_answer_poll(struct gateway *gateway, struct connection *connection, struct output *output);

/* The connection leaves OPEN: its session is told that the client is gone. */
void exchange_abandon(struct gateway *gateway, struct connection *connection);

#endif
