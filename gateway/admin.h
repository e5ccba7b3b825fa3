/*
 * The admin port: HTTP for programs of the operator's, apart from the clients' port.
 *
 *   POST /api/publish               publishes to rooms, a socket or a namespace
 *   GET  /api/rooms/R               how many are in a room, and its last number
 *   GET  /api/rooms/R/history       a page of its messages
 *   GET  /metrics                   for Prometheus
 *   GET  /healthz                   200 or 503, as on the clients' port
 *
 * Those under /api/ want one of the bearer keys.  docs/openapi.yaml describes them.  What a request is about is asked of the router, like clients' requests (request.h).
 */
#ifndef HUBBUB_GATEWAY_ADMIN_H
#define HUBBUB_GATEWAY_ADMIN_H

#include "common/bytes.h"
#include "common/error.h"
#include "proto/wire.h"

#include <stdbool.h>

struct admin;
struct gateway;

/* Opens the port of the settings.  0, with *out NULL when there is none; or ERROR_SYSTEM after logging what
   failed. */
int admin_open(struct gateway *gateway, struct admin **out) MUST_CHECK;

/* Refuses what is still unanswered and closes the port.  NULL is fine. */
void admin_close(struct admin *admin);

/* The router's answer to the call of that number, which may be gone: a JSON object, or an OUTCOME. */
void admin_answer(struct admin *admin, uint64_t call, struct bytes answer);
void admin_outcome(struct admin *admin, uint64_t call, const struct wire_outcome *outcome);

/* The router did not answer in time; sent: it may have done what was asked. */
void admin_expire(struct admin *admin, uint64_t call, bool sent);

#endif
