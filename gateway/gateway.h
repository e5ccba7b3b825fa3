/* The gateway as a whole: one struct that owns the parts, and their order in a turn of the loop. */
#ifndef HUBBUB_GATEWAY_GATEWAY_H
#define HUBBUB_GATEWAY_GATEWAY_H

#include "common/loop.h"
#include "common/poller.h"
#include "common/timer_wheel.h"
#include "gateway/authentication.h"
#include "gateway/connection.h"
#include "gateway/connection_reading.h"
#include "gateway/counters.h"
#include "gateway/deliver.h"
#include "gateway/drain.h"
#include "gateway/exceptions.h"
#include "gateway/namespace.h"
#include "gateway/publishing.h"
#include "gateway/quota.h"
#include "gateway/relay.h"
#include "gateway/request.h"
#include "gateway/router_link.h"
#include "gateway/session.h"
#include "gateway/settings.h"
#include "gateway/socket.h"

struct admin;
struct deflate;
struct listener;
struct tls_store;

struct gateway {
    const struct gateway_settings *settings;
    struct loop *loop;
    struct poller *poller;
    struct listener *listener;
    struct tls_store *tls;     /* NULL: clients are served in the clear */
    struct admin *admin;       /* NULL: there is no admin port */
    struct timer_wheel timers; /* of connections */
    uint64_t timers_advanced;  /* the loop's time of the last advance */
    struct connection_table connections;
    struct connection_reading reading;
    struct quotas quotas;              /* what clients may use */
    struct slot_table sockets;         /* of struct socket */
    const struct token_policy *tokens; /* of the settings; NULL: tokens mean nothing */
    struct grant_table grants;
    struct namespace_table namespaces;
    struct fanout fanout;
    struct deliver_space deliver;
    struct exceptions exceptions; /* of the CAST that is being handled */
    struct encoder *encoder;      /* NULL without compression and without the msgpack parser */
    struct request_queue requests;
    struct session_table sessions;
    struct relay_table relays;
    struct deflate *deflate; /* inflates messages of clients, compresses large answers */
    struct buffer inflated;  /* the message that is being handled */
    bool came_compressed;    /* that message: it is in inflated, then */
    struct buffer unpacked;  /* the packet of the msgpack parser that is being handled, as text */
    struct wire_list unpacked_attachments;
    struct router_link *link;
    struct counters counters;
    struct histograms histograms;
    struct publishing publishing;
    uint64_t incarnation;      /* 48 random bits: this run of the program */
    struct buffer scratch;     /* for texts that are built and sent at once */
    struct chunk *answer_head; /* http_answer.c's; NULL before the first answer */
    struct drain drain;
    bool draining;         /* no new sessions: from drain.state CLOSING on */
    void (*on_live)(void); /* called whenever the link has become live; may be NULL */
};

/* Makes the parts that need no port and no router.  0 or ERROR_SYSTEM. */
int gateway_prepare(struct gateway *gateway, const struct gateway_settings *settings,
                    struct loop *loop) MUST_CHECK;

/* gateway_prepare(), then opens the port and starts connecting to the router.  0, or a negative error after
 * logging what failed. */
int gateway_start(struct gateway *gateway, const struct gateway_settings *settings,
                  struct loop *loop) MUST_CHECK;

/* Frees everything; takes a gateway whose start failed. */
void gateway_done(struct gateway *gateway);

/* Whether new clients should come here; why: for whoever looks, when they should not. */
bool gateway_is_healthy(const struct gateway *gateway, const char **why);

/* Fires the connections' timers that are due; once for each time the loop shows. */
void gateway_advance_timers(struct gateway *gateway);

#endif
