/* A message of a room's history as people read it. */
#ifndef HUBBUB_CLI_ROOM_TEXT_H
#define HUBBUB_CLI_ROOM_TEXT_H

#include "common/buffer.h"

/*
 * Appends `<time> #<seq> <from> <event> <arguments>` with a line break for a line that the router gave
 * (router/transcript.h), nothing in it that acts on a terminal.  The time is UTC, to the millisecond.
 */
void room_text_append(struct buffer *out, struct bytes line);

#endif
