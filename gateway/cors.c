/*
 * CORS fields; see cors.h.  engine_service.c calls it.  The surprising rule: with credentials "*" becomes the
 * origin of the request, since browsers take no wildcard then.
 */
#include "gateway/cors.h"

#include "gateway/settings.h"
#include "proto/http.h"

bool cors_is_on(const struct gateway_settings *settings)
{
    return settings->cors_origins[0] != '\0';
}

/* Whether a list, separated by blanks or commas, has that origin. */
static bool lists(const char *origins, struct bytes origin)
{
    for (const char *at = origins; *at;) {
        size_t length = strcspn(at, ", ");

        if (length && bytes_equal(bytes_make(at, length), origin))
            return true;
        at += length;
        at += strspn(at, ", ");
    }
    return false;
}

void cors_append(const struct gateway_settings *settings, const struct http_request *request,
                 struct buffer *out)
{
    struct bytes origin;
    bool all;

    if (!cors_is_on(settings))
        return;
    origin = http_request_field(request, "Origin");
    all = lists(settings->cors_origins, BYTES("*"));
    if (all && !settings->cors_credentials) {
        buffer_append_literal(out, "Access-Control-Allow-Origin: *\r\n");
        return;
    }
    buffer_append_literal(out, "Vary: Origin\r\n");
    if (origin.length == 0 || (!all && !lists(settings->cors_origins, origin)))
        return;
    buffer_append_literal(out, "Access-Control-Allow-Origin: ");
    buffer_append_bytes(out, origin);
    buffer_append_literal(out, "\r\n");
    if (settings->cors_credentials)
        buffer_append_literal(out, "Access-Control-Allow-Credentials: true\r\n");
}

void cors_append_preflight(const struct http_request *request, struct buffer *out)
{
    struct bytes asked = http_request_field(request, "Access-Control-Request-Headers");

    buffer_append_literal(out, "Access-Control-Allow-Methods: GET,HEAD,PUT,PATCH,POST,DELETE\r\n"
                               "Vary: Access-Control-Request-Headers\r\nContent-Length: 0\r\n");
    if (asked.length == 0)
        return;
    buffer_append_literal(out, "Access-Control-Allow-Headers: ");
    buffer_append_bytes(out, asked);
    buffer_append_literal(out, "\r\n");
}
