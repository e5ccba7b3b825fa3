/*
 * What the router and its parts are like at this moment, besides what it counts (counters.h): one row gives
 * the field, the name, what it means and what to do about it.  The stats socket and /metrics show it, and
 * docs/operations.md is made from it.
 */
#ifndef HUBBUB_ROUTER_MEASURES_H
#define HUBBUB_ROUTER_MEASURES_H

#include "common/histogram.h"

#include <stdint.h>

struct exposition;
struct router;

/* What a field counts in one of what its name says. */
enum measure_unit { MEASURE_WHOLE = 1, MEASURE_MILLISECONDS = 1000, MEASURE_NANOSECONDS = 1000000000 };

/* X(field, unit, name, meaning, action). */
#define MEASURE_TABLE(X)                                                                                     \
    X(gateways, MEASURE_WHOLE, "hubbub_gateways", "gateways linked",                                         \
      "fewer than you started: look at the missing one's log")                                               \
    X(gateways_live, MEASURE_WHOLE, "hubbub_gateways_live", "gateways whose link is live",                   \
      "fewer than hubbub_gateways for long: a gateway is behind; hubbub gateways says which")                \
    X(link_bytes, MEASURE_WHOLE, "hubbub_router_unacknowledged_bytes",                                       \
      "bytes sent to gateways that they have not acknowledged",                                              \
      "a gateway or the network is slow; hubbub gateways says which")                                        \
    X(namespaces, MEASURE_WHOLE, "hubbub_namespaces", "namespaces in memory", "a figure of load")            \
    X(rooms, MEASURE_WHOLE, "hubbub_rooms", "rooms in memory", "a figure of load")                           \
    X(members, MEASURE_WHOLE, "hubbub_members", "members of all rooms", "a figure of load")                  \
    X(sessions_away, MEASURE_WHOLE, "hubbub_sessions_away", "sessions that can come back",                   \
      "near max_away_sessions: the oldest go; raise it, or lower recovery_window")                           \
    X(waiting_bytes, MEASURE_WHOLE, "hubbub_waiting_bytes", "size of what waits for the journal",            \
      "the disk can't follow; beyond max_waiting publishes are refused with busy")                           \
    X(backends, MEASURE_WHOLE, "hubbub_backends", "backends linked",                                         \
      "fewer than you started: look at the missing one's log")                                               \
    X(backend_tasks, MEASURE_WHOLE, "hubbub_backend_tasks",                                                  \
      "connects and events without an answer of a backend", "the backends are slow: start more of them")     \
    X(backend_bytes, MEASURE_WHOLE, "hubbub_backend_bytes",                                                  \
      "size of the connects and events without an answer of a backend",                                      \
      "beyond max_backend_bytes they are refused with busy")                                                 \
    X(backend_waiting, MEASURE_WHOLE, "hubbub_backend_waiting",                                              \
      "sockets that a backend is to have, and none has", "no backend serves their namespaces: start one")    \
    X(journal_waiting, MEASURE_WHOLE, "hubbub_journal_waiting",                                              \
      "entries handed to the journal and not yet back", "the disk can't follow: see hubbub_commit_seconds")  \
    X(journal_unindexed, MEASURE_WHOLE, "hubbub_journal_unindexed",                                          \
      "messages committed and not yet in the indexes", "many for long: the disk can't follow")               \
    X(journal_file_bytes, MEASURE_WHOLE, "hubbub_journal_file_bytes", "size of the journal's file",          \
      "it never shrinks; see that the disk has room for what hot_messages or the retention allow")           \
    X(journal_wal_bytes, MEASURE_WHOLE, "hubbub_journal_wal_bytes", "size of the journal's WAL",             \
      "hundreds of MB: something else holds a transaction on the file open")                                 \
    X(journal_removed, MEASURE_WHOLE, "hubbub_journal_removed_total",                                        \
      "archived messages that left the journal, since the file was made",                                    \
      "a figure of load; it stands still while the archive is away")                                         \
    X(storage_full, MEASURE_WHOLE, "hubbub_storage_full",                                                    \
      "1 while the last commit failed for want of space, else 0",                                            \
      "make room on the disk: publishes are refused with storage_full until then")                           \
    X(removal_max, MEASURE_NANOSECONDS, "hubbub_removal_seconds_max",                                        \
      "the longest of hubbub_removal_seconds since the start", "as for hubbub_commit_seconds_max")           \
    X(checkpoints, MEASURE_WHOLE, "hubbub_checkpoints_total", "checkpoints of the journal's WAL",            \
      "stands still under load: something else holds a transaction on the file open")                        \
    X(session_changes, MEASURE_WHOLE, "hubbub_session_changes_total", "changes of sessions' rows committed", \
      "a figure of load")                                                                                    \
    X(rows_read, MEASURE_WHOLE, "hubbub_journal_rows_read_total",                                            \
      "rows and index entries that reads have looked at", "a figure of load: history and recoveries")        \
    X(commit_max, MEASURE_NANOSECONDS, "hubbub_commit_seconds_max",                                          \
      "the longest of hubbub_commit_seconds since the start",                                                \
      "one of seconds is the disk, or who shares it")                                                        \
    X(archived, MEASURE_WHOLE, "hubbub_archived_total", "messages that MongoDB has, since the start",        \
      "a figure of load; it should keep up with hubbub_messages_total of class archived")                    \
    X(archive_writes, MEASURE_WHOLE, "hubbub_archive_writes_total",                                          \
      "writes that MongoDB answered to the end", "a figure of load")                                         \
    X(archive_retries, MEASURE_WHOLE, "hubbub_archive_retries_total",                                        \
      "failures after which the archive tried again",                                                        \
      "MongoDB is away or slow: archive.last_error says why")                                                \
    X(archive_known, MEASURE_WHOLE, "hubbub_archive_known_total",                                            \
      "messages that MongoDB had already: an answer had got lost, or the router was killed",                 \
      "usual after a restart")                                                                               \
    X(archive_refused, MEASURE_WHOLE, "hubbub_archive_refused_total",                                        \
      "messages that MongoDB refused for good", "each is a dead letter: see hubbub_dead_letters")            \
    X(archive_lag_messages, MEASURE_WHOLE, "hubbub_archive_lag_messages",                                    \
      "committed positions that the archive has not reached",                                                \
      "MongoDB is away or slow; the disk has to last meanwhile")                                             \
    X(archive_lag, MEASURE_MILLISECONDS, "hubbub_archive_lag_seconds",                                       \
      "age of the oldest message that is to go to MongoDB", "as hubbub_archive_lag_messages")                \
    X(dead_letters, MEASURE_WHOLE, "hubbub_dead_letters", "rows of table dead_letter",                       \
      "section 7 says how to read them")

/* Of how long and how much.  X(field, bounds, name, meaning, action). */
#define HISTOGRAM_TABLE(X)                                                                                   \
    X(commit, histogram_seconds, "hubbub_commit_seconds",                                                    \
      "how long a commit of the journal took, its sync included",                                            \
      "the disk, or who shares it: every publish waits for it")                                              \
    X(commit_size, histogram_sizes, "hubbub_commit_messages",                                                \
      "messages, and changes of sessions, in one commit",                                                    \
      "grows by itself under load: that is what makes commits cheap")                                        \
    X(removal, histogram_seconds, "hubbub_removal_seconds",                                                  \
      "how long a step took that removes old messages from the journal",                                     \
      "the disk; commits wait for a step")                                                                   \
    X(turn, histogram_seconds, "hubbub_turn_seconds", "how long a turn of the loop took, but for its sleep", \
      "what is beyond 0.1 is slow: the router has more to do than one core takes")                           \
    X(lag, histogram_seconds, "hubbub_loop_lag_seconds",                                                     \
      "how late the loop was to call a timer, measured four times a second",                                 \
      "beyond hubbub_turn_seconds: the machine has too few processors for what runs there")

struct measures {
#define X(field, unit, name, meaning, action) uint64_t field;
    MEASURE_TABLE(X)
#undef X
#define X(field, bounds, name, meaning, action) struct histogram field;
    HISTOGRAM_TABLE(X)
#undef X
};

/* Reads them all; looks at no room and no session. */
void measures_take(const struct router *router, struct measures *out);

/* These and the router's own counters, for Prometheus; nothing of what gateways report. */
void measures_expose(const struct router *router, struct exposition *exposition);

#endif
