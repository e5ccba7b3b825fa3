/*
 * Why a connection ends: one row gives the name, the WebSocket close code that the client sees (0: a
 * Close frame without a code, as the reference server sends; RFC 6455 7.4), and the text for logs,
 * metrics and the router.
 */
#ifndef HUBBUB_GATEWAY_CLOSE_REASON_H
#define HUBBUB_GATEWAY_CLOSE_REASON_H

/* X(NAME, code, text) */
#define CLOSE_REASON_TABLE(X)                                                                                \
    X(NONE, 0, "none")                                                                                       \
    X(PEER_GONE, 0, "transport_close")         /* the peer ended the TCP connection or sent Close */         \
    X(TRANSPORT_ERROR, 0, "transport_error")   /* a socket error, or a packet only servers send */           \
    X(HTTP_DONE, 0, "http_done")               /* answered, and no keep-alive */                             \
    X(HTTP_IDLE, 0, "http_idle")               /* a kept-alive connection without another request */         \
    X(HTTP_TIMEOUT, 0, "http_timeout")         /* a request's head or body did not come in time */           \
    X(HTTP_BAD_REQUEST, 0, "http_bad_request") /* refused, and what follows it not read */                   \
    X(PROXY_REFUSED, 0, "proxy_refused")       /* no PROXY header of a balancer that is trusted */           \
    X(TLS_FAILED, 0, "tls_failed")             /* the handshake of TLS came to nothing, or took too long */  \
    X(WEBSOCKET_PROTOCOL, 1002, "websocket_protocol_error")                                                  \
    X(WEBSOCKET_TEXT, 1007, "websocket_invalid_text")                                                        \
    X(WEBSOCKET_TOO_LARGE, 1009, "websocket_message_too_large")                                              \
    X(PARSE_ERROR, 0, "parse_error")            /* a bad Engine.IO or Socket.IO packet, or JSON */           \
    X(PACKET_STATE, 0, "packet_in_wrong_state") /* for a namespace not joined, or joined twice */            \
    X(PING_TIMEOUT, 0, "ping_timeout")                                                                       \
    X(CONNECT_TIMEOUT, 0, "connect_timeout")         /* no namespace was joined in time */                   \
    X(ATTACHMENTS_TIMEOUT, 0, "attachments_timeout") /* announced, and did not all come in time */           \
    X(CLIENT_CLOSE, 0, "client_close")               /* an Engine.IO close packet */                         \
    X(CLIENT_DISCONNECT, 0, "client_disconnect")     /* a socket's end: DISCONNECT from the client */        \
    X(SERVER_DISCONNECT, 0, "server_disconnect") /* a socket's end: DISCONNECT to its whole connection */    \
    X(UPGRADED, 0, "upgraded")                   /* a polling session goes on as a WebSocket */              \
    X(UPGRADE_REFUSED, 0, "upgrade_refused") /* a WebSocket for a session that has, or is getting, one */    \
    X(UPGRADE_FAILED, 0, "upgrade_failed") /* a WebSocket for a session that did not become its transport */ \
    X(REFUSED, 0, "refused")               /* a bare WebSocket whose address asks for what it can't have */  \
    X(RATE_LIMITED, 1013, "rate_limited")  /* too many CONNECT packets, or connections of its address */     \
    X(SLOW_READER, 1013, "slow_reader")    /* its outbound queue is over the limit */                        \
    X(ROUTER_SILENT, 1013, "router_silent") /* a request that was sent got no answer in time */              \
    X(NOT_RESUMABLE, 1012, "not_resumable") /* the router can't replay what this client missed */            \
    X(ROUTER_CLOSE, 0, "router_close")      /* the router asked for it */                                    \
    X(TOKEN_EXPIRED, 0, "token_expired")    /* its token ended, and no newer one came within the grace */    \
    X(DRAIN, 1001, "drain")                 /* this gateway stops */

enum close_reason {
#define X(name, code, text) CLOSE_##name,
    CLOSE_REASON_TABLE(X)
#undef X
        CLOSE_REASONS
};

/* Static text; the close code, or 0. */
const char *close_reason_text(enum close_reason reason);
unsigned close_reason_code(enum close_reason reason);

#endif
