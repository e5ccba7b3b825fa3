/*
 * Bearer keys (RFC 6750, section 2.1): who shows one of a file's keys may come in.
 *
 * The file is text, one key a line, of BEARER_KEY_MIN to BEARER_KEY_MAX letters, digits and - . _ ~ + / and,
 * at its end, =.  Blank lines and those that begin with # are skipped.  Several keys let one be replaced
 * while the other still counts.
 */
#ifndef HUBBUB_COMMON_BEARER_H
#define HUBBUB_COMMON_BEARER_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>

enum { BEARER_KEY_MIN = 16, BEARER_KEY_MAX = 512 }; /* bytes */

/* Zero-initialised holds none, and lets nobody in. */
struct bearer_keys {
    struct buffer text; /* the file */
    struct bytes *keys; /* in text */
    size_t count;
};

/*
 * Reads the file.  0, or ERROR_CONFIG with a line appended to error: see secret_file_read() (nobody else may
 * have rights to it); a line that is no key; no key at all.
 */
int bearer_keys_load(const char *path, struct bearer_keys *out, struct buffer *error) MUST_CHECK;

/* Wipes and frees them. */
void bearer_keys_done(struct bearer_keys *keys);

/*
 * Whether an Authorization field's value ("Bearer <key>", the scheme in any case) has one of them; NULL is a
 * request without that field.  How long it takes tells nothing of where a wrong key differs from a right one.
 */
bool bearer_keys_admit(const struct bearer_keys *keys, const char *authorization);

#endif
