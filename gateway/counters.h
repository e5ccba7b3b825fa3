/*
 * What a gateway counts: one row gives the field, the name under which the router's stats socket shows
 * the sum over all gateways, and what it means.  Beside it stand what is counted by reason: refused packets
 * and requests, and closed connections.
 */
#ifndef HUBBUB_GATEWAY_COUNTERS_H
#define HUBBUB_GATEWAY_COUNTERS_H

#include "gateway/close_reason.h"
#include "proto/engineio.h"
#include "proto/refusal.h"

#include <stdint.h>

/* The HTTP statuses that are counted, each by itself. */
enum {
    HTTP_REFUSED_FIRST = 400,
    HTTP_REFUSED_LAST = 505,
    HTTP_REFUSALS = HTTP_REFUSED_LAST - HTTP_REFUSED_FIRST + 1
};

/* X(field, name, meaning) */
#define COUNTER_TABLE(X)                                                                                     \
    X(connections, "hubbub_connections", "open connections (a gauge)")                                       \
    X(websockets, "hubbub_websockets", "open WebSocket connections (a gauge)")                               \
    X(polling_sessions, "hubbub_polling_sessions", "sessions on the polling transport (a gauge)")            \
    X(sockets, "hubbub_sockets", "Socket.IO sockets connected to a namespace (a gauge)")                     \
    X(rooms, "hubbub_gateway_rooms", "rooms with members here (a gauge)")                                    \
    X(accepted, "hubbub_accepted_total", "connections accepted")                                             \
    X(http_requests, "hubbub_http_requests_total", "HTTP requests answered")                                 \
    X(messages_in, "hubbub_messages_in_total",                                                               \
      "Socket.IO packets, and frames of bare WebSockets, that came in")                                      \
    X(deliveries, "hubbub_deliveries_total", "events handed to connections")                                 \
    X(writes, "hubbub_writes_total", "system calls that wrote to connections")                               \
    X(bytes_in, "hubbub_bytes_in_total", "bytes read from connections")                                      \
    X(bytes_out, "hubbub_bytes_out_total", "bytes written to connections")                                   \
    X(pending_requests, "hubbub_pending_requests", "requests without an answer of the router (a gauge)")     \
    X(refused_too_many, "hubbub_refused_connections_total", "connections refused over the limit")            \
    X(connects_refused, "hubbub_connects_refused_total", "sockets that asked for an unknown namespace")      \
    X(sockets_refused, "hubbub_sockets_refused_total", "sockets beyond the limit of one connection")         \
    X(namespaces_refused, "hubbub_namespaces_refused_total",                                                 \
      "sockets that asked for a namespace of a pattern beyond the limit")                                    \
    X(auths_refused, "hubbub_auths_refused_total", "sockets whose auth payload was over its limit")          \
    X(tokens_verified, "hubbub_tokens_verified_total", "tokens of clients that were good")                   \
    X(tokens_expired, "hubbub_tokens_expired_total", "sockets whose token ended while they were connected")  \
    X(dropped_slow_reader, "hubbub_dropped_total{reason=slow_reader}",                                       \
      "volatile events dropped for a slow reader")                                                           \
    X(answers_unasked, "hubbub_dropped_total{reason=unasked_answer}",                                        \
      "acknowledgements of clients that nobody had asked for")                                               \
    X(answers_dropped, "hubbub_dropped_total{reason=answer}",                                                \
      "acknowledgements of clients that were too large, or too many for the router")                         \
    X(dropped_error_rate, "hubbub_dropped_total{reason=error_rate}",                                         \
      "hubbub:error events beyond their rate")                                                               \
    X(upgrades, "hubbub_upgrades_total", "sessions that went over from polling to a WebSocket")              \
    X(moved_in, "hubbub_sessions_moved_total{direction=in}", "sessions taken over from another gateway")     \
    X(moved_out, "hubbub_sessions_moved_total{direction=out}", "sessions handed to another gateway")         \
    X(relayed, "hubbub_relayed_total", "questions to another gateway, whose session a request was for")      \
    X(api_requests, "hubbub_api_requests_total", "requests on the admin port")                               \
    X(api_refused, "hubbub_api_refused_total", "those that were refused")                                    \
    X(link_resets, "hubbub_link_resets_total", "new links to the router")                                    \
    X(link_malformed, "hubbub_link_malformed_total", "malformed batches or records from the router")         \
    X(reading_paused, "hubbub_reading_paused_total", "times a connection was not read for want of credit")

struct counters {
#define X(field, name, meaning) uint64_t field;
    COUNTER_TABLE(X)
#undef X
    uint64_t refused[REFUSAL_CODES];          /* hubbub_refused_total{code=...} */
    uint64_t engine_refused[ENGINEIO_ERRORS]; /* hubbub_engine_refused_total{code=...} */
    uint64_t http_refused[HTTP_REFUSALS];     /* hubbub_http_refused_total{status=...} */
    uint64_t closed[CLOSE_REASONS];           /* hubbub_closed_total{reason=...} */
};

#endif
