/* Texts of strangers, made harmless for a terminal. */
#ifndef HUBBUB_COMMON_PRINTABLE_H
#define HUBBUB_COMMON_PRINTABLE_H

#include "common/buffer.h"

/*
 * Appends the text so that it can neither move a cursor nor turn the reading direction nor pretend to be
 * another line: blanks for tab and line breaks, \uXXXX for the other control characters (C0, DEL, C1), for
 * the marks and overrides of bidirectional text, for U+2028, U+2029 and U+FEFF, and \xXX for bytes that are
 * no UTF-8.  JSON text without control characters in its strings stays JSON of the same value.
 */
void printable_append(struct buffer *out, struct bytes text);

#endif
