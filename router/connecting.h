/*
 * Sockets come and go: CONNECT and DISCONNECT.
 *
 *   connecting_request() -> recovery.h, for whom a session is there -> its outcome, or connecting_begin()
 *   connecting_begin()   -> admission.h, where a backend is asked   -> connecting_accept() or connecting_refuse()
 *   connecting_accept()  -> the journal, for rooms and rows         -> connecting_release(): CONNECTED
 *
 * Each step may be taken within the one before it.  Sessions are those of session.h; all bytes are borrowed
 * for the call.
 */
#ifndef HUBBUB_ROUTER_CONNECTING_H
#define HUBBUB_ROUTER_CONNECTING_H

#include "router/router.h"

/* CONNECT: a session is made for it, or it is answered with REFUSED.  0; ERROR_MALFORMED for its grant;
   ERROR_PROTOCOL when the socket's number is in use. */
int connecting_request(struct router *router, struct gateway_link *link,
                       const struct wire_connect *record) MUST_CHECK;

/* The rest of a CONNECT, for a session that is new: a backend's word, if one is to be asked; then its rooms,
   its rows, and CONNECTED. */
void connecting_begin(struct router *router, struct session *session, uint64_t request, struct bytes auth);

/* The same after the backend's word; and when it says no, or there is none: the session is gone then. */
void connecting_accept(struct router *router, struct session *session, uint64_t request, struct bytes auth);
void connecting_refuse(struct router *router, struct session *session, uint64_t request, struct bytes error);

/* DISCONNECT: its session ends, or is away from now on. */
void connecting_disconnect(struct router *router, struct gateway_link *link,
                           const struct wire_disconnect *record);

/*
 * Tells a gateway of a socket that is its own from now on: CONNECTED, behind the position that the gateway
 * then knows.  Its link must be live.  request 0: nobody asked, so the gateway is told of the grant, too.
 */
void connecting_put_connected(struct router *router, struct session *session, uint64_t request,
                              bool recovered);

/* The journal gave back a TICKET_CONNECT; it is freed, its holds are the caller's. */
void connecting_release(struct router *router, struct ticket *ticket);

/* The journal did not give it back: the same without any effect. */
void connecting_drop(struct router *router, struct ticket *ticket);

#endif
