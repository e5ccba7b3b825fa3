/*
 * Files of CURVE keys: text, one key a line, in Z85 (ZeroMQ's RFC 32), 40 characters each.
 *
 * Blank lines are skipped, and what stands behind a # is a comment; a key may have one behind a blank.
 * Z85 has a # too, but no 32 bits are written with one in front, so that no key begins with it.
 * What the keys are for, and whether they belong together, is not known here.
 *
 * On failure all functions append one line without newline to error, with the path in front.
 */
#ifndef HUBBUB_COMMON_KEY_FILE_H
#define HUBBUB_COMMON_KEY_FILE_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>

enum {
    KEY_LENGTH = 40, /* of a key's text */
};

struct key {
    char text[KEY_LENGTH + 1]; /* terminated; empty: no key */
};

struct key_list {
    struct key *keys; /* owned */
    size_t count;
};

/*
 * Reads a file that holds one secret key.  The caller wipes it when it is done with it.
 * 0, or ERROR_CONFIG: it can't be read, is no regular file, holds something else, or
 * someone besides its owner has any right to it.
 */
int key_file_read_secret(const char *path, struct key *out, struct buffer *error) MUST_CHECK;

/* The same for a public key, which everyone may read. */
int key_file_read_public(const char *path, struct key *out, struct buffer *error) MUST_CHECK;

/* Reads a file of public keys, at least one; they are freed with key_list_done().  0 or ERROR_CONFIG. */
int key_file_read_list(const char *path, struct key_list *out, struct buffer *error) MUST_CHECK;

/* Frees the keys; an empty list stays. */
void key_list_done(struct key_list *list);

bool key_list_has(const struct key_list *list, const struct key *key);

/*
 * Writes a new file with one key, for its owner alone or for all to read.  0, ERROR_EXISTS for a path that
 * is there already, or ERROR_SYSTEM; then there is no new file.
 */
int key_file_create(const char *path, const struct key *key, bool secret, struct buffer *error) MUST_CHECK;

#endif
