/* HTTP answers: the head, the body, and what becomes of the connection (RFC 9112). */
#ifndef HUBBUB_GATEWAY_HTTP_ANSWER_H
#define HUBBUB_GATEWAY_HTTP_ANSWER_H

#include "common/bytes.h"
#include "gateway/close_reason.h"

#include <stdbool.h>
#include <stddef.h>

struct connection;
struct gateway;
struct http_request;
struct output;

struct http_answer {
    int status;
    const char *content_type; /* NULL for none */
    struct bytes fields;      /* further lines, each with its CRLF */
    bool no_store;            /* no cache may keep it */
    struct bytes body;
    size_t content_length; /* differs from the body's for HEAD; not said with 204 and 304 */
    bool keep_alive;
    enum close_reason reason; /* of the end when it is not kept alive; CLOSE_NONE: CLOSE_HTTP_DONE */
};

/* Sends it; the connection ends afterwards unless it is kept alive. */
void http_send(struct gateway *gateway, struct connection *connection, const struct http_answer *answer);

/* The same with a body that waits elsewhere, of content_length bytes; output is empty afterwards. */
void http_send_output(struct gateway *gateway, struct connection *connection,
                      const struct http_answer *answer, struct output *output);

/* Answers a request: no body for HEAD, kept alive unless the peer or this gateway does not want to. */
void http_answer(struct gateway *gateway, struct connection *connection, const struct http_request *request,
                 struct http_answer answer);

/* The same with a status alone. */
void http_answer_status(struct gateway *gateway, struct connection *connection,
                        const struct http_request *request, int status, struct bytes fields);

/* Counts an answer that is sent without the functions above. */
void http_count_refusal(struct gateway *gateway, int status);

/* Refuses and closes: nothing after it can be trusted to be a request. */
void http_fail(struct gateway *gateway, struct connection *connection, int status, enum close_reason reason);

#endif
