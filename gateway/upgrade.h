/*
 * The home's side of an upgrade from polling to WebSocket (Engine.IO protocol 4): the WebSocket came here, or
 * to another gateway, to which the session then moves.
 *
 *   the WebSocket's gateway (arrival.h)                the home
 *   PROBE    a WebSocket with this sid                 WELCOME, REFUSED, ERROR
 *   PROBED   "2probe" was answered by "3probe"         ends the poll that waits, with a noop
 *   SWITCH   "5" came: the client has gone over        waits for the answers of the router, then OFFER
 *   (TAKE)   takes the sockets over, at the router     (GIVEN) OWED, PART, HANDOVER: what is left of it
 *   CANCEL   the WebSocket is gone                     OK
 *   ENDED    the session is over                       OK
 *
 * Until SWITCH everything may be called off, and polling goes on; behind it the session is closed when a step
 * fails.
 */
#ifndef HUBBUB_GATEWAY_UPGRADE_H
#define HUBBUB_GATEWAY_UPGRADE_H

#include "common/bytes.h"
#include "gateway/session.h"
#include "proto/wire.h"

struct gateway;

/* Bits of an offer's flags. */
enum { OFFER_BARE = 1, OFFER_MSGPACK = 2 };

/* What an arrival asks; caller is who it is.  Answers go out by caller_answer(). */
void upgrade_probe(struct gateway *gateway, struct bytes sid, struct caller caller);
void upgrade_probed(struct gateway *gateway, struct bytes sid, struct caller caller);
void upgrade_switch(struct gateway *gateway, struct bytes sid, struct caller caller);
void upgrade_cancel(struct gateway *gateway, struct bytes sid, struct caller caller);
void upgrade_ended(struct gateway *gateway, struct bytes sid, struct caller caller);

/* The router gave sockets of this gateway to another one. */
void upgrade_on_given(struct gateway *gateway, const struct wire_given *record);

/* The end of a turn: offers the sessions that nothing is asked for any more. */
void upgrade_look(struct gateway *gateway);

#endif
