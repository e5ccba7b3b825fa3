/* What bare clients are told: events, acknowledgements, and that they are in (docs/protocol.md, "Bare
 * WebSocket"). */
#ifndef HUBBUB_GATEWAY_BARE_SPEECH_H
#define HUBBUB_GATEWAY_BARE_SPEECH_H

#include "common/buffer.h"
#include "gateway/socket.h"

extern const struct socket_speech bare_speech;

/* Appends the frame {"type":"open",..}, the first that a client gets. */
void bare_append_open(const struct socket *socket, struct buffer *out);

/* A number of an answer's object; 0 when it is none. */
uint64_t bare_answer_number(struct json_value answer, const char *key);

#endif
