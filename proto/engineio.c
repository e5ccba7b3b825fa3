/*
 * Engine.IO packets and refusals; see engineio.h.  Owns nothing; the gateway's
 * transports call it.  Surprising: it does not judge whether a packet is welcome,
 * since the reference ignores some that it could refuse.
 */
#include "proto/engineio.h"

static const struct {
    int status;
    struct bytes message;
} errors[] = {
#define X(name, code, http_status, text) [code] = {http_status, {text, sizeof text - 1}},
    ENGINEIO_ERROR_TABLE(X)
#undef X
};

int engineio_packet_parse(struct bytes text, struct engineio_packet *out)
{
    if (text.length == 0)
        return ERROR_MALFORMED;
    switch (text.data[0]) {
#define X(name, digit) case '0' + (digit):
        ENGINEIO_TYPE_TABLE(X)
#undef X
        out->type = (enum engineio_type)(text.data[0] - '0');
        out->data = bytes_make(text.data + 1, text.length - 1);
        return 0;
    default:
        return ERROR_MALFORMED;
    }
}

void engineio_append_open(struct buffer *out, const struct engineio_open *open)
{
    buffer_append_literal(out, "0{\"sid\":\"");
    buffer_append_bytes(out, open->sid);
    buffer_append_literal(out, "\",\"upgrades\":[");
    if (open->upgrade)
        buffer_append_literal(out, "\"websocket\"");
    buffer_append_literal(out, "],\"pingInterval\":");
    buffer_append_u64(out, open->ping_interval);
    buffer_append_literal(out, ",\"pingTimeout\":");
    buffer_append_u64(out, open->ping_timeout);
    buffer_append_literal(out, ",\"maxPayload\":");
    buffer_append_u64(out, open->max_payload);
    buffer_append_char(out, '}');
}

int engineio_error_status(enum engineio_error error)
{
    return errors[error].status;
}

struct bytes engineio_error_message(enum engineio_error error)
{
    return errors[error].message;
}

void engineio_append_error(struct buffer *out, enum engineio_error error)
{
    buffer_append_literal(out, "{\"code\":");
    buffer_append_u64(out, (uint64_t)error);
    buffer_append_literal(out, ",\"message\":\"");
    buffer_append_bytes(out, errors[error].message);
    buffer_append_literal(out, "\"}");
}
