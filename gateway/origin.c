/*
 * Origins of pages; see origin.h.  http_service.c asks it for every request to a transport.  The surprising
 * rule: "self" compares host and port only, since a gateway behind a balancer does not know whether the page
 * came over https.
 */
#include "gateway/origin.h"

#include "proto/http.h"

/* What stands for the star is one or more labels. */
static bool matches_subdomain(struct bytes entry, struct bytes origin)
{
    const char *star = memchr(entry.data, '*', entry.length);
    struct bytes before, after, between;

    if (!star)
        return false;
    before = bytes_make(entry.data, (size_t)(star - entry.data));
    after = bytes_make(star + 1, entry.length - before.length - 1);
    if (after.length < 2 || after.data[0] != '.' || before.length < 3 ||
        before.data[before.length - 1] != '/' || origin.length <= before.length + after.length ||
        !bytes_starts_with(origin, before))
        return false;
    between = bytes_make(origin.data + before.length, origin.length - before.length - after.length);
    return bytes_equal(bytes_make(between.data + between.length, after.length), after) &&
           !memchr(between.data, '/', between.length) && !memchr(between.data, ':', between.length) &&
           !memchr(between.data, '@', between.length);
}

/* The origin's host and port are those that the request was sent to. */
static bool is_self(struct bytes origin, struct bytes host)
{
    static const struct bytes schemes[] = {{"https://", 8}, {"http://", 7}};

    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (bytes_starts_with(origin, schemes[i]))
            return host.length &&
                   bytes_equal_nocase(
                       bytes_make(origin.data + schemes[i].length, origin.length - schemes[i].length), host);
    return false;
}

static bool matches(struct bytes entry, struct bytes origin, struct bytes host)
{
    if (bytes_equal(entry, BYTES("*")) || bytes_equal(entry, origin))
        return true;
    return bytes_equal(entry, BYTES("self")) ? is_self(origin, host) : matches_subdomain(entry, origin);
}

bool origin_listed(const char *origins, struct bytes origin, struct bytes host)
{
    bool any = false;

    for (const char *at = origins; *at;) {
        size_t length = strcspn(at, ", ");

        any = any || length;
        if (length && matches(bytes_make(at, length), origin, host))
            return true;
        at += length;
        at += strspn(at, ", ");
    }
    return !any;
}

/* -- what may stand in a list ------------------------------------------------------------------- */

static bool is_made_of(struct bytes text, const char *more)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !(c && strchr(more, c)))
            return false;
    }
    return text.length > 0;
}

/* Digits without a 0 in front, and not what the scheme has anyway: no browser writes that. */
static bool port_valid(struct bytes scheme, struct bytes port)
{
    unsigned number = 0;

    if (port.length == 0 || port.length > 5 || port.data[0] == '0')
        return false;
    for (size_t i = 0; i < port.length; i++) {
        if (port.data[i] < '0' || port.data[i] > '9')
            return false;
        number = number * 10 + (unsigned)(port.data[i] - '0');
    }
    return number <= 65535 && !(number == 443 && bytes_equal(scheme, BYTES("https"))) &&
           !(number == 80 && bytes_equal(scheme, BYTES("http")));
}

static bool host_valid(struct bytes scheme, struct bytes host)
{
    const char *end = host.length && host.data[0] == '[' ? memchr(host.data, ']', host.length) : NULL;
    const char *colon = end ? end + 1 : memchr(host.data, ':', host.length);
    size_t length = colon ? (size_t)(colon - host.data) : host.length;
    struct bytes port = bytes_make(host.data + length, host.length - length);

    if (end ? !is_made_of(bytes_make(host.data + 1, length - 2), ":.")
            : !is_made_of(bytes_make(host.data, length), "-._"))
        return false;
    return port.length == 0 ||
           (port.data[0] == ':' && port_valid(scheme, bytes_make(port.data + 1, port.length - 1)));
}

bool origin_entry_valid(struct bytes entry, bool patterns)
{
    const char *colon = memchr(entry.data, ':', entry.length);
    struct bytes scheme, rest;

    if (bytes_equal(entry, BYTES("*")) || bytes_equal(entry, BYTES("null")) ||
        bytes_equal(entry, BYTES("file://")))
        return true;
    if (patterns && bytes_equal(entry, BYTES("self")))
        return true;
    if (!colon)
        return false;
    scheme = bytes_make(entry.data, (size_t)(colon - entry.data));
    rest = bytes_make(colon, entry.length - scheme.length);
    if (!is_made_of(scheme, "+-.") || !bytes_starts_with(rest, BYTES("://")))
        return false;
    rest = bytes_make(rest.data + 3, rest.length - 3);
    if (patterns && bytes_starts_with(rest, BYTES("*.")))
        rest = bytes_make(rest.data + 2, rest.length - 2);
    return host_valid(scheme, rest);
}

struct bytes origins_find_invalid(const char *origins, bool patterns)
{
    for (const char *at = origins; *at;) {
        struct bytes entry = bytes_make(at, strcspn(at, ", "));

        if (entry.length && !origin_entry_valid(entry, patterns))
            return entry;
        at += entry.length;
        at += strspn(at, ", ");
    }
    return (struct bytes){0};
}

/* -- requests ----------------------------------------------------------------------------------- */

bool origin_allowed(const char *origins, const struct http_request *request)
{
    struct bytes origin = http_request_field(request, "Origin");

    if (http_request_count(request, "Origin") > 1)
        return false;
    return !origin.data || origin_listed(origins, origin, http_request_field(request, "Host"));
}
