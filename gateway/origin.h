/*
 * Which pages may connect: the Origin of a request (RFC 6454; WebSocket: RFC 6455 10.2) against the setting
 * `origins`.
 *
 * A WebSocket is not under the same-origin policy: any page that a user of the application visits could open
 * one with that user's cookies, unless the server looks.  Only browsers say Origin, and pages cannot change
 * it, so a request without one comes from a program, and is allowed.
 */
#ifndef HUBBUB_GATEWAY_ORIGIN_H
#define HUBBUB_GATEWAY_ORIGIN_H

#include "common/bytes.h"

#include <stdbool.h>

struct http_request;

/*
 * Whether a list has that origin; blanks and commas separate.  "*" is any; an entry whose host begins with
 * "*." is any subdomain, but not the domain itself; "self" whatever names the host and port of the field
 * Host.  An empty list has all; "null" (a sandboxed page, a file) is in none but by name.
 */
bool origin_listed(const char *origins, struct bytes origin, struct bytes host);

/* Whether the request may be answered, as to its origin. */
bool origin_allowed(const char *origins, const struct http_request *request);

#endif
