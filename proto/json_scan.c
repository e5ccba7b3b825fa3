/*
 * The JSON scanner; see json_scan.h.  It owns nothing: a scan is one pass over
 * borrowed text with a small stack for the open brackets.  The gateway runs it over
 * every published event, the router over what comes with joins.  Surprising: there is
 * one scanning loop, compiled twice, with and without a tracker that follows paths,
 * so that arguments which no rule addresses pay nothing for those that one does.
 */
#include "proto/json_scan.h"

#include "proto/json_plain.h"

#include <assert.h>

/* Classes of characters within strings, as bits. */
enum { QUOTE = 1, BACKSLASH = 2, CONTROL = 4, SPECIAL = QUOTE | BACKSLASH | CONTROL, ESCAPE = 8, HEX = 16 };

static const uint8_t characters[256] = {
    [0 ... 31] = CONTROL, ['"'] = QUOTE | ESCAPE, ['\\'] = BACKSLASH | ESCAPE,
    ['/'] = ESCAPE,       ['0' ... '9'] = HEX,    ['A' ... 'F'] = HEX,
    ['a'] = HEX,          ['b'] = HEX | ESCAPE,   ['c' ... 'e'] = HEX,
    ['f'] = HEX | ESCAPE, ['n'] = ESCAPE,         ['r'] = ESCAPE,
    ['t'] = ESCAPE,
};

/* What kind of value starts with a character. */
static const uint8_t kinds[256] = {
    ['"'] = JSON_STRING, ['{'] = JSON_OBJECT, ['['] = JSON_ARRAY,  ['t'] = JSON_TRUE,
    ['f'] = JSON_FALSE,  ['n'] = JSON_NULL,   ['-'] = JSON_NUMBER, ['0' ... '9'] = JSON_NUMBER};

/* Follows paths through one value; depth counts the brackets open within it. */
struct tracker {
    const struct json_path *paths;
    size_t count;
    unsigned argument;
    unsigned pending;                /* bit set: paths that the key just read belongs to */
    unsigned open;                   /* bit set: paths whose value has begun and not ended */
    bool repeated;                   /* a key of a path stood twice */
    uint8_t matched[JSON_PATHS_MAX]; /* keys of the path whose objects are open now */
    uint8_t seen[JSON_PATHS_MAX];    /* bit set: keys of the path that came by */
    struct json_value values[JSON_PATHS_MAX];
};

static inline bool character_is(char c, unsigned class)
{
    return characters[(unsigned char)c] & class;
}

/* From behind a backslash to behind the escape; NULL when malformed. */
static const char *pass_escape(const char *at, const char *end)
{
    if (at == end)
        return NULL;
    if (character_is(*at, ESCAPE))
        return at + 1;
    if (*at != 'u' || end - at < 5)
        return NULL;
    for (int i = 1; i <= 4; i++)
        if (!character_is(at[i], HEX))
            return NULL;
    return at + 5;
}

/* From behind the opening quote to behind the closing one; NULL when malformed. */
static inline const char *pass_string(const char *at, const char *end, bool *escaped)
{
    *escaped = false;
    for (;;) {
        while (end - at >= 8 && json_word_is_plain(at))
            at += 8;
        while (at < end && !character_is(*at, SPECIAL))
            at++;
        if (at == end || *at != '\\')
            break;
        *escaped = true;
        at = pass_escape(at + 1, end);
        if (!at)
            return NULL;
    }
    return at < end && *at == '"' ? at + 1 : NULL;
}

static inline const char *pass_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* RFC 8259 section 6: [minus] int [frac] [exp]; NULL when malformed. */
static const char *pass_number(const char *at, const char *end)
{
    const char *digits;

    if (*at == '-')
        at++;
    digits = at;
    at = pass_digits(at, end);
    if (at == digits || (*digits == '0' && at - digits > 1))
        return NULL;
    if (at < end && *at == '.') {
        digits = ++at;
        at = pass_digits(at, end);
        if (at == digits)
            return NULL;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        digits = at;
        at = pass_digits(at, end);
        if (at == digits)
            return NULL;
    }
    return at;
}

static inline const char *pass_word(const char *at, const char *end, struct bytes word)
{
    if (!bytes_starts_with(bytes_make(at, (size_t)(end - at)), word))
        return NULL;
    return at + word.length;
}

static struct bytes path_key(const struct json_path *path, unsigned step)
{
    unsigned start = step ? path->ends[step - 1] : 0;

    return bytes_make(path->keys + start, (size_t)path->ends[step] - start);
}

/* Whether a string, quotes included, stands for those bytes. */
static bool string_equals(struct bytes string, bool escaped, struct bytes want)
{
    char decoded[JSON_PATH_KEYS_MAX];
    size_t length;

    if (!escaped)
        return bytes_equal(bytes_make(string.data + 1, string.length - 2), want);
    return json_string_decode((struct json_value){string, JSON_STRING}, decoded, sizeof decoded, &length) ==
               0 &&
           bytes_equal(bytes_make(decoded, length), want);
}

static void tracker_key(struct tracker *tracker, struct bytes key, bool escaped, unsigned depth)
{
    for (size_t i = 0; i < tracker->count; i++) {
        const struct json_path *path = &tracker->paths[i];
        unsigned step = tracker->matched[i];

        if (path->argument != tracker->argument || step + 1 != depth || step == path->count ||
            !string_equals(key, escaped, path_key(path, step)))
            continue;
        if (tracker->seen[i] & (1U << step)) {
            tracker->repeated = true;
            continue;
        }
        tracker->seen[i] = (uint8_t)(tracker->seen[i] | (1U << step));
        tracker->pending |= 1U << i;
    }
}

static void tracker_begin(struct tracker *tracker, const char *at, enum json_kind kind)
{
    /* The second bound is for gcc, which can't know of the first one's. */
    for (size_t i = 0; i < tracker->count && i < JSON_PATHS_MAX; i++) {
        if (!(tracker->pending & (1U << i)))
            continue;
        if (tracker->matched[i] + 1 == tracker->paths[i].count) {
            tracker->values[i] = (struct json_value){{at, 0}, kind};
            tracker->open |= 1U << i;
        } else if (kind == JSON_OBJECT) {
            tracker->matched[i]++;
        }
    }
    tracker->pending = 0;
}

/* A value ended with depth brackets open around it: those whose last key is in the innermost are complete. */
static void tracker_end(struct tracker *tracker, const char *at, unsigned depth)
{
    for (size_t i = 0; i < tracker->count; i++)
        if ((tracker->open & (1U << i)) && tracker->paths[i].count == depth) {
            tracker->values[i].text.length = (size_t)(at - tracker->values[i].text.data);
            tracker->open &= ~(1U << i);
        }
}

static void tracker_close(struct tracker *tracker, unsigned depth)
{
    for (size_t i = 0; i < tracker->count; i++)
        if (tracker->matched[i] && tracker->matched[i] + 1U == depth)
            tracker->matched[i]--;
}

/* A key and its colon, to where the value starts; NULL when malformed. */
static inline __attribute__((always_inline)) const char *pass_key(const char *at, const char *end,
                                                                  unsigned depth, struct tracker *tracker)
{
    const char *key = at;
    bool escaped;

    if (at == end || *at != '"')
        return NULL;
    at = pass_string(at + 1, end, &escaped);
    if (!at)
        return NULL;
    if (tracker)
        tracker_key(tracker, bytes_make(key, (size_t)(at - key)), escaped, depth);
    at = json_pass_blanks(at, end);
    if (at == end || *at != ':')
        return NULL;
    return json_pass_blanks(at + 1, end);
}

static inline __attribute__((always_inline)) int scan(const char *at, const char *end, unsigned limit,
                                                      struct tracker *tracker, struct json_value *out)
{
    bool in_object[JSON_DEPTH_MAX];
    unsigned depth = 0;
    const char *start;
    enum json_kind kind;
    bool escaped;

    at = json_pass_blanks(at, end);
    start = at;
    for (;;) {
        if (at == end)
            return ERROR_MALFORMED;
        kind = kinds[(unsigned char)*at];
        if (tracker && tracker->pending)
            tracker_begin(tracker, at, kind);
        switch (kind) {
        case JSON_STRING:
            at = pass_string(at + 1, end, &escaped);
            break;
        case JSON_NUMBER:
            at = pass_number(at, end);
            break;
        case JSON_TRUE:
            at = pass_word(at, end, BYTES("true"));
            break;
        case JSON_FALSE:
            at = pass_word(at, end, BYTES("false"));
            break;
        case JSON_NULL:
            at = pass_word(at, end, BYTES("null"));
            break;
        case JSON_OBJECT:
        case JSON_ARRAY:
            if (depth == limit)
                return ERROR_TOO_DEEP;
            in_object[depth++] = kind == JSON_OBJECT;
            at = json_pass_blanks(at + 1, end);
            if (at < end && *at == (kind == JSON_OBJECT ? '}' : ']')) {
                at++;
                depth--;
                break;
            }
            if (kind == JSON_OBJECT && !(at = pass_key(at, end, depth, tracker)))
                return ERROR_MALFORMED;
            continue;
        default:
            return ERROR_MALFORMED;
        }
        if (!at)
            return ERROR_MALFORMED;

        for (;;) {
            if (tracker && tracker->open)
                tracker_end(tracker, at, depth);
            if (depth == 0) {
                *out = (struct json_value){{start, (size_t)(at - start)}, kinds[(unsigned char)*start]};
                return 0;
            }
            at = json_pass_blanks(at, end);
            if (at == end)
                return ERROR_MALFORMED;
            if (*at == ',')
                break;
            if (*at != (in_object[depth - 1] ? '}' : ']'))
                return ERROR_MALFORMED;
            at++;
            if (tracker)
                tracker_close(tracker, depth);
            depth--;
        }
        at = json_pass_blanks(at + 1, end);
        if (in_object[depth - 1] && !(at = pass_key(at, end, depth, tracker)))
            return ERROR_MALFORMED;
    }
}

/* A value at the start of the text, blanks before it passed over; what follows is not looked at. */
static int scan_plain(const char *at, const char *end, unsigned limit, struct json_value *out)
{
    return scan(at, end, limit, NULL, out);
}

static int scan_tracked(const char *at, const char *end, unsigned limit, struct tracker *tracker,
                        struct json_value *out)
{
    return scan(at, end, limit, tracker, out);
}

static const char *value_end(struct json_value value)
{
    return value.text.data + value.text.length;
}

int json_scan(struct bytes text, struct json_value *out)
{
    return json_scan_within(text, JSON_DEPTH_MAX, out);
}

int json_scan_within(struct bytes text, unsigned depth, struct json_value *out)
{
    struct json_value value;
    const char *end;
    int code;

    assert(depth <= JSON_DEPTH_MAX);
    if (text.length == 0)
        return ERROR_MALFORMED;
    end = text.data + text.length;
    code = scan_plain(text.data, end, depth, &value);
    if (code)
        return code;
    if (json_pass_blanks(value_end(value), end) != end)
        return ERROR_MALFORMED;
    *out = value;
    return 0;
}

int json_list_scan(struct bytes list)
{
    const char *at = list.data;
    const char *end = list.length ? at + list.length : at;
    struct json_value value;
    int code;

    if (at == end)
        return 0;
    for (;;) {
        code = scan_plain(at, end, JSON_DEPTH_MAX - 1, &value);
        if (code)
            return code;
        at = json_pass_blanks(value_end(value), end);
        if (at == end)
            return 0;
        if (*at++ != ',')
            return ERROR_MALFORMED;
    }
}

static bool is_key_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

int json_path_parse(struct bytes text, struct json_path *out)
{
    struct json_path path = {.argument = 1};
    const char *at;
    const char *end;
    const char *digits;
    size_t length = 0;

    if (!bytes_starts_with(text, BYTES("$")))
        return ERROR_MALFORMED;
    digits = text.data + 1;
    end = text.data + text.length;
    at = pass_digits(digits, end);
    if (at > digits) {
        unsigned long long argument;

        if (*digits == '0')
            return ERROR_MALFORMED;
        if (bytes_parse_u64(bytes_make(digits, (size_t)(at - digits)), &argument) ||
            argument > JSON_PATH_ARGUMENT_MAX)
            return ERROR_TOO_LARGE;
        path.argument = (uint8_t)argument;
    }
    while (at < end) {
        const char *key = at + 1;

        if (*at != '.')
            return ERROR_MALFORMED;
        for (at = key; at < end && is_key_character(*at);)
            at++;
        if (at == key)
            return ERROR_MALFORMED;
        if (path.count == JSON_PATH_STEPS_MAX || (size_t)(at - key) > sizeof path.keys - length)
            return ERROR_TOO_LARGE;
        memcpy(path.keys + length, key, (size_t)(at - key));
        length += (size_t)(at - key);
        path.ends[path.count++] = (uint8_t)length;
    }
    *out = path;
    return 0;
}

size_t json_path_text(const struct json_path *path, char out[JSON_PATH_TEXT_MAX])
{
    size_t length = 0;

    if (path->argument == 0)
        return 0;
    out[length++] = '$';
    if (path->argument >= 10)
        out[length++] = (char)('0' + path->argument / 10);
    if (path->argument > 1)
        out[length++] = (char)('0' + path->argument % 10);
    for (unsigned step = 0; step < path->count; step++) {
        struct bytes key = path_key(path, step);

        out[length++] = '.';
        memcpy(out + length, key.data, key.length);
        length += key.length;
    }
    return length;
}

int json_event_begin(struct bytes text, struct json_event *out)
{
    struct json_event event = {.depth = JSON_DEPTH_MAX};
    const char *at;
    const char *end;
    int code;

    if (text.length == 0)
        return ERROR_MALFORMED;
    end = text.data + text.length;
    at = json_pass_blanks(text.data, end);
    if (at == end || *at != '[')
        return ERROR_MALFORMED;
    at = json_pass_blanks(at + 1, end);
    if (at == end || (kinds[(unsigned char)*at] != JSON_STRING && kinds[(unsigned char)*at] != JSON_NUMBER))
        return ERROR_MALFORMED;
    code = scan_plain(at, end, 0, &event.name);
    if (code)
        return code;
    at = value_end(event.name);
    event.rest = bytes_make(at, (size_t)(end - at));
    *out = event;
    return 0;
}

/* Whether a path leads into that argument, rather than to the whole of it. */
static bool paths_enter(const struct json_path *paths, size_t n, size_t argument)
{
    for (size_t i = 0; i < n; i++)
        if (paths[i].argument == argument && paths[i].count)
            return true;
    return false;
}

int json_event_finish(struct json_event *event, const struct json_path *paths, size_t n,
                      struct json_value *values)
{
    const char *at = event->rest.data;
    const char *end = at + event->rest.length;
    struct tracker tracker = {.paths = paths, .count = n};
    struct json_value value = {0};
    const char *start = NULL;
    size_t count = 0;
    int code;

    assert(n <= JSON_PATHS_MAX && event->depth >= 1 && event->depth <= JSON_DEPTH_MAX);
    for (at = json_pass_blanks(at, end); at < end && *at == ',';
         at = json_pass_blanks(value_end(value), end)) {
        count++;
        if (paths_enter(paths, n, count)) {
            tracker.argument = (unsigned)count;
            code = scan_tracked(at + 1, end, event->depth - 1, &tracker, &value);
        } else {
            code = scan_plain(at + 1, end, event->depth - 1, &value);
        }
        if (code)
            return code;
        if (!start)
            start = value.text.data;
        for (size_t i = 0; i < n; i++)
            if (paths[i].argument == count && paths[i].count == 0)
                tracker.values[i] = value;
    }
    if (at == end || *at != ']' || json_pass_blanks(at + 1, end) != end)
        return ERROR_MALFORMED;
    if (tracker.repeated)
        return ERROR_EXISTS;
    event->arguments = start ? bytes_make(start, (size_t)(value_end(value) - start)) : BYTES("");
    event->argument_count = count;
    event->rest = BYTES("");
    for (size_t i = 0; i < n; i++)
        values[i] = tracker.values[i];
    return 0;
}

struct json_cursor json_array_cursor(struct json_value array)
{
    if (array.kind != JSON_ARRAY)
        return json_list_cursor(BYTES(""));
    return json_list_cursor(bytes_make(array.text.data + 1, array.text.length - 2));
}

struct json_cursor json_list_cursor(struct bytes list)
{
    return (struct json_cursor){list.data, list.length ? list.data + list.length : list.data, true,
                                JSON_DEPTH_MAX};
}

int json_cursor_next(struct json_cursor *cursor, struct json_value *out)
{
    const char *at = json_pass_blanks(cursor->at, cursor->end);
    struct json_value value;
    int code;

    if (at == cursor->end)
        return ERROR_NOT_FOUND;
    if (!cursor->first && *at++ != ',')
        return ERROR_MALFORMED;
    code = scan_plain(at, cursor->end, cursor->depth, &value);
    if (code)
        return code;
    cursor->at = value_end(value);
    cursor->first = false;
    *out = value;
    return 0;
}

struct json_cursor json_object_cursor(struct json_value object)
{
    if (object.kind != JSON_OBJECT)
        return json_list_cursor(BYTES(""));
    return json_list_cursor(bytes_make(object.text.data + 1, object.text.length - 2));
}

int json_member_next(struct json_cursor *cursor, struct json_value *key, struct json_value *value)
{
    const char *at = json_pass_blanks(cursor->at, cursor->end);
    struct json_value name, found;
    int code;

    if (at == cursor->end)
        return ERROR_NOT_FOUND;
    if (!cursor->first && *at++ != ',')
        return ERROR_MALFORMED;
    code = scan_plain(at, cursor->end, 0, &name);
    if (code)
        return ERROR_MALFORMED;
    at = json_pass_blanks(value_end(name), cursor->end);
    if (name.kind != JSON_STRING || at == cursor->end || *at != ':')
        return ERROR_MALFORMED;
    code = scan_plain(at + 1, cursor->end, cursor->depth - 1, &found);
    if (code)
        return code;
    cursor->at = value_end(found);
    cursor->first = false;
    *key = name;
    *value = found;
    return 0;
}

bool json_string_is(struct json_value string, struct bytes want)
{
    return string.kind == JSON_STRING &&
           string_equals(string.text, memchr(string.text.data, '\\', string.text.length), want);
}

int json_paths_find(struct json_value argument, const struct json_path *paths, size_t n,
                    struct json_value *values)
{
    struct tracker tracker = {.paths = paths, .count = n, .argument = 1};
    struct json_value whole;

    assert(n <= JSON_PATHS_MAX);
    if (paths_enter(paths, n, 1)) {
        int code = scan_tracked(argument.text.data, value_end(argument), JSON_DEPTH_MAX, &tracker, &whole);

        if (code)
            return code;
    }
    if (tracker.repeated)
        return ERROR_EXISTS;
    for (size_t i = 0; i < n; i++)
        values[i] = paths[i].argument == 1 && paths[i].count == 0 ? argument : tracker.values[i];
    return 0;
}

int json_object_find(struct json_value object, const char *key, struct json_value *out)
{
    struct json_path path = {.argument = 1, .count = 1};
    struct json_value value;
    size_t length = strlen(key);
    int code;

    assert(length <= sizeof path.keys);
    if (object.kind != JSON_OBJECT)
        return ERROR_NOT_FOUND;
    path.ends[0] = (uint8_t)length;
    memcpy(path.keys, key, length);
    code = json_paths_find(object, &path, 1, &value);
    if (code)
        return code;
    if (value.kind == JSON_ABSENT)
        return ERROR_NOT_FOUND;
    *out = value;
    return 0;
}
