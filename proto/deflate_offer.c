/*
 * The offers of permessage-deflate; see deflate_offer.h.  It owns nothing; the
 * gateway's WebSocket handshake calls it.  Surprising: the fields are read to their
 * end though an offer was accepted, because malformed ones refuse the handshake.
 */
#include "proto/deflate_offer.h"

#include "proto/deflate.h"
#include "proto/http_octet.h"

enum { WINDOW_BITS_MIN = 8, WINDOW_BITS_MAX = 15 };

enum value_rule { VALUE_FORBIDDEN, VALUE_OPTIONAL, VALUE_NEEDED };

enum parameter {
    SERVER_NO_CONTEXT_TAKEOVER,
    CLIENT_NO_CONTEXT_TAKEOVER,
    SERVER_MAX_WINDOW_BITS,
    CLIENT_MAX_WINDOW_BITS,
    PARAMETERS,
};

static const struct {
    const char *name;
    enum value_rule rule;
} parameters[PARAMETERS] = {
    [SERVER_NO_CONTEXT_TAKEOVER] = {"server_no_context_takeover", VALUE_FORBIDDEN},
    [CLIENT_NO_CONTEXT_TAKEOVER] = {"client_no_context_takeover", VALUE_FORBIDDEN},
    [SERVER_MAX_WINDOW_BITS] = {"server_max_window_bits", VALUE_NEEDED},
    [CLIENT_MAX_WINDOW_BITS] = {"client_max_window_bits", VALUE_OPTIONAL},
};

/* One extension of the list. */
struct offer {
    bool acceptable;
    unsigned seen;               /* a bit for each parameter */
    unsigned server_window_bits; /* 0 when not asked for */
};

struct value {
    bool present;
    unsigned window_bits; /* 0 when it is not the decimal number of a window */
};

static void skip_blanks(struct bytes *rest)
{
    while (rest->length && http_octet_is_blank(rest->data[0])) {
        rest->data++;
        rest->length--;
    }
}

static bool take_char(struct bytes *rest, char c)
{
    skip_blanks(rest);
    if (rest->length == 0 || rest->data[0] != c)
        return false;
    rest->data++;
    rest->length--;
    return true;
}

/* False when there is none. */
static bool take_token(struct bytes *rest, struct bytes *token)
{
    size_t length = 0;
    skip_blanks(rest);
    while (length < rest->length && http_octet_is(rest->data[length], HTTP_OCTET_TOKEN))
        length++;
    *token = bytes_make(rest->data, length);
    *rest = bytes_make(rest->data + length, rest->length - length);
    return length > 0;
}

/* A quoted value, behind its first quote, must hold a token (RFC 6455 9.1); false when it does not. */
static bool take_quoted(struct bytes *rest, char plain[3], size_t *length)
{
    *length = 0;
    for (size_t at = 0; at < rest->length; at++) {
        char c = rest->data[at];
        if (c == '"') {
            *rest = bytes_make(rest->data + at + 1, rest->length - at - 1);
            return *length > 0;
        }
        if (c == '\\' && ++at < rest->length)
            c = rest->data[at];
        if (!http_octet_is(c, HTTP_OCTET_TOKEN))
            return false;
        if (*length < 3)
            plain[(*length)++] = c;
    }
    return false;
}

/* RFC 7692 7.1.2.1: no zero in front. */
static unsigned window_bits(struct bytes text)
{
    unsigned long long number;
    if (text.length > 2 || text.data[0] == '0' || bytes_parse_u64(text, &number) ||
        number < WINDOW_BITS_MIN || number > WINDOW_BITS_MAX)
        return 0;
    return (unsigned)number;
}

/* What stands behind a parameter's name; false when it breaks the grammar. */
static bool take_value(struct bytes *rest, struct value *value)
{
    char plain[3];
    struct bytes text;

    *value = (struct value){.present = take_char(rest, '=')};
    if (!value->present)
        return true;
    if (take_char(rest, '"')) {
        if (!take_quoted(rest, plain, &text.length))
            return false;
        text.data = plain;
    } else if (!take_token(rest, &text)) {
        return false;
    }
    value->window_bits = window_bits(text);
    return true;
}

static void apply(struct offer *offer, struct bytes name, struct value value)
{
    for (unsigned i = 0; i < PARAMETERS; i++) {
        if (!bytes_equal_text(name, parameters[i].name))
            continue;
        if (offer->seen & 1u << i || (value.present && !value.window_bits) ||
            (value.present && parameters[i].rule == VALUE_FORBIDDEN) ||
            (!value.present && parameters[i].rule == VALUE_NEEDED))
            break;
        offer->seen |= 1u << i;
        if (i == SERVER_MAX_WINDOW_BITS)
            offer->server_window_bits = value.window_bits;
        return;
    }
    offer->acceptable = false;
}

/* One extension with its parameters; false when it breaks the grammar. */
static bool take_extension(struct bytes *rest, struct offer *offer)
{
    struct bytes name;
    struct value value;

    if (!take_token(rest, &name))
        return false;
    *offer = (struct offer){.acceptable = bytes_equal(name, BYTES("permessage-deflate"))};
    while (take_char(rest, ';')) {
        if (!take_token(rest, &name) || !take_value(rest, &value))
            return false;
        apply(offer, name, value);
    }
    skip_blanks(rest);
    return rest->length == 0 || rest->data[0] == ',';
}

/* One field, a list that may have empty elements (RFC 9110 5.6.1.2); the first offer found is kept. */
static bool take_field(struct bytes rest, struct offer *found)
{
    struct offer offer;
    for (;;) {
        while (take_char(&rest, ','))
            continue;
        if (rest.length == 0)
            return true;
        if (!take_extension(&rest, &offer))
            return false;
        if (offer.acceptable && !found->acceptable)
            *found = offer;
    }
}

int deflate_offer_accept(const struct http_request *request, struct buffer *answer, unsigned *window_bits)
{
    struct offer found = {.acceptable = false};

    for (size_t i = 0; i < request->field_count; i++)
        if (bytes_equal_nocase(request->fields[i].name, BYTES("sec-websocket-extensions")) &&
            !take_field(request->fields[i].value, &found))
            return -400;
    if (!found.acceptable)
        return 0;
    buffer_append_literal(answer,
                          "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    if (found.server_window_bits)
        buffer_printf(answer, "; server_max_window_bits=%u", found.server_window_bits);
    *window_bits = found.server_window_bits ? found.server_window_bits : DEFLATE_WINDOW_BITS;
    return 1;
}
