/* Reading a small file that may hold a secret. */
#ifndef HUBBUB_COMMON_SECRET_FILE_H
#define HUBBUB_COMMON_SECRET_FILE_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>

enum { SECRET_FILE_LIMIT = 1 << 20 }; /* bytes of a file */

/*
 * Appends the whole file to text, which the caller wipes (secret_file_wipe()).  what says in errors what it
 * holds: "the key".  0, or ERROR_CONFIG with one line without newline in error: it can't be read, is no
 * regular file, is larger than the limit, or secret is set and someone besides its owner has any right to it.
 */
int secret_file_read(const char *path, bool secret, const char *what, struct buffer *text,
                     struct buffer *error) MUST_CHECK;

/* Overwrites and frees what was read. */
void secret_file_wipe(struct buffer *text);

#endif
