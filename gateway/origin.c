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

bool origin_allowed(const char *origins, const struct http_request *request)
{
    struct bytes origin = http_request_field(request, "Origin");

    return !origin.data || origin_listed(origins, origin, http_request_field(request, "Host"));
}
