/*
 * JSON values as the scanner gives them out, and what they stand for.
 *
 * A value is a span of text that json_scan.h has validated, and its kind.  It points
 * into the caller's text and lives as long as that.
 */
#ifndef HUBBUB_PROTO_JSON_VALUE_H
#define HUBBUB_PROTO_JSON_VALUE_H

#include "common/bytes.h"
#include "common/error.h"

#include <stdint.h>

enum json_kind {
    JSON_ABSENT,
    JSON_STRING,
    JSON_NUMBER,
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL
};

/* A value's text without blanks around it, quotes and brackets included; {NULL, 0} when JSON_ABSENT. */
struct json_value {
    struct bytes text;
    enum json_kind kind;
};

/*
 * The bytes that a string stands for, as UTF-8, no terminator; at most limit of
 * them, U+0000 among them if it is escaped there: the caller judges control
 * characters.  They never take more room than the string's text.  ERROR_TOO_LARGE
 * beyond the limit (out then holds a part), ERROR_UTF8 for a lone surrogate (which
 * UTF-8 can't express), ERROR_MALFORMED for what is no string.
 */
int json_string_decode(struct json_value string, char *out, size_t limit, size_t *length) MUST_CHECK;

/* The same for whoever has to take any string: out has room for the string's text, and a lone surrogate becomes
   U+FFFD.  Returns the length. */
size_t json_string_decode_any(struct json_value string, char *out);

/*
 * A number that is a whole number as it is written: digits, a sign, and at most a
 * fraction of zeros ("5.0").  No exponents ("1e1" is refused).  ERROR_MALFORMED for
 * anything else, ERROR_TOO_LARGE beyond what JavaScript counts exactly, 2^53 - 1.
 */
int json_integer_decode(struct json_value number, long long *out) MUST_CHECK;

#endif
