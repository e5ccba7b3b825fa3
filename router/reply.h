/* Answers to requests: put on the link if it is live; a gateway that is not asks again on its next link. */
#ifndef HUBBUB_ROUTER_REPLY_H
#define HUBBUB_ROUTER_REPLY_H

#include "proto/refusal.h"
#include "router/router.h"

/* A request with an acknowledgement. */
void reply_answer(struct gateway_link *link, uint64_t request, struct bytes answer);

/* The same, with what the placeholders in it stand for. */
void reply_answer_binary(struct gateway_link *link, uint64_t request, struct bytes answer,
                         struct bytes attachments);

/* {"ok":false,...} to a request; message NULL for the usual one. */
void reply_refuse(struct router *router, struct gateway_link *link, uint64_t request, enum refusal_code code,
                  const char *message);

/* The refusal of an event: in its acknowledgement, or as hubbub:error when it asked for none.  session may be
 * NULL. */
void reply_refuse_event(struct router *router, struct gateway_link *link, struct session *session,
                        uint64_t request, bool acknowledge, struct bytes event, enum refusal_code code,
                        const char *message);

/* The same in a backend's own words; counted as forbidden. */
void reply_refuse_event_as(struct router *router, struct gateway_link *link, struct session *session,
                           uint64_t request, bool acknowledge, struct bytes event, struct bytes code,
                           struct bytes message);

#endif
