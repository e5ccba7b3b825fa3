/*
 * The numbers that a new journal starts from: rooms that were there before it, in an archive that outlived
 * the journal that wrote it.  It is done once, before the first message.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_SEED_H
#define HUBBUB_ROUTER_JOURNAL_SEED_H

#include "router/journal_file.h"

struct journal_seed {
    struct journal_file file;
    sqlite3_stmt *insert;
};

/*
 * Opens the file, which must be open nowhere else, and begins.  0; ERROR_EXISTS when it was done before, or
 * when the journal has had messages: there is nothing to do and nothing open; or as journal_open() with a
 * message.
 */
int journal_seed_begin(struct journal_seed *seed, const char *path, char *message,
                       size_t message_size) MUST_CHECK;

/* The room's next message gets the number after seq, and no earlier time than at (ms): of a room that
   comes twice, by the greater ones.  0 or journal_error(). */
int journal_seed_room(struct journal_seed *seed, struct bytes namespace, struct bytes room, uint64_t seq,
                      uint64_t at) MUST_CHECK;

/* Commits and closes; on failure nothing has happened, with a message as journal_open(). */
int journal_seed_end(struct journal_seed *seed, char *message, size_t message_size) MUST_CHECK;

/* Forgets what was added since the beginning, and begins again; 0 or journal_error(). */
int journal_seed_restart(struct journal_seed *seed) MUST_CHECK;

/* Closes without a commit. */
void journal_seed_abandon(struct journal_seed *seed);

#endif
