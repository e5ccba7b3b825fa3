/*
 * What a client may do, as its token says: a gateway verifies the token and makes a grant of it, the router
 * enforces it.  As text, on the link, it is a JSON object:
 *
 *   {"sub":"ann","exp":1700000000,"rights":{"join":["lobby","team-*"],"publish":["lobby"],"read":["*"]}}
 *
 * Each key may be absent: without sub the client is anonymous, without exp it has no end, without rights it
 * may do everything.  Within rights an absent list is an empty one.
 *
 * A pattern is the name of a room; a '*' at its end stands for any further bytes, none included, and "{sub}"
 * for the bytes of sub (nothing matches it without one).  Equal rights are kept once for a whole process.
 */
#ifndef HUBBUB_PROTO_GRANT_H
#define HUBBUB_PROTO_GRANT_H

#include "common/buffer.h"
#include "common/error.h"
#include "common/table.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    GRANT_PATTERNS_MAX = 64, /* in each list */
    GRANT_TEXT_MAX = 128 << 10,
};

/* What may be done with a room: X(NAME, key) */
#define RIGHT_TABLE(X)                                                                                       \
    X(JOIN, "join")       /* be in it */                                                                     \
    X(PUBLISH, "publish") /* send to it */                                                                   \
    X(READ, "read")       /* see its history, and be told how many are in it */

enum right {
#define X(name, key) RIGHT_##name,
    RIGHT_TABLE(X)
#undef X
        RIGHTS
};

/* "join" and so on; static. */
const char *right_text(enum right right);

struct rights;

/* Where equal rights meet.  Must outlive every grant that was made with it. */
struct grant_table {
    struct table rights;
};

void grant_table_init(struct grant_table *table);
/* All grants must have been freed. */
void grant_table_done(struct grant_table *table);

/* Owned by whoever made it; sub does not move as long as the grant lives. */
struct grant {
    struct rights *rights; /* NULL: everything */
    uint64_t expires;      /* seconds since 1970; 0: never */
    uint16_t sub_length;   /* 0: anonymous */
    char sub[];
};

/*
 * Reads a grant's text.  ERROR_MALFORMED for anything but such an object: keys twice, a sub that
 * grant_sub_valid() refuses, patterns that are no texts of 1 to 255 bytes, more than GRANT_PATTERNS_MAX of
 * them in a list, a negative exp, an unknown key of rights, more than GRANT_TEXT_MAX bytes.
 */
int grant_parse(struct grant_table *table, struct bytes text, struct grant **out) MUST_CHECK;

/* One that may do everything, for ever; sub as for grant_parse(). */
struct grant *grant_new(struct bytes sub) MUST_CHECK;

/* Takes NULL. */
void grant_free(struct grant *grant);

/* Takes over expiry and rights of another one, which is freed.  Both have the same sub, which stays where it
 * is. */
void grant_replace(struct grant *grant, struct grant *by);

/* Appends its text; nothing for NULL. */
void grant_append_text(const struct grant *grant, struct buffer *out);

/* Empty for NULL and for an anonymous one. */
struct bytes grant_sub(const struct grant *grant);

/* Whether the room may be joined, and so on.  NULL may do everything. */
bool grant_allows(const struct grant *grant, enum right right, struct bytes room);

/* Whether that can be a name that `from` shows: as a room's name, and not as those of anonymous clients. */
bool grant_sub_valid(struct bytes sub);

/* Whether that can stand in a list. */
bool grant_pattern_valid(struct bytes pattern);

#endif
