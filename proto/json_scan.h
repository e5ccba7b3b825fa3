/*
 * A validating JSON scanner (RFC 8259) that builds no tree and allocates nothing.
 *
 * Texts are borrowed: every span that comes out points into the text that went
 * in.  The text is taken to be UTF-8 (the WebSocket layer has checked it);
 * everything else of the grammar is checked here.  Containers may be nested
 * JSON_DEPTH_MAX deep, the outermost one counted.  Two leniencies, both of
 * JavaScript: an escaped lone surrogate is a valid string, and a key may stand
 * twice in an object unless a path leads through it.
 *
 * Return codes of every function that scans: 0; ERROR_MALFORMED; ERROR_TOO_DEEP
 * (returned at once: what follows the bracket that is too deep was not looked at).
 */
#ifndef HUBBUB_PROTO_JSON_SCAN_H
#define HUBBUB_PROTO_JSON_SCAN_H

#include "proto/json_value.h"

#include <stdint.h>

enum {
    JSON_DEPTH_MAX = 128,
    JSON_PATH_STEPS_MAX = 8,
    JSON_PATH_ARGUMENT_MAX = 99,
    JSON_PATH_KEYS_MAX = 120, /* bytes of all keys of a path together */
    JSON_PATHS_MAX = 4        /* paths looked for in one walk */
};

/* One complete document: a value, blanks around it tolerated, and nothing else. */
int json_scan(struct bytes text, struct json_value *out) MUST_CHECK;

/* The same for containers that are nested at most depth deep, 0 to JSON_DEPTH_MAX. */
int json_scan_within(struct bytes text, unsigned depth, struct json_value *out) MUST_CHECK;

/* Values joined by commas, or no text at all, as json_event.arguments is: so deep that an array around them
 * is a document. */
int json_list_scan(struct bytes list) MUST_CHECK;

/*
 * Where a value stands among an event's arguments: "$" is the first argument,
 * "$2" the second, and each ".key" goes into an object.  Zero-initialised is the
 * path that leads nowhere: its value is always absent.
 */
struct json_path {
    uint8_t argument; /* from 1 */
    uint8_t count;    /* of keys */
    uint8_t ends[JSON_PATH_STEPS_MAX];
    char keys[JSON_PATH_KEYS_MAX]; /* one behind the other, without dots */
};

/*
 * Keys are one or more of A-Z a-z 0-9 _ and -; the number behind $ is 1 to
 * JSON_PATH_ARGUMENT_MAX without leading zeros.  ERROR_MALFORMED for anything
 * else, ERROR_TOO_LARGE beyond the limits above.
 */
int json_path_parse(struct bytes text, struct json_path *out) MUST_CHECK;

/* Writes the path in its one canonical form, at most JSON_PATH_TEXT_MAX bytes, no terminator; gives the
 * length. */
enum { JSON_PATH_TEXT_MAX = JSON_PATH_KEYS_MAX + JSON_PATH_STEPS_MAX + 3 };
size_t json_path_text(const struct json_path *path, char out[JSON_PATH_TEXT_MAX]);

/*
 * An event's text, ["name", argument, ...], is walked once but in two steps,
 * because the name decides which paths matter:
 *
 *   json_event_begin()  reads to the end of the name,
 *   json_event_finish() validates the rest, finds the values, and completes the struct.
 *
 * In between only name is set, and depth: how deep the text may be nested, its own array counted.  That is
 * JSON_DEPTH_MAX unless the caller takes less, from 1.
 */
struct json_event {
    struct json_value name; /* JSON_STRING or JSON_NUMBER */
    struct bytes
        arguments; /* from the first argument to the last, commas between; empty when there are none */
    size_t argument_count;
    struct bytes rest; /* what json_event_finish() has still to read */
    unsigned depth;
};

/* ERROR_MALFORMED also when the text is no array, or its first element neither a string nor a number. */
int json_event_begin(struct bytes text, struct json_event *out) MUST_CHECK;

/*
 * values[i] becomes what stands at paths[i], or absent; n is 0 to JSON_PATHS_MAX.
 * Keys compare after unescaping.  ERROR_EXISTS when a key that a path goes through
 * stands twice in its object: the text is valid in every other respect.
 */
int json_event_finish(struct json_event *event, const struct json_path *paths, size_t n,
                      struct json_value *values) MUST_CHECK;

/*
 * The elements of an array, for texts off the hot path.  A cursor starts from an
 * array's text (anything else has no elements), or from a list without brackets as
 * json_event.arguments is.  Each element may be nested depth deep, a member's value one
 * less: JSON_DEPTH_MAX unless the caller takes less, from 1.
 */
struct json_cursor {
    const char *at;
    const char *end;
    bool first;
    unsigned depth;
};

struct json_cursor json_array_cursor(struct json_value array);
struct json_cursor json_list_cursor(struct bytes list);

/* ERROR_NOT_FOUND after the last element. */
int json_cursor_next(struct json_cursor *cursor, struct json_value *out) MUST_CHECK;

/* The members of an object, in the same way; key is a JSON_STRING.  Anything but an object has none. */
struct json_cursor json_object_cursor(struct json_value object);
int json_member_next(struct json_cursor *cursor, struct json_value *key, struct json_value *value) MUST_CHECK;

/*
 * The same as json_event_finish() does with its arguments, for the first one standing alone: finds values in
 * it.
 */
int json_paths_find(struct json_value argument, const struct json_path *paths, size_t n,
                    struct json_value *values) MUST_CHECK;

/* Whether a string stands for exactly those bytes (at most JSON_PATH_KEYS_MAX). */
bool json_string_is(struct json_value string, struct bytes want);

/*
 * The value of a key (at most JSON_PATH_KEYS_MAX bytes) in an object: ERROR_NOT_FOUND
 * when it is not there or this is no object, ERROR_EXISTS when it stands there twice.
 */
int json_object_find(struct json_value object, const char *key, struct json_value *out) MUST_CHECK;

#endif
