/*
 * The project's one set of error codes.
 *
 * Functions that can fail return 0 or one of these, always negative.  Libraries
 * return them; programs turn them into log lines and exit codes.
 */
#ifndef HUBBUB_COMMON_ERROR_H
#define HUBBUB_COMMON_ERROR_H

/* X(NAME, number, text) */
#define ERROR_TABLE(X)                                                                                       \
    X(AGAIN, -1, "more input or another attempt is needed")                                                  \
    X(MALFORMED, -2, "the input breaks its grammar")                                                         \
    X(TOO_LARGE, -3, "the input is larger than its limit")                                                   \
    X(TOO_DEEP, -4, "the input is nested deeper than its limit")                                             \
    X(UTF8, -5, "the text is not UTF-8")                                                                     \
    X(PROTOCOL, -6, "the peer broke the protocol")                                                           \
    X(NOT_FOUND, -7, "not found")                                                                            \
    X(EXISTS, -8, "already exists")                                                                          \
    X(IO, -9, "input/output error")                                                                          \
    X(NO_SPACE, -10, "no space left")                                                                        \
    X(BUSY, -11, "busy: the bounded queue is full")                                                          \
    X(LOCKED, -12, "in use by another process")                                                              \
    X(FOREIGN, -13, "not a file of this program, or of another version of it")                               \
    X(CORRUPT, -14, "the file is damaged")                                                                   \
    X(CONFIG, -15, "bad configuration")                                                                      \
    X(USAGE, -16, "bad usage")                                                                               \
    X(CLOSED, -17, "closed")                                                                                 \
    X(SYSTEM, -18, "a system call failed")                                                                   \
    X(UNSUPPORTED, -19, "not supported")                                                                     \
    X(FORBIDDEN, -20, "not allowed")

enum error {
#define X(name, number, text) ERROR_##name = number,
    ERROR_TABLE(X)
#undef X
};

/* A short text for a code, for logs; "success" for 0.  Never NULL. */
const char *error_text(int code);

#define MUST_CHECK __attribute__((warn_unused_result))

#endif
