/*
 * What the router itself counts: one row gives the field, the name on the stats socket, and the meaning.
 * Gateways report their own (STATISTICS records); equal names are added up.
 */
#ifndef HUBBUB_ROUTER_COUNTERS_H
#define HUBBUB_ROUTER_COUNTERS_H

#include "proto/refusal.h"

#include <stdint.h>

/* X(field, name, meaning) */
#define COUNTER_TABLE(X)                                                                                     \
    X(archived, "hubbub_messages_total{class=archived}", "archived messages that were committed")            \
    X(logged, "hubbub_messages_total{class=logged}", "logged messages that were committed")                  \
    X(volatiles, "hubbub_messages_total{class=volatile}", "volatile events")                                 \
    X(unlogged, "hubbub_messages_total{class=unlogged}",                                                     \
      "logged events of programs to namespaces without recovery, which need not be written")                 \
    X(sends, "hubbub_sends_total", "events that backends and HTTP publishers sent")                          \
    X(questions, "hubbub_questions_total", "questions of backends to clients")                               \
    X(question_answers, "hubbub_question_answers_total{result=passed}",                                      \
      "answers to them, given to backends")                                                                  \
    X(question_answers_dropped, "hubbub_question_answers_total{result=dropped}",                             \
      "late answers, second ones, too large ones, and from those who were not asked")                        \
    X(questions_expired, "hubbub_questions_expired_total", "questions that not all have answered in time")   \
    X(targets_moved, "hubbub_targets_moved_total", "sockets that backends had join or leave rooms")          \
    X(expelled, "hubbub_expelled_total", "sockets that backends disconnected")                               \
    X(finds, "hubbub_finds_total", "searches of backends for sockets")                                       \
    X(repeated, "hubbub_repeated_total", "publishes that got the outcome of an earlier one with their id")   \
    X(copies, "hubbub_copies_total", "messages handed to gateways, one for each that has a member")          \
    X(connects, "hubbub_connects_total", "sockets that connected to a namespace")                            \
    X(connects_refused, "hubbub_connects_refused_total", "sockets that asked for an unknown namespace")      \
    X(namespaces_refused, "hubbub_namespaces_refused_total",                                                 \
      "sockets that asked for a namespace of a pattern beyond the limit")                                    \
    X(recovered, "hubbub_recoveries_total{result=recovered}",                                                \
      "sockets that went on as a former one, with all that it had missed")                                   \
    X(recoveries_unknown, "hubbub_recoveries_total{result=unknown}", "pids of no session")                   \
    X(recoveries_expired, "hubbub_recoveries_total{result=expired}", "sessions that came back too late")     \
    X(recoveries_other_user, "hubbub_recoveries_total{result=other_user}", "pids of somebody else")          \
    X(recoveries_forbidden, "hubbub_recoveries_total{result=forbidden}",                                     \
      "sessions in a room that the token of now does not allow")                                             \
    X(recoveries_foreign_epoch, "hubbub_recoveries_total{result=foreign_epoch}",                             \
      "offsets of another journal")                                                                          \
    X(recoveries_bad_offset, "hubbub_recoveries_total{result=bad_offset}",                                   \
      "offsets that are none, or beyond the log")                                                            \
    X(recoveries_too_many, "hubbub_recoveries_total{result=too_many}", "sessions that missed too much")      \
    X(recoveries_unreadable, "hubbub_recoveries_total{result=unreadable}",                                   \
      "sessions whose missed messages could not be read, or are kept no longer")                             \
    X(recoveries_busy, "hubbub_recoveries_total{result=busy}", "too many recoveries waited for the journal") \
    X(recovered_messages, "hubbub_recovered_messages_total",                                                 \
      "missed messages, sent to sockets that went on")                                                       \
    X(aways, "hubbub_sessions_away_total", "sessions whose socket went, and that could come back")           \
    X(aways_expired, "hubbub_sessions_ended_total{reason=expired}", "of them, not back in time")             \
    X(aways_too_many, "hubbub_sessions_ended_total{reason=too_many}",                                        \
      "of them, over the limit of those that are away")                                                      \
    X(joins, "hubbub_joins_total", "rooms joined")                                                           \
    X(joins_skipped, "hubbub_joins_skipped_total", "bad rooms among those to join with a connect")           \
    X(leaves, "hubbub_leaves_total", "rooms left")                                                           \
    X(tokens_renewed, "hubbub_tokens_renewed_total", "sockets that went on with a newer token")              \
    X(presence, "hubbub_presence_events_total", "hubbub:presence events")                                    \
    X(pages_memory, "hubbub_history_total{from=memory}", "pages of history answered from memory")            \
    X(pages_disk, "hubbub_history_total{from=journal}", "pages of history read from the journal")            \
    X(pages_archive, "hubbub_history_total{from=archive}",                                                   \
      "pages of history that came from MongoDB, or in part")                                                 \
    X(pages_unarchived, "hubbub_history_archive_failed_total",                                               \
      "pages for which MongoDB did not answer, or too many waited")                                          \
    X(pages_shown, "hubbub_history_shown_total", "pages of history shown on the stats socket")               \
    X(dropped_behind, "hubbub_dropped_total{reason=gateway_behind}",                                         \
      "unwritten events for a gateway behind")                                                               \
    X(dropped_error_rate, "hubbub_dropped_total{reason=error_rate}", "hubbub:error events over their rate")  \
    X(passes, "hubbub_passes_total{result=passed}", "records that a gateway had for another one")            \
    X(passes_again, "hubbub_passes_total{result=again}", "questions for a gateway out of reach")             \
    X(passes_unknown, "hubbub_passes_total{result=unknown}", "questions for a gateway that is not there")    \
    X(dropped_passes, "hubbub_dropped_total{reason=pass_unreachable}", "answers for a gateway out of reach") \
    X(takes, "hubbub_takes_total{result=taken}", "sessions that moved to another gateway")                   \
    X(takes_refused, "hubbub_takes_total{result=refused}", "sessions that were to move and could not")       \
    X(sockets_moved, "hubbub_sockets_moved_total", "sockets of the sessions that moved")                     \
    X(tasks, "hubbub_backend_tasks_total", "connects and events that backends were to answer")               \
    X(tasks_again, "hubbub_backend_tasks_again_total", "of them, sent a second time and more")               \
    X(tasks_expired, "hubbub_backend_tasks_expired_total", "of them, refused as no backend came in time")    \
    X(connects_rejected, "hubbub_connects_rejected_total", "sockets that a backend refused")                 \
    X(connects_unbacked, "hubbub_connects_unbacked_total", "sockets for which there was no backend")         \
    X(handed_over, "hubbub_backend_handed_over_total", "sockets whose backend went, and that another got")   \
    X(backends, "hubbub_router_backends_total", "links of backends that began")                              \
    X(backends_dead, "hubbub_router_backends_dead_total", "backends given up after their silence")           \
    X(cut_nonsense, "hubbub_router_backends_cut_total{reason=nonsense}",                                     \
      "backends cut off for a record that was none, or out of place")                                        \
    X(cut_namespace, "hubbub_router_backends_cut_total{reason=namespace}",                                   \
      "for a namespace that they do not serve")                                                              \
    X(cut_twice, "hubbub_router_backends_cut_total{reason=twice}", "for a second answer to a task")          \
    X(cut_json, "hubbub_router_backends_cut_total{reason=json}", "for a text that is no JSON")               \
    X(cut_slow, "hubbub_router_backends_cut_total{reason=slow}", "for reading too slowly")                   \
    X(batches_in, "hubbub_router_batches_in_total", "batches that came from gateways")                       \
    X(batches_out, "hubbub_router_batches_out_total", "batches sent to gateways")                            \
    X(bytes_in, "hubbub_router_bytes_in_total", "bytes of batches that came")                                \
    X(bytes_out, "hubbub_router_bytes_out_total", "bytes of batches sent")                                   \
    X(malformed, "hubbub_router_malformed_total", "batches that broke the protocol")                         \
    X(versions, "hubbub_router_versions_total", "batches of another version of the protocol")                \
    X(strangers, "hubbub_router_strangers_total", "batches of a link that the router does not know")         \
    X(links, "hubbub_router_links_total", "links that began")                                                \
    X(links_behind, "hubbub_router_links_behind_total", "links that used up their credit")                   \
    X(links_lost, "hubbub_router_links_lost_total", "links that broke")                                      \
    X(gateways_dead, "hubbub_router_gateways_dead_total", "gateways given up after their silence")           \
    X(gateways_refused, "hubbub_router_gateways_refused_total", "handshakes with an unlisted key")           \
    X(digests, "hubbub_router_rules_differ_total", "links of gateways with other event rules")               \
    X(sockets_skipped, "hubbub_router_sockets_skipped_total", "sockets of a hello that could not be kept")   \
    X(replays, "hubbub_router_replays_total{result=complete}", "links that got all they had missed")         \
    X(replays_impossible, "hubbub_router_replays_total{result=impossible}", "links that missed too much")    \
    X(replayed, "hubbub_router_replayed_messages_total", "messages sent again on a new link")

struct counters {
#define X(field, name, meaning) uint64_t field;
    COUNTER_TABLE(X)
#undef X
    uint64_t refused[REFUSAL_CODES];
};

#endif
