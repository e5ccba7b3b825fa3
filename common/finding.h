/*
 * What a look at a machine or a program found, for people and for programs: one line each.
 *
 * A line is `LEVEL<tab>CHECK<tab>FOUND<tab>MEND` with a line end: what is wrong, what was looked at, what was
 * found there, and what mends it (empty when there is nothing to mend).  Programs print such lines with
 * --examine, and `hubbub doctor` gathers them.
 */
#ifndef HUBBUB_COMMON_FINDING_H
#define HUBBUB_COMMON_FINDING_H

#include "common/buffer.h"
#include "common/error.h"

/* X(NAME, text) */
#define FINDING_LEVEL_TABLE(X)                                                                               \
    X(OK, "ok")           /* as it should be */                                                              \
    X(WARNING, "warning") /* works, but not as well or as safely as it could */                              \
    X(ERROR, "error")     /* does not work, or will lose something */

enum finding_level {
#define X(name, text) FINDING_##name,
    FINDING_LEVEL_TABLE(X)
#undef X
        FINDING_LEVELS
};

/* A line that was read: borrowed from it. */
struct finding {
    enum finding_level level;
    struct bytes check, found, mend;
};

const char *finding_level_text(enum finding_level level);

/* Appends a line; whatever would break it is made harmless (printable_append()).  mend: NULL for nothing. */
void finding_append(struct buffer *out, enum finding_level level, const char *check, const char *mend,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Takes the first line off lines.  0, or ERROR_MALFORMED: it is no finding, and is gone all the same. */
int finding_read(struct bytes *lines, struct finding *out) MUST_CHECK;

#endif
