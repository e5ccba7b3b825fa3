/*
 * Writing HTTP answers; see http_answer.h.  Owns the text of the current second, and in the gateway the head
 * that was written last.  The surprising rule: a head like the last one is that one, shared, since a
 * broadcast answers a thousand polls in a turn and their heads are the same.
 */
#include "gateway/http_answer.h"

#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "proto/http.h"

#include <time.h>

static void append_date(struct buffer *out)
{
    static time_t second;
    static char text[40];
    static size_t length;
    time_t now = time(NULL);

    if (now != second) {
        struct tm parts;

        second = now;
        gmtime_r(&now, &parts);
        length = strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
    }
    buffer_append(out, text, length);
}

/* A client that knows how long a connection is kept does not use it at its very end. */
static void append_connection(const struct gateway *gateway, bool keep_alive, struct buffer *out)
{
    uint32_t seconds = gateway->settings->http_idle_timeout / 1000;

    if (!keep_alive)
        buffer_append_literal(out, "Connection: close\r\n\r\n");
    else if (seconds) {
        buffer_append_literal(out, "Connection: keep-alive\r\nKeep-Alive: timeout=");
        buffer_append_u64(out, seconds);
        buffer_append_literal(out, "\r\n\r\n");
    } else
        buffer_append_literal(out, "Connection: keep-alive\r\n\r\n");
}

void http_count_refusal(struct gateway *gateway, int status)
{
    if (status >= HTTP_REFUSED_FIRST && status <= HTTP_REFUSED_LAST)
        gateway->counters.http_refused[status - HTTP_REFUSED_FIRST]++;
}

/* A chunk with that text: the last one when it is the same. */
static struct chunk *head_chunk(struct gateway *gateway, struct bytes text)
{
    struct chunk *last = gateway->answer_head;

    if (last && bytes_equal(bytes_make(last->data, last->length), text))
        return last;
    if (last)
        chunk_release(last);
    gateway->answer_head = chunk_new(text.length);
    memcpy(gateway->answer_head->data, text.data, text.length);
    gateway->answer_head->length = (uint32_t)text.length;
    return gateway->answer_head;
}

/* The answer's head; the gateway's. */
static struct chunk *make_head(struct gateway *gateway, const struct http_answer *answer)
{
    struct buffer *out = &gateway->scratch;

    gateway->counters.http_requests++;
    http_count_refusal(gateway, answer->status);
    buffer_clear(out);
    buffer_append_literal(out, "HTTP/1.1 ");
    buffer_append_u64(out, (uint64_t)answer->status);
    buffer_append_char(out, ' ');
    buffer_append_text(out, http_reason(answer->status));
    buffer_append_literal(out, "\r\n");
    append_date(out);
    if (answer->content_type) {
        buffer_append_literal(out, "Content-Type: ");
        buffer_append_text(out, answer->content_type);
        buffer_append_literal(out, "\r\n");
    }
    buffer_append_bytes(out, answer->fields);
    if (answer->no_store)
        buffer_append_literal(out, "cache-control: no-store\r\n");
    if (answer->status != 304 && answer->status != 204) {
        buffer_append_literal(out, "Content-Length: ");
        buffer_append_u64(out, answer->content_length);
        buffer_append_literal(out, "\r\n");
    }
    append_connection(gateway, answer->keep_alive, out);
    return head_chunk(gateway, buffer_bytes(out));
}

static void end_unless_kept(struct gateway *gateway, struct connection *connection,
                            const struct http_answer *answer)
{
    if (!answer->keep_alive)
        connection_end(gateway, connection, answer->reason ? answer->reason : CLOSE_HTTP_DONE);
}

void http_send(struct gateway *gateway, struct connection *connection, const struct http_answer *answer)
{
    struct chunk *head = make_head(gateway, answer);

    connection_send_chunk(gateway, connection, head, 0, head->length);
    if (answer->body.length)
        connection_send(gateway, connection, answer->body);
    end_unless_kept(gateway, connection, answer);
}

void http_send_output(struct gateway *gateway, struct connection *connection,
                      const struct http_answer *answer, struct output *output)
{
    struct chunk *head = make_head(gateway, answer);
    struct output front = {0};

    output_append(&front, head, 0, head->length);
    output_prepend(output, &front);
    connection_send_output(gateway, connection, output);
    end_unless_kept(gateway, connection, answer);
}

void http_answer(struct gateway *gateway, struct connection *connection, const struct http_request *request,
                 struct http_answer answer)
{
    answer.content_length = answer.body.length;
    answer.keep_alive =
        request->keep_alive && !request->chunked && request->content_length <= 0 && !gateway->draining;
    if (request->method == HTTP_HEAD)
        answer.body.length = 0;
    http_send(gateway, connection, &answer);
}

void http_answer_status(struct gateway *gateway, struct connection *connection,
                        const struct http_request *request, int status, struct bytes fields)
{
    http_answer(gateway, connection, request,
                (struct http_answer){.status = status,
                                     .content_type = "text/plain; charset=utf-8",
                                     .fields = fields,
                                     .body = bytes_from_text(http_reason(status))});
}

void http_fail(struct gateway *gateway, struct connection *connection, int status, enum close_reason reason)
{
    struct bytes body = bytes_from_text(http_reason(status));

    http_send(gateway, connection,
              &(struct http_answer){.status = status,
                                    .content_type = "text/plain; charset=utf-8",
                                    .body = body,
                                    .content_length = body.length,
                                    .reason = reason});
}
