/*
 * What the router itself counts: one row gives the field, the name, what it means and what to do about it.
 * The router's /metrics shows these alone; on the stats socket those that gateways report under the same
 * names (STATISTICS records) are added.  docs/operations.md is made from it.
 */
#ifndef HUBBUB_ROUTER_COUNTERS_H
#define HUBBUB_ROUTER_COUNTERS_H

#include "proto/refusal.h"

#include <stdint.h>

/* X(field, name, meaning, action): what it counts, and what to do when it rises.  A name that ends in _total
   (before its label, if it has one) is a counter, any other a gauge. */
#define COUNTER_TABLE(X)                                                                                     \
    X(archived, "hubbub_messages_total{class=archived}", "archived messages that were committed",            \
      "a figure of load: what the disk and the archive have to take")                                        \
    X(logged, "hubbub_messages_total{class=logged}", "logged messages that were committed",                  \
      "a figure of load: what the disk has to take")                                                         \
    X(volatiles, "hubbub_messages_total{class=volatile}", "volatile events", "a figure of load")             \
    X(unlogged, "hubbub_messages_total{class=unlogged}",                                                     \
      "logged events of programs to namespaces without recovery, which need not be written",                 \
      "a figure of load")                                                                                    \
    X(sends, "hubbub_sends_total", "events that backends and HTTP publishers sent", "a figure of load")      \
    X(questions, "hubbub_questions_total", "questions of backends to clients", "a figure of load")           \
    X(question_answers, "hubbub_question_answers_total{result=passed}",                                      \
      "answers to questions of backends, given to them", "a figure of load")                                 \
    X(question_answers_dropped, "hubbub_question_answers_total{result=dropped}",                             \
      "late answers, second ones, too large ones, and from those who were not asked",                        \
      "clients answer too late, twice or too much; look at the timeouts of the backends")                    \
    X(questions_expired, "hubbub_questions_expired_total", "questions that not all have answered in time",   \
      "clients that do not acknowledge, or timeouts that are too short")                                     \
    X(targets_moved, "hubbub_targets_moved_total", "sockets that backends had join or leave rooms",          \
      "a figure of load")                                                                                    \
    X(expelled, "hubbub_expelled_total", "sockets that backends disconnected",                               \
      "what the backends do: ask them")                                                                      \
    X(kicked, "hubbub_kicked_total", "sessions that operators ended (kick)",                                 \
      "what operators did; the log has who it was")                                                          \
    X(rooms_closed, "hubbub_rooms_closed_total", "rooms that operators closed (close)",                      \
      "what operators did; the log has which rooms")                                                         \
    X(finds, "hubbub_finds_total", "searches of backends for sockets",                                       \
      "each looks at all sockets of a namespace: many a second cost the loop")                               \
    X(repeated, "hubbub_repeated_total", "publishes that got the outcome of an earlier one with their id",   \
      "clients or gateways ask again: answers get lost, or come late")                                       \
    X(copies, "hubbub_copies_total", "messages handed to gateways, one for each that has a member",          \
      "a figure of load: copies for each message are the gateways that it goes to")                          \
    X(connects, "hubbub_connects_total", "sockets that connected to a namespace",                            \
      "a figure of load; a steep rise: clients come back after a loss, see hubbub_closed_total of the "      \
      "gateways")                                                                                            \
    X(connects_refused, "hubbub_connects_refused_total", "sockets that asked for an unknown namespace",      \
      "clients of another version, or somebody who tries names; the configuration lists the namespaces")     \
    X(namespaces_refused, "hubbub_namespaces_refused_total",                                                 \
      "sockets that asked for a namespace of a pattern beyond the limit",                                    \
      "raise max_pattern_namespaces, unless somebody makes up names")                                        \
    X(recovered, "hubbub_recoveries_total{result=recovered}",                                                \
      "sockets that went on as a former one, with all that it had missed",                                   \
      "connections get lost and come back: a restart, or the network")                                       \
    X(recoveries_unknown, "hubbub_recoveries_total{result=unknown}", "pids of no session",                   \
      "many after a restart of the router: the journal is another one; else somebody guesses")               \
    X(recoveries_expired, "hubbub_recoveries_total{result=expired}", "sessions that came back too late",     \
      "outages longer than recovery_window: raise it if that is what clients have")                          \
    X(recoveries_other_user, "hubbub_recoveries_total{result=other_user}", "pids of somebody else",          \
      "somebody shows a session of somebody else, or an app keeps its session over a change of user")        \
    X(recoveries_forbidden, "hubbub_recoveries_total{result=forbidden}",                                     \
      "sessions in a room that the token of now does not allow",                                             \
      "whoever makes the tokens has taken rights away")                                                      \
    X(recoveries_foreign_epoch, "hubbub_recoveries_total{result=foreign_epoch}",                             \
      "offsets of another journal",                                                                          \
      "expected once after a change of the journal; later, clients that keep old offsets")                   \
    X(recoveries_bad_offset, "hubbub_recoveries_total{result=bad_offset}",                                   \
      "offsets that are none, or beyond the log",                                                            \
      "a client with an error, or a journal that was restored from an older copy")                           \
    X(recoveries_too_many, "hubbub_recoveries_total{result=too_many}", "sessions that missed too much",      \
      "raise recovery_max_messages or recovery_max_bytes, or accept that they read the history")             \
    X(recoveries_unreadable, "hubbub_recoveries_total{result=unreadable}",                                   \
      "sessions whose missed messages could not be read, or are kept no longer",                             \
      "the disk, or a retention that is too short for recovery_window")                                      \
    X(recoveries_busy, "hubbub_recoveries_total{result=busy}", "too many recoveries waited for the journal", \
      "many came back at once: the rest read the history; a faster disk helps")                              \
    X(recovered_messages, "hubbub_recovered_messages_total",                                                 \
      "missed messages, sent to sockets that went on", "a figure of load")                                   \
    X(aways, "hubbub_sessions_away_total", "sessions whose socket went, and that could come back",           \
      "connections get lost: see hubbub_closed_total of the gateways")                                       \
    X(aways_expired, "hubbub_sessions_ended_total{reason=expired}",                                          \
      "sessions away that did not come back in time", "clients that left for good: usual")                   \
    X(aways_too_many, "hubbub_sessions_ended_total{reason=too_many}",                                        \
      "sessions over the limit of those that are away", "raise max_away_sessions, or lower recovery_window") \
    X(joins, "hubbub_joins_total", "rooms joined", "a figure of load")                                       \
    X(joins_skipped, "hubbub_joins_skipped_total", "bad rooms among those to join with a connect",           \
      "a client that names rooms that cannot be; the protocol says which")                                   \
    X(leaves, "hubbub_leaves_total", "rooms left", "a figure of load")                                       \
    X(grants_missing, "hubbub_grants_missing_total",                                                         \
      "sockets refused where tokens are required, because their gateway verifies none",                      \
      "a gateway of an older version, or with another configuration: its log and hubbub gateways say which") \
    X(tokens_renewed, "hubbub_tokens_renewed_total", "sockets that went on with a newer token",              \
      "a figure of load")                                                                                    \
    X(presence, "hubbub_presence_events_total", "hubbub:presence events", "a figure of load")                \
    X(pages_memory, "hubbub_history_total{from=memory}", "pages of history answered from memory",            \
      "a figure of load")                                                                                    \
    X(pages_disk, "hubbub_history_total{from=journal}", "pages of history read from the journal",            \
      "reads of the disk: raise recent_max when they are most of all pages")                                 \
    X(pages_archive, "hubbub_history_total{from=archive}",                                                   \
      "pages of history that came from MongoDB, or in part",                                                 \
      "slow pages: raise hot_days and hot_messages when they are many")                                      \
    X(pages_unarchived, "hubbub_history_archive_failed_total",                                               \
      "pages for which MongoDB did not answer, or too many waited",                                          \
      "MongoDB is away or slow: its log, and its index on namespace, room and seq")                          \
    X(pages_shown, "hubbub_history_shown_total", "pages of history shown on the stats socket",               \
      "somebody reads rooms on the stats socket")                                                            \
    X(dropped_behind, "hubbub_dropped_total{reason=gateway_behind}",                                         \
      "unwritten events for a gateway behind",                                                               \
      "a gateway is too slow for what it gets: its machine or the network")                                  \
    X(dropped_error_rate, "hubbub_dropped_total{reason=error_rate}", "hubbub:error events over their rate",  \
      "clients that go on after refusals; hubbub_refused_total says which")                                  \
    X(passes, "hubbub_passes_total{result=passed}", "records that a gateway had for another one",            \
      "polling clients behind a balancer without stickiness: make it sticky, or let WebSockets through")     \
    X(passes_again, "hubbub_passes_total{result=again}", "questions for a gateway out of reach",             \
      "a gateway is behind or on a new link")                                                                \
    X(passes_unknown, "hubbub_passes_total{result=unknown}", "questions for a gateway that is not there",    \
      "clients of a gateway that ended: usual after a restart")                                              \
    X(dropped_passes, "hubbub_dropped_total{reason=pass_unreachable}", "answers for a gateway out of reach", \
      "a gateway is behind or on a new link")                                                                \
    X(takes, "hubbub_takes_total{result=taken}", "sessions that moved to another gateway",                   \
      "as hubbub_sessions_moved_total of the gateways")                                                      \
    X(takes_refused, "hubbub_takes_total{result=refused}", "sessions that were to move and could not",       \
      "clients that upgrade while much is under way: they try again by themselves")                          \
    X(sockets_moved, "hubbub_sockets_moved_total", "sockets of the sessions that moved", "a figure of load") \
    X(tasks, "hubbub_backend_tasks_total", "connects and events that backends were to answer",               \
      "a figure of load")                                                                                    \
    X(tasks_again, "hubbub_backend_tasks_again_total",                                                       \
      "connects and events sent to a backend a second time and more",                                        \
      "backends end or lose their links with tasks unanswered: their logs")                                  \
    X(tasks_expired, "hubbub_backend_tasks_expired_total",                                                   \
      "connects and events refused as no backend came in time",                                              \
      "no backend was there for backend_wait: start one")                                                    \
    X(connects_rejected, "hubbub_connects_rejected_total", "sockets that a backend refused",                 \
      "what the backends decide: ask them")                                                                  \
    X(connects_unbacked, "hubbub_connects_unbacked_total", "sockets for which there was no backend",         \
      "no backend serves the namespace: start one")                                                          \
    X(handed_over, "hubbub_backend_handed_over_total", "sockets whose backend went, and that another got",   \
      "backends end: their logs")                                                                            \
    X(backends, "hubbub_router_backends_total", "links of backends that began",                              \
      "stands still while backends stay; their logs say why they came anew")                                 \
    X(backends_dead, "hubbub_router_backends_dead_total", "backends given up after their silence",           \
      "a backend hangs, or its machine is out of reach")                                                     \
    X(cut_nonsense, "hubbub_router_backends_cut_total{reason=nonsense}",                                     \
      "backends cut off for a record that was none, or out of place",                                        \
      "a backend of another version, or with an error: the log has its name")                                \
    X(cut_namespace, "hubbub_router_backends_cut_total{reason=namespace}",                                   \
      "backends cut off for a namespace that they do not serve",                                             \
      "a backend with an error: the log has its name")                                                       \
    X(cut_twice, "hubbub_router_backends_cut_total{reason=twice}",                                           \
      "backends cut off for a second answer to a task", "a backend with an error: the log has its name")     \
    X(cut_json, "hubbub_router_backends_cut_total{reason=json}",                                             \
      "backends cut off for a text that is no JSON", "a backend with an error: the log has its name")        \
    X(cut_slow, "hubbub_router_backends_cut_total{reason=slow}", "backends cut off for reading too slowly",  \
      "a backend is too slow for what it gets: start more of them")                                          \
    X(batches_in, "hubbub_router_batches_in_total", "batches that came from gateways",                       \
      "a figure of load; messages for each batch show how well batching works")                              \
    X(batches_out, "hubbub_router_batches_out_total", "batches sent to gateways", "a figure of load")        \
    X(bytes_in, "hubbub_router_bytes_in_total", "bytes of batches that came", "a figure of load")            \
    X(bytes_out, "hubbub_router_bytes_out_total", "bytes of batches sent",                                   \
      "near what the network takes: fewer gateways get fewer copies")                                        \
    X(malformed, "hubbub_router_malformed_total", "batches that broke the protocol",                         \
      "programs of different versions, a damaged network, or a stranger on the port: the log has the name")  \
    X(reloads, "hubbub_router_config_reloads_total{result=ok}",                                              \
      "configurations read again and put in force",                                                          \
      "somebody sent SIGHUP; the log says what changed, and what takes a restart")                           \
    X(reloads_failed, "hubbub_router_config_reloads_total{result=failed}",                                   \
      "configurations read again and found wrong: nothing has changed",                                      \
      "the log has the file and the line: mend it before the next start, which would fail")                  \
    X(versions, "hubbub_router_versions_total", "batches of another version of the protocol",                \
      "a gateway or backend of another version: the log has its name; bring all to one")                     \
    X(strangers, "hubbub_router_strangers_total", "batches of a link that the router does not know",         \
      "a few after a restart of the router; ever more: somebody else sends to the port")                     \
    X(links, "hubbub_router_links_total", "links that began",                                                \
      "stands still when all is well; the log says which gateway came anew")                                 \
    X(links_behind, "hubbub_router_links_behind_total", "links that used up their credit",                   \
      "a gateway is too slow for what it gets: its machine or the network")                                  \
    X(links_lost, "hubbub_router_links_lost_total", "links that broke",                                      \
      "the network between router and gateways, or gateways that were killed")                               \
    X(gateways_dead, "hubbub_router_gateways_dead_total", "gateways given up after their silence",           \
      "a gateway hangs, or its machine is out of reach")                                                     \
    X(gateways_refused, "hubbub_router_gateways_refused_total", "handshakes with an unlisted key",           \
      "a key that is not in curve_gateways: the log has the key and the address")                            \
    X(digests, "hubbub_router_rules_differ_total", "links of gateways with other event rules",               \
      "a gateway with another configuration file: bring all to one, then SIGHUP")                            \
    X(sockets_skipped, "hubbub_router_sockets_skipped_total", "sockets of a hello that could not be kept",   \
      "two gateways with one name, or a former router with other limits")                                    \
    X(replays, "hubbub_router_replays_total{result=complete}", "links that got all they had missed",         \
      "links that broke and went on: as hubbub_router_links_lost_total")                                     \
    X(replays_impossible, "hubbub_router_replays_total{result=impossible}", "links that missed too much",    \
      "clients had to connect again: an outage of a link was too long for resync_max")                       \
    X(replayed, "hubbub_router_replayed_messages_total", "messages sent again on a new link",                \
      "as hubbub_router_replays_total")

/* X(name, meaning, action): what names with labels have in common. */
#define FAMILY_TABLE(X)                                                                                      \
    X("hubbub_router_config_reloads_total", "configurations read again on SIGHUP, by result",                \
      "see each result")                                                                                     \
    X("hubbub_messages_total", "messages, by class", "see each class")                                       \
    X("hubbub_question_answers_total", "answers of clients to questions of backends, by result",             \
      "see each result")                                                                                     \
    X("hubbub_recoveries_total", "sockets that came back with a session, by result", "see each result")      \
    X("hubbub_sessions_ended_total", "sessions away that can come back no more, by reason",                  \
      "see each reason")                                                                                     \
    X("hubbub_history_total", "pages of history, by where they came from", "see each place")                 \
    X("hubbub_dropped_total", "what was dropped on purpose, by reason", "see each reason")                   \
    X("hubbub_passes_total", "records that a gateway had for another one, by result", "see each result")     \
    X("hubbub_takes_total", "sessions that were to move to another gateway, by result", "see each result")   \
    X("hubbub_router_backends_cut_total", "backends cut off, by reason", "see each reason")                  \
    X("hubbub_router_replays_total", "new links that were to get what they had missed, by result",           \
      "see each result")                                                                                     \
    X("hubbub_refused_total", "requests refused, by code",                                                   \
      "section 12 has the codes; storage_full: make room on the disk; busy: hubbub_commit_seconds; "         \
      "unavailable: backends or MongoDB are away")

struct counters {
#define X(field, name, meaning, action) uint64_t field;
    COUNTER_TABLE(X)
#undef X
    uint64_t refused[REFUSAL_CODES];
};

#endif
