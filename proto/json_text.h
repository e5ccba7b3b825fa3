/* Writing JSON. */
#ifndef HUBBUB_PROTO_JSON_TEXT_H
#define HUBBUB_PROTO_JSON_TEXT_H

#include "common/buffer.h"

/*
 * Appends the text as a JSON string, quotes included, escaped exactly as JavaScript's
 * JSON.stringify does: quote, backslash and U+0000 to U+001F only, with the short
 * forms where there are some.  The text must be UTF-8.
 */
void json_append_string(struct buffer *out, struct bytes text);

/* How many bytes json_append_string() appends. */
size_t json_quoted_length(struct bytes text);

#endif
