/*
 * What a gateway counts: one row gives the field, the name, what it means and what to do about it.  The
 * gateway's /metrics shows it, the router's stats socket the sum over all gateways, and docs/operations.md
 * is made from it.  Beside it stand what is counted by reason: refused packets and requests, and closed
 * connections.
 */
#ifndef HUBBUB_GATEWAY_COUNTERS_H
#define HUBBUB_GATEWAY_COUNTERS_H

#include "common/histogram.h"
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

/* X(field, name, meaning, action): what it counts, and what to do when it rises.  A name that ends in _total
   (before its label, if it has one) is a counter, any other a gauge. */
#define COUNTER_TABLE(X)                                                                                     \
    X(connections, "hubbub_connections", "open connections",                                                 \
      "near the limit (max_connections, or process_max_fds): add gateways; one gateway far above the "       \
      "others: look at the balancer")                                                                        \
    X(websockets, "hubbub_websockets", "open WebSocket connections", "a figure of load")                     \
    X(polling_sessions, "hubbub_polling_sessions", "sessions on the polling transport",                      \
      "costly; many where WebSockets are expected: something between does not pass upgrades on")             \
    X(sockets, "hubbub_sockets", "Socket.IO sockets connected to a namespace", "a figure of load")           \
    X(rooms, "hubbub_gateway_rooms", "rooms with members here", "a figure of load")                          \
    X(accepted, "hubbub_accepted_total", "connections accepted",                                             \
      "a steep rise with hubbub_connections flat: clients that connect again and again; see "                \
      "hubbub_closed_total")                                                                                 \
    X(tls_handshakes_1_2, "hubbub_tls_handshakes_total{version=1.2}",                                        \
      "handshakes of TLS 1.2 that came about", "old clients; when it stands still tls_minimum can be 1.3")   \
    X(tls_handshakes_1_3, "hubbub_tls_handshakes_total{version=1.3}",                                        \
      "handshakes of TLS 1.3 that came about", "a figure of load: the dearest part of a connection")         \
    X(tls_resumed, "hubbub_tls_resumed_total", "handshakes that went on with an earlier session's ticket",   \
      "few beside many clients that come back: give all gateways the same tls_ticket_key")                   \
    X(tls_timeouts, "hubbub_tls_failed_total{reason=timeout}", "handshakes that took too long",              \
      "clients with bad networks, or a slow loris; tls_handshake_timeout is the limit")                      \
    X(tls_abandoned, "hubbub_tls_failed_total{reason=abandoned}",                                            \
      "clients that went away in the middle of the handshake",                                               \
      "checks of balancers that only connect, or scanners")                                                  \
    X(tls_failed_HTTP, "hubbub_tls_failed_total{reason=http}", "clients that spoke HTTP in the clear",       \
      "a client with http:// or ws://, or a balancer that does not speak TLS to the gateways")               \
    X(tls_failed_VERSION, "hubbub_tls_failed_total{reason=version}", "clients without a version in common",  \
      "old clients, or scanners; see tls_minimum")                                                           \
    X(tls_failed_AGREEMENT, "hubbub_tls_failed_total{reason=agreement}",                                     \
      "clients without a cipher, group, signature or application protocol in common",                        \
      "old clients, or scanners")                                                                            \
    X(tls_failed_ALERT, "hubbub_tls_failed_total{reason=alert}", "clients that gave up with an alert",       \
      "mostly a certificate that they do not take: expired, not for this name, or without its chain")        \
    X(tls_failed_PROTOCOL, "hubbub_tls_failed_total{reason=protocol}",                                       \
      "what came was not TLS, or broke its rules",                                                           \
      "scanners; a balancer that sends PROXY headers to gateways without proxy_protocol")                    \
    X(http_requests, "hubbub_http_requests_total", "HTTP requests answered", "a figure of load")             \
    X(messages_in, "hubbub_messages_in_total",                                                               \
      "Socket.IO packets, and frames of bare WebSockets, that came in", "a figure of load")                  \
    X(deliveries, "hubbub_deliveries_total", "events handed to connections",                                 \
      "a figure of load: what sizing goes by")                                                               \
    X(writes, "hubbub_writes_total", "system calls that wrote to connections",                               \
      "deliveries for each write show how well batching works; it rises under load by itself")               \
    X(bytes_in, "hubbub_bytes_in_total", "bytes read from connections", "a figure of load")                  \
    X(bytes_out, "hubbub_bytes_out_total", "bytes written to connections",                                   \
      "near what the network takes: add machines, or turn compression on")                                   \
    X(draining, "hubbub_draining", "1 from when it drains until it serves again, else 0",                    \
      "somebody had it drained, or is ending it: resume has it serve again")                                 \
    X(pending_requests, "hubbub_pending_requests", "requests without an answer of the router",               \
      "the router is slow or away: see hubbub_request_seconds, hubbub_commit_seconds and the router's log")  \
    X(pending_bytes, "hubbub_pending_request_bytes", "size of the requests without an answer of the router", \
      "as hubbub_pending_requests; from half of pending_bytes on clients that publish are not read")         \
    X(link_up, "hubbub_link_up", "1 while the link to the router is live, else 0",                           \
      "0: see the log of the gateway, then whether the router runs and is within reach")                     \
    X(link_bytes, "hubbub_link_unacknowledged_bytes",                                                        \
      "bytes sent to the router that it has not acknowledged",                                               \
      "the router or the network is slow; beyond max_unacknowledged clients that publish are not read")      \
    X(refused_too_many, "hubbub_refused_connections_total", "connections refused over the limit",            \
      "the gateway is full: raise the limit of open files or max_connections, or add gateways")              \
    X(address_too_fast, "hubbub_address_refused_total{limit=connects_per_second}",                           \
      "connections refused since their address made too many in a short time",                               \
      "somebody floods: hubbub_closed_total and the balancer's log say who; or many clients share an "       \
      "address and the limit is too low")                                                                    \
    X(address_too_many, "hubbub_address_refused_total{limit=max_connections_per_address}",                   \
      "connections refused since their address has too many",                                                \
      "as for the other limit; a balancer must be in trusted_proxies, or all clients have its address")      \
    X(origins_refused, "hubbub_origins_refused_total", "requests from pages of foreign origins",             \
      "somebody's page uses this service; or a page of yours is missing in origins")                         \
    X(connects_refused, "hubbub_connects_refused_total", "sockets that asked for an unknown namespace",      \
      "clients of another version, or somebody who tries names; the configuration lists the namespaces")     \
    X(sockets_refused, "hubbub_sockets_refused_total", "sockets beyond the limit of one connection",         \
      "a program that does not end its namespaces; max_namespaces is the limit")                             \
    X(namespaces_refused, "hubbub_namespaces_refused_total",                                                 \
      "sockets that asked for a namespace of a pattern beyond the limit",                                    \
      "raise max_pattern_namespaces, unless somebody makes up names")                                        \
    X(auths_refused, "hubbub_auths_refused_total", "sockets whose auth payload was over its limit",          \
      "clients that put too much into auth; max_auth is the limit")                                          \
    X(tokens_verified, "hubbub_tokens_verified_total", "tokens of clients that were good",                   \
      "a figure of load: each costs a signature's check")                                                    \
    X(tokens_expired, "hubbub_tokens_expired_total",                                                         \
      "sockets whose token ended while they were connected, and were told",                                  \
      "clients that bring no newer token in time: tokens that live too short, or programs that ignore "      \
      "hubbub:token")                                                                                        \
    X(dropped_slow_reader, "hubbub_dropped_total{reason=slow_reader}",                                       \
      "volatile events dropped for a slow reader",                                                           \
      "some are always there; many at once: the uplink is full, or a room is faster than its members can "   \
      "read")                                                                                                \
    X(answers_unasked, "hubbub_dropped_total{reason=unasked_answer}",                                        \
      "acknowledgements of clients that nobody had asked for",                                               \
      "a client with an error, or one that forges answers")                                                  \
    X(answers_dropped, "hubbub_dropped_total{reason=answer}",                                                \
      "acknowledgements of clients that were too large, or too many for the router",                         \
      "clients answer with too much, or the router is behind")                                               \
    X(dropped_error_rate, "hubbub_dropped_total{reason=error_rate}",                                         \
      "hubbub:error events beyond their rate",                                                               \
      "clients that go on after refusals; hubbub_refused_total says which")                                  \
    X(upgrades, "hubbub_upgrades_total", "sessions that went over from polling to a WebSocket",              \
      "a figure of load")                                                                                    \
    X(moved_in, "hubbub_sessions_moved_total{direction=in}", "sessions taken over from another gateway",     \
      "a balancer without stickiness; each costs a round trip to the router")                                \
    X(moved_out, "hubbub_sessions_moved_total{direction=out}", "sessions handed to another gateway",         \
      "as for the other direction")                                                                          \
    X(relayed, "hubbub_relayed_total", "questions to another gateway, whose session a request was for",      \
      "polling clients behind a balancer without stickiness: make it sticky, or let WebSockets through")     \
    X(api_requests, "hubbub_api_requests_total", "requests on the admin port", "a figure of load")           \
    X(api_refused, "hubbub_api_refused_total", "requests on the admin port that were refused",               \
      "a program with a wrong key or wrong requests; the answer told it why")                                \
    X(reloads, "hubbub_config_reloads_total{result=ok}", "configurations read again and put in force",       \
      "somebody sent SIGHUP; the log says what changed, and what takes a restart")                           \
    X(reloads_failed, "hubbub_config_reloads_total{result=failed}",                                          \
      "configurations read again and found wrong: nothing has changed",                                      \
      "the log has the file and the line: mend it before the next start, which would fail")                  \
    X(link_resets, "hubbub_link_resets_total", "new links to the router",                                    \
      "stands still when all is well; the log says why a link began anew: look at the network and the "      \
      "router")                                                                                              \
    X(link_versions, "hubbub_link_versions_total",                                                           \
      "links given up because the version of the router's program is too far away",                          \
      "the log names both versions: upgrade release by release, section 2")                                  \
    X(link_malformed, "hubbub_link_malformed_total", "malformed batches or records from the router",         \
      "programs of different versions, or a damaged network: compare the versions")                          \
    X(reading_paused, "hubbub_reading_paused_total", "times a connection was not read for want of credit",   \
      "clients send faster than the router commits; see hubbub_commit_seconds")

/* What only this gateway's own /metrics show, since adding it up would mean nothing; absent when it is 0. */
#define OWN_TABLE(X)                                                                                         \
    X(certificate_expiry, "hubbub_tls_certificate_expiry_timestamp_seconds",                                 \
      "when the first of the certificates expires, in seconds since 1970; absent without TLS",               \
      "its distance from now is what counts: renew the certificate, then SIGHUP; no connection is dropped")

/* Of how long and how much.  X(field, bounds, name, meaning, action). */
#define HISTOGRAM_TABLE(X)                                                                                   \
    X(publish, histogram_seconds, "hubbub_publish_seconds",                                                  \
      "from when a publish of a client here could be read until its event was handed to the kernel for the " \
      "last of this gateway's own sockets",                                                                  \
      "what clients feel; compare with hubbub_request_seconds: if that has risen as well, the router is "    \
      "it, else this gateway")                                                                               \
    X(request, histogram_seconds, "hubbub_request_seconds",                                                  \
      "from when a request of a client could be read until the router's answer to it came",                  \
      "see hubbub_commit_seconds and hubbub_turn_seconds of the router, then the network")                   \
    X(turn, histogram_seconds, "hubbub_turn_seconds", "how long a turn of the loop took, but for its sleep", \
      "what is beyond 0.1 is slow: the gateway has more to do than one core takes; add gateways")            \
    X(lag, histogram_seconds, "hubbub_loop_lag_seconds",                                                     \
      "how late the loop was to call a timer, measured four times a second",                                 \
      "beyond hubbub_turn_seconds: the machine has too few processors for what runs there")

/* X(name, meaning, action): what names with labels have in common. */
#define FAMILY_TABLE(X)                                                                                      \
    X("hubbub_config_reloads_total", "configurations read again on SIGHUP, by result", "see each result")    \
    X("hubbub_address_refused_total", "connections refused for the sake of their address, by limit",         \
      "see each limit")                                                                                      \
    X("hubbub_dropped_total", "what was dropped on purpose, by reason", "see each reason")                   \
    X("hubbub_tls_handshakes_total", "handshakes of TLS that came about, by version", "see each version")    \
    X("hubbub_tls_failed_total", "handshakes of TLS that came to nothing, by reason", "see each reason")     \
    X("hubbub_sessions_moved_total", "sessions that went from one gateway to another, by direction",         \
      "see each direction")                                                                                  \
    X("hubbub_refused_total", "packets of clients refused, by code",                                         \
      "section 12 has the codes; rate_limited and forbidden: who is it; storage_full, busy and "             \
      "unavailable: the router")                                                                             \
    X("hubbub_engine_refused_total", "requests of Engine.IO refused, by code",                               \
      "1 after a restart of a gateway is usual; else clients that are none of Socket.IO 4")                  \
    X("hubbub_http_refused_total", "answers with a status from 400 on, by status",                           \
      "400 and 404: scanners; 408: slow clients, or attackers; 503: draining, full, or the router is away")  \
    X("hubbub_closed_total", "connections that ended, by reason",                                            \
      "section 12 has the reasons; slow_reader, router_silent, not_resumable and ping_timeout are those to " \
      "look into")

struct counters {
#define X(field, name, meaning, action) uint64_t field;
    COUNTER_TABLE(X)
#undef X
    uint64_t refused[REFUSAL_CODES];          /* hubbub_refused_total{code=...} */
    uint64_t engine_refused[ENGINEIO_ERRORS]; /* hubbub_engine_refused_total{code=...} */
    uint64_t http_refused[HTTP_REFUSALS];     /* hubbub_http_refused_total{status=...} */
    uint64_t closed[CLOSE_REASONS];           /* hubbub_closed_total{reason=...} */
};

struct histograms {
#define X(field, bounds, name, meaning, action) struct histogram field;
    HISTOGRAM_TABLE(X)
#undef X
};

static inline void histograms_init(struct histograms *histograms)
{
#define X(field, limits, name, meaning, action) histograms->field = (struct histogram){.bounds = &limits};
    HISTOGRAM_TABLE(X)
#undef X
}

#endif
