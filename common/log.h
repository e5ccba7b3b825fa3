/*
 * Log lines on standard error: key=value, one line each, for programs.
 *
 *   log_warn("connection closed", "conn=%u reason=%s", id, reason);
 *   time=2026-01-31T10:00:00.123Z level=warn program=gateway-1 message="connection closed" conn=7 reason=slow
 *
 * Libraries (common/, proto/) return errors instead.  Never log a payload or a token.
 * Both texts are literals.  The fields are written key=FORMAT with a space between
 * them; each value is formatted by itself, cut at LOG_VALUE_MAX bytes, and quoted
 * when it is empty or has spaces, quotes, '=' or backslashes; control characters
 * and bytes beyond ASCII become \xNN, so a value can never forge a field or a line.
 * Conversions: d i u x X o c s p g f e %, with h hh l ll z j and width and precision.
 *
 * Each call site writes at most LOG_BURST lines a second; what is beyond is counted
 * and reported once the second is over, by the next line of any site, in a line of
 * its own with suppressed=N.  Safe from several threads; one write() a line.
 */
#ifndef HUBBUB_COMMON_LOG_H
#define HUBBUB_COMMON_LOG_H

#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { LOG_BURST = 10, LOG_VALUE_MAX = 512 };

/* X(NAME, text), the gravest first */
#define LOG_LEVEL_TABLE(X)                                                                                   \
    X(ERROR, "error")                                                                                        \
    X(WARN, "warn")                                                                                          \
    X(INFO, "info")                                                                                          \
    X(DEBUG, "debug")

enum log_level {
#define X(name, text) LOG_LEVEL_##name,
    LOG_LEVEL_TABLE(X)
#undef X
};

/* Texts of the levels in order, NULL at the end: the choices of a configuration key. */
extern const char *const log_level_names[];

/* Lines graver than or as grave as that are written; info at first.  At any time, from any thread. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* The level of that text.  0, or ERROR_NOT_FOUND. */
int log_level_find(struct bytes text, enum log_level *out) MUST_CHECK;

/* The text is borrowed for good; call before threads start. */
void log_set_program(const char *name);

#define log_error(message, ...) LOG_AT(LOG_LEVEL_ERROR, message, __VA_ARGS__)
#define log_warn(message, ...)  LOG_AT(LOG_LEVEL_WARN, message, __VA_ARGS__)
#define log_info(message, ...)  LOG_AT(LOG_LEVEL_INFO, message, __VA_ARGS__)
#define log_debug(message, ...) LOG_AT(LOG_LEVEL_DEBUG, message, __VA_ARGS__)

/* The rest is for the macros. */

struct log_site {
    const char *message;
    struct log_site *next_suppressed;
    uint64_t window; /* the second that is counted */
    uint32_t written;
    uint32_t suppressed;
    enum log_level level;
};

bool log_enabled(enum log_level level);
void log_write(struct log_site *site, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The leading blank makes a call without fields a legal format. */
#define LOG_AT(at_level, text, ...)                                                                          \
    do {                                                                                                     \
        static struct log_site log_site_here = {.message = "" text, .level = (at_level)};                    \
        if (log_enabled(at_level))                                                                           \
            log_write(&log_site_here, " " __VA_ARGS__);                                                      \
    } while (0)

#endif
