/*
 * A line of the stats socket, taken apart.
 *
 *   rooms "a b" by rate 20 json      words: rooms, a b, by, rate, 20; json
 *
 * Words are parted by blanks.  One that begins with a quote is a JSON string: so every name can be said, and it
 * is never taken for a keyword.  The last word `json`, without quotes and behind another one, says how to answer.
 */
#ifndef HUBBUB_ROUTER_COMMAND_H
#define HUBBUB_ROUTER_COMMAND_H

#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>

enum { COMMAND_WORDS_MAX = 16, COMMAND_LENGTH_MAX = 4096 };

struct command {
    unsigned count;
    bool json;
    struct command_word {
        struct bytes text; /* UTF-8; in space */
        bool quoted;
    } words[COMMAND_WORDS_MAX];
    char space[COMMAND_LENGTH_MAX];
};

/* 0; or ERROR_MALFORMED, ERROR_TOO_LARGE (words, or bytes) with what is wrong.  line: without its end.  An empty
   line has no words. */
int command_parse(struct bytes line, struct command *out, const char **problem) MUST_CHECK;

/* Whether the word of that index is there, has no quotes and is that keyword. */
bool command_is(const struct command *command, unsigned index, const char *keyword);

#endif
