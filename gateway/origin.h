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

/*
 * Whether a browser can name itself so: a scheme and host in lower case, ://, and a port unless it is the scheme's own
 * (RFC 6454 6.2; hosts as ASCII); or null, or file://, which some programs with pages in files say.  patterns: "self" and
 * hosts that begin with "*." may stand there, too.  "*" always may.
 */
bool origin_entry_valid(struct bytes entry, bool patterns);

/* The first entry of a list that is not; empty when there is none. */
struct bytes origins_find_invalid(const char *origins, bool patterns);

/* Whether the request may be answered, as to its origin.  With two it may not, whatever is listed: no browser
   sends them, and what is in front of us may look at the other one. */
bool origin_allowed(const char *origins, const struct http_request *request);

#endif
