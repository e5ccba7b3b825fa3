/*
 * Placeholders of Socket.IO's binary packets: {"_placeholder":true,"num":N} stands for attachment N of the
 * packet (Socket.IO v5, types 5 and 6).  In any other packet such an object is ordinary data.
 *
 * They are found as the reference's parser finds them: at any place in the JSON, keys in any order and others
 * beside them, of equal keys the last counts, and _placeholder must be exactly true.  What stands inside a
 * placeholder goes with it and is not looked at.
 *
 * Texts are JSON that json_scan.h has accepted: one value, or several joined by commas.  With anything else
 * nothing outside of the text is read, but the answer means nothing.
 */
#ifndef HUBBUB_PROTO_PLACEHOLDER_H
#define HUBBUB_PROTO_PLACEHOLDER_H

#include "common/buffer.h"
#include "common/error.h"

/*
 * Whether every placeholder names one of so many attachments: its num is a whole number from 0 to count - 1,
 * as json_integer_decode() reads one ("1.0" is, "1e0" is not).  0, ERROR_MALFORMED, or ERROR_TOO_DEEP beyond
 * JSON_DEPTH_MAX.
 */
int placeholders_check(struct bytes text, unsigned count) MUST_CHECK;

/* How many placeholders there are, those within others among them; UINT_MAX beyond JSON_DEPTH_MAX. */
unsigned placeholders_count(struct bytes text);

/* Whether a client that takes the text for part of a binary packet would see a placeholder in it. */
bool placeholders_present(struct bytes text);

/* The lowest number that a placeholder names, and the one behind the highest; those that name none of
   SOCKETIO_ATTACHMENTS_MAX attachments do not count.  False, with both untouched, when there is none. */
bool placeholders_range(struct bytes text, unsigned *first, unsigned *end);

/*
 * Appends the text with base added to what its placeholders name, for a packet in which so many other
 * attachments stand before (or, below 0, have stood before and are left out).  The text's length stays.
 * Numbers end up from 0 to below SOCKETIO_ATTACHMENTS_MAX, or stay as they are: a checked text of count
 * attachments needs base + count to be no more than that.
 */
void placeholders_append(struct buffer *out, struct bytes text, int base);

#endif
