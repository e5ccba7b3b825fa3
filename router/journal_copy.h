/*
 * Copies of a whole journal: a backup, while its router runs or not, and back again.  docs/operations.md,
 * section 8, says how they are used.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_COPY_H
#define HUBBUB_ROUTER_JOURNAL_COPY_H

#include "common/error.h"

#include <stddef.h>

/*
 * Writes what the journal holds at this moment into a new file, mode 0600, that is on disk when it returns.
 * Commits go on meanwhile.  0; ERROR_EXISTS when there is a file; ERROR_FOREIGN when path is no journal, and
 * what journal_error() says; then message has one line, and there is no new file (a restore may have made its
 * empty lock, path-lock).
 */
int journal_backup(const char *path, const char *copy, char *message, size_t message_size) MUST_CHECK;

/*
 * Makes a journal of a backup, where none is.  It gets an epoch of its own and no sessions: whatever was told
 * behind the backup is not in it, so its numbers will be given again, and must not be taken for those.
 * Codes as above.
 */
int journal_restore(const char *copy, const char *path, char *message, size_t message_size) MUST_CHECK;

#endif
