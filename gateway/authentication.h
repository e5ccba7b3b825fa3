/*
 * Who a client is: the token that it brings, what becomes of its sockets when it expires, and newer ones.
 *
 * A token is looked for in the CONNECT packet's object ({"token":".."}), then in the query of the handshake
 * (?token=), then in its field Authorization (Bearer).  It is verified here (token.h); what goes to the
 * router is the grant that it stands for, never the token.  A socket without a grant costs nothing.
 */
#ifndef HUBBUB_GATEWAY_AUTHENTICATION_H
#define HUBBUB_GATEWAY_AUTHENTICATION_H

#include "common/buffer.h"
#include "common/error.h"
#include "common/loop.h"
#include "proto/grant.h"
#include "proto/json_value.h"
#include "proto/refusal.h"

#include <stdbool.h>

struct connection;
struct gateway;
struct namespace_config;
struct socket;

/* What a socket is by its token. */
struct socket_token {
    struct grant *grant;
    struct gateway *gateway;
    uint64_t socket;         /* its number */
    struct loop_timer timer; /* to the token's end, then to the grace's */
    bool told;               /* its client knows that it has expired */
};

/* What a CONNECT packet is to the broker, but for its token. */
struct credentials {
    struct buffer grant; /* its text; empty: there is none */
    struct buffer space; /* for auth */
    struct bytes auth;   /* the packet's object without the token */
};

/*
 * Judges who connects to a namespace.  auth: the CONNECT packet's object, or empty; it must outlive *out.  0,
 * or ERROR_FORBIDDEN with *code; credentials_done() in any case.
 */
int authentication_judge(struct gateway *gateway, const struct connection *connection,
                         const struct namespace_config *namespace, struct bytes auth, struct credentials *out,
                         enum refusal_code *code) MUST_CHECK;

void credentials_done(struct credentials *credentials);

/* The object of CONNECT_ERROR: {"message":"..","data":{"code":".."}}.  Counts the refusal. */
void authentication_append_error(struct gateway *gateway, enum refusal_code code, struct buffer *out);

/* The socket has that grant (a text) from now on; nothing for an empty one.  ERROR_MALFORMED for none. */
int authentication_hold(struct gateway *gateway, struct socket *socket, struct bytes grant) MUST_CHECK;

/* The same for one of which only the sub is known. */
void authentication_hold_name(struct gateway *gateway, struct socket *socket, struct bytes sub);

/* The socket goes. */
void authentication_release(struct socket *socket);

/* Its sub; empty for an anonymous one. */
struct bytes authentication_sub(const struct socket *socket);

/* Appends its grant's text, or nothing. */
void authentication_append_grant(const struct socket *socket, struct buffer *out);

/* The event with which a Socket.IO client brings a newer token, and its argument: the text, or {"token":..}.
 */
#define AUTHENTICATE_EVENT BYTES("hubbub:authenticate")

/*
 * A client brings a newer token, of the same sub: the router is asked, or it is refused.  event names it in a
 * refusal.
 */
void authentication_renew(struct gateway *gateway, struct socket *socket, long long ack, struct bytes event,
                          struct json_value argument);

/* Whether tokens mean anything here. */
bool authentication_enabled(const struct gateway *gateway);

#endif
