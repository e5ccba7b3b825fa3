/* What the router's records mean to this gateway's sockets and rooms (docs/protocol.md, 2). */
#ifndef HUBBUB_GATEWAY_ROUTER_RECORDS_H
#define HUBBUB_GATEWAY_ROUTER_RECORDS_H

#include "common/error.h"
#include "proto/wire.h"

#include <stdbool.h>

struct gateway;

enum { LINK_EPOCH_MAX = 63 };

/* How far this gateway has come in the router's log; outlives links. */
struct link_progress {
    char epoch[LINK_EPOCH_MAX + 1]; /* "" before the first WELCOME */
    uint64_t position;
    uint64_t minor;   /* the version of the router's program: 0 until the link's WELCOME */
    bool acknowledge; /* send a batch though there is nothing to say */
};

/*
 * Handles the record that the reader has begun.  Unknown types are passed over.  0, or ERROR_MALFORMED: the
 * link can't go on; ERROR_UNSUPPORTED: the router's program is too old or too new for this one.
 */
int records_handle(struct gateway *gateway, struct link_progress *progress, struct wire_reader *reader,
                   unsigned type) MUST_CHECK;

#endif
