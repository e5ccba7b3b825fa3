/*
 * What backends (SEND) and HTTP publishers (PUBLISH) send to clients.
 *
 * Each room is a message of its own, in the order of the list, and leaves out who is in a room before it, so
 * that a socket gets one of them.  They are written together or not at all.  A sid is not a room but one
 * socket; no room is the whole namespace.  docs/protocol.md, section 3, has classes and ids.
 */
#ifndef HUBBUB_ROUTER_EMIT_H
#define HUBBUB_ROUTER_EMIT_H

#include "router/outcome.h"

enum { EMIT_BYTES_MAX = 16 << 20 }; /* what all its messages together may take */

/* Checks it, and hands it to the journal, or delivers it; OUTCOME follows, at once or later. */
void emit_send(struct router *router, struct backend *backend, const struct wire_send *record);
void emit_publish(struct router *router, struct gateway_link *link, const struct wire_publish *record);

/* The journal gave back a TICKET_EMIT: delivers, and keeps or frees the message.  The room's hold is the
   caller's. */
void emit_release(struct router *router, struct message *message);

/* It will not come back: frees it, and answers nobody. */
void emit_drop(struct router *router, struct ticket *ticket);

/* Checks what is said, by whatever record: refuses, or cuts a backend off, and returns false. */
bool emit_check_event(struct router *router, const struct asker *asker, struct bytes event,
                      struct bytes arguments, struct bytes attachments) MUST_CHECK;

#endif
