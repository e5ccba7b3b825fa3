/* The inside of a handshake's block, for handshake.c, which reads it, and handshake_json.c, which shows it.
 */
#ifndef HUBBUB_GATEWAY_HANDSHAKE_CONTENT_H
#define HUBBUB_GATEWAY_HANDSHAKE_CONTENT_H

#include "gateway/handshake.h"

/* How node puts repeated fields together. */
enum handshake_joining {
    HANDSHAKE_JOIN_COMMA,
    HANDSHAKE_JOIN_SEMICOLON,
    HANDSHAKE_JOIN_FIRST,
    HANDSHAKE_JOIN_ARRAY
};

struct handshake_field {
    struct bytes name, value;
    enum handshake_joining joining;
    bool literal; /* the name stands in the block */
};

/* All texts lie in the block, but names that are numbers there. */
struct handshake_content {
    uint64_t issued; /* ms since 1970 */
    struct bytes address, target;
    bool secure;
    size_t field_count;
    struct handshake_field fields[HTTP_FIELDS_MAX];
};

/* 0, or ERROR_MALFORMED for what is cut short; what the texts hold is not looked at. */
int handshake_content_read(struct bytes block, struct handshake_content *out) MUST_CHECK;

/* As handshake_bearer(). */
struct bytes handshake_content_bearer(const struct handshake_content *content);

#endif
