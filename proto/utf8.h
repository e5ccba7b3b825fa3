/*
 * UTF-8 validation (RFC 3629), resumable at any byte.
 *
 * Refuses overlong forms, surrogates and everything above U+10FFFF, at the
 * first byte that cannot belong to valid text.
 */
#ifndef HUBBUB_PROTO_UTF8_H
#define HUBBUB_PROTO_UTF8_H

#include "common/bytes.h"
#include "common/error.h"

#include <stdint.h>

/* Where a text stopped.  Zero-initialised is the start of a text. */
struct utf8_state {
    uint8_t pending; /* bytes still missing from the last character, 0 to 3 */
    uint8_t low;     /* the range of the next byte, while one is missing */
    uint8_t high;
};

/*
 * Goes on with the next part of a text.  Returns 0, or ERROR_UTF8 at a byte
 * that no valid text has there; after that the state is good for nothing.
 */
int utf8_feed(struct utf8_state *state, struct bytes part) MUST_CHECK;

/* Whether the text may end here: no character is missing a byte. */
static inline bool utf8_complete(const struct utf8_state *state)
{
    return state->pending == 0;
}

/* Whether these bytes are a valid text by themselves. */
bool utf8_valid(struct bytes text);

#endif
