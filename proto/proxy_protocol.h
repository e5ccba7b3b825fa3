/*
 * The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): how a balancer that passes a
 * connection on says, in front of the first byte, who its client is.
 */
#ifndef HUBBUB_PROTO_PROXY_PROTOCOL_H
#define HUBBUB_PROTO_PROXY_PROTOCOL_H

#include "common/bytes.h"
#include "common/error.h"
#include "common/ip_address.h"

#include <stdbool.h>

enum { PROXY_PROTOCOL_MAX = 8 << 10 }; /* bytes of a header; larger ones are refused */

struct proxy_header {
    /* Unknown when the balancer speaks for itself (LOCAL, a health check), or can't say (UNKNOWN, UNSPEC, a
     * Unix socket): then it is the connection's own peer. */
    struct ip_address client;
    bool secure; /* version 2, PP2_TYPE_SSL: the client came over TLS */
};

/*
 * Reads a header at the front of data, whose first bytes are the connection's first.  Returns its length in
 * bytes; 0 when more are needed; ERROR_MALFORMED as soon as it can't become a header, ERROR_TOO_LARGE.
 * What else version 2 tells (TLVs other than that of TLS, its checksum among them) is passed over.
 */
int proxy_protocol_read(struct bytes data, struct proxy_header *out) MUST_CHECK;

#endif
