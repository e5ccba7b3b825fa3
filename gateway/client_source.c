/*
 * Where a request's client really is; see client_source.h.  Whoever makes sessions calls it, and whoever
 * limits or logs clients.  The surprising rule: an entry that is no address ends the way to the left, so that
 * a client can't hide behind one; the last balancer counts then.
 */
#include "gateway/client_source.h"

#include "common/clock.h"
#include "gateway/connection.h"
#include "gateway/entrance.h"
#include "gateway/gateway.h"
#include "proto/http.h"
#include "proto/http_octet.h"

/* What is left of the fields of one name, from the right. */
struct entries {
    const struct http_request *request;
    const char *name;
    size_t next;       /* fields before this one are not looked at yet */
    struct bytes rest; /* of the field that is being looked at; {NULL, 0} when there is none */
};

/* The next list element from the right, trimmed.  False when there is none. */
static bool previous_entry(struct entries *entries, struct bytes *out)
{
    const char *comma;
    size_t start;

    while (!entries->rest.data) {
        const struct http_field *field;

        if (entries->next == 0)
            return false;
        field = &entries->request->fields[--entries->next];
        if (bytes_equal_nocase(field->name, bytes_from_text(entries->name)))
            entries->rest = field->value.data ? field->value : (struct bytes){"", 0};
    }
    comma = memrchr(entries->rest.data, ',', entries->rest.length);
    start = comma ? (size_t)(comma - entries->rest.data) + 1 : 0;
    *out = http_trim(bytes_make(entries->rest.data + start, entries->rest.length - start));
    entries->rest = comma ? bytes_make(entries->rest.data, start - 1) : (struct bytes){0};
    return true;
}

static struct entries entries_of(const struct http_request *request, const char *name)
{
    return (struct entries){.request = request, .name = name, .next = request->field_count};
}

/* An address as balancers write it: also "192.0.2.1:4711", "[2001:db8::1]" and "[2001:db8::1]:4711". */
static int parse_entry(struct bytes entry, struct ip_address *out)
{
    const char *colon = memchr(entry.data, ':', entry.length);

    if (entry.length && entry.data[0] == '[') {
        const char *end = memchr(entry.data, ']', entry.length);

        if (!end)
            return ERROR_MALFORMED;
        entry = bytes_make(entry.data + 1, (size_t)(end - entry.data) - 1);
    } else if (colon && !memchr(colon + 1, ':', entry.length - (size_t)(colon + 1 - entry.data)))
        entry.length = (size_t)(colon - entry.data); /* a single one comes before a port */
    return ip_address_parse(entry, out);
}

static bool is_trusted(const struct gateway *gateway, const struct ip_address *address)
{
    return ip_ranges_have(&gateway->settings->trusted_ranges, address);
}

struct client_source client_source_of(const struct gateway *gateway, const struct connection *connection,
                                      const struct http_request *request)
{
    struct client_source source = {.address = connection_address(connection),
                                   .secure = connection->entrance && connection->entrance->secure};
    struct entries entries;
    struct bytes entry;

    if ((connection->entrance && connection->entrance->told) || !is_trusted(gateway, &source.address))
        return source;
    entries = entries_of(request, "X-Forwarded-Proto");
    if (previous_entry(&entries, &entry))
        source.secure = bytes_equal_nocase(entry, BYTES("https")) || bytes_equal_nocase(entry, BYTES("wss"));
    entries = entries_of(request, "X-Forwarded-For");
    while (is_trusted(gateway, &source.address) && previous_entry(&entries, &entry))
        if (parse_entry(entry, &source.address) < 0)
            break;
    return source;
}

struct handshake *client_source_handshake(const struct gateway *gateway, const struct connection *connection,
                                          const struct http_request *request)
{
    struct client_source source = client_source_of(gateway, connection, request);
    char text[IP_ADDRESS_TEXT];

    return handshake_new(request, ip_address_text(&source.address, text), source.secure, clock_wall_ms());
}
