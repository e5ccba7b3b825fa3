/*
 * Tables session and session_room: who may come back, and to which rooms.
 *
 * Changes are written by the journal thread, inside the transaction that carries the messages of their batch:
 * a row's positions are those of that place in the log.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_SESSIONS_H
#define HUBBUB_ROUTER_JOURNAL_SESSIONS_H

#include "router/journal_file.h"

struct journal_sessions {
    sqlite3_stmt *save, *generation, *data, *remove, *remove_rooms, *join, *move, *leave;
};

/* 0 or journal_error(); journal_sessions_done() in any case. */
int journal_sessions_init(struct journal_sessions *sessions, sqlite3 *db) MUST_CHECK;
void journal_sessions_done(struct journal_sessions *sessions);

/* Within a transaction, at that position of the log.  0 or journal_error(). */
int journal_sessions_apply(struct journal_sessions *sessions, const struct journal_change *change,
                           uint64_t pos) MUST_CHECK;

/* Calls back for every session with its rooms, in the order of their ids; bytes are valid for the call. Rooms
   of no session are deleted, as their id may be given again.  0 or journal_error(). */
int journal_sessions_load(sqlite3 *db, void (*loaded)(void *argument, const struct journal_session *session),
                          void *argument) MUST_CHECK;

#endif
