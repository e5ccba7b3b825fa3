/*
 * Placeholders in JSON texts; see placeholder.h.  Owns nothing; the gateway checks binary packets with it,
 * the router puts several messages into one.  Its one surprising rule: whether an object is a placeholder is
 * only known at its end, and then whatever was found wrong inside of it does not matter any more.
 */
#include "proto/placeholder.h"

#include "proto/json_scan.h"
#include "proto/socketio.h"

#include <assert.h>
#include <limits.h>

enum key { KEY_OTHER, KEY_PLACEHOLDER, KEY_NUM };

/* A bracket that is open; the first one stands for the text itself. */
struct level {
    struct bytes num; /* the last value of that key if it is a number; else empty */
    enum key key;     /* that the next value belongs to */
    bool object;
    bool before_key;  /* the next string is a key */
    bool placeholder; /* the last value of that key is true */
    bool failed;      /* something within was not to the visitor's liking */
};

/* Judges a placeholder by its num, which is empty when it is no number. */
typedef bool visitor(void *argument, struct bytes num);

static const char *string_end(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\' && at + 1 < end)
            at++;
    return at < end ? at + 1 : end;
}

/* The end of a number or a word. */
static const char *plain_end(const char *at, const char *end)
{
    while (at < end && !memchr(" \t\r\n,:[]{}\"", *at, 11))
        at++;
    return at;
}

static enum key key_of(struct bytes string)
{
    static const struct bytes names[] = {[KEY_PLACEHOLDER] = BYTES("_placeholder"), [KEY_NUM] = BYTES("num")};
    char unescaped[sizeof "_placeholder"];
    struct json_value value;
    size_t length;

    if (string.length < 2)
        return KEY_OTHER;
    if (!memchr(string.data, '\\', string.length))
        string = bytes_make(string.data + 1, string.length - 2);
    else if (json_scan(string, &value) == 0 &&
             json_string_decode(value, unescaped, sizeof unescaped, &length) == 0)
        string = bytes_make(unescaped, length);
    else
        return KEY_OTHER;
    for (enum key key = KEY_PLACEHOLDER; key <= KEY_NUM; key++)
        if (bytes_equal(string, names[key]))
            return key;
    return KEY_OTHER;
}

static void take_value(struct level *level, struct bytes text)
{
    char first = text.data[0];

    if (level->key == KEY_PLACEHOLDER)
        level->placeholder = bytes_equal(text, BYTES("true"));
    else if (level->key == KEY_NUM)
        level->num = first == '-' || (first >= '0' && first <= '9') ? text : (struct bytes){0};
    level->key = KEY_OTHER;
}

/* ERROR_MALFORMED when the visitor rejected a placeholder that counts. */
static int visit(struct bytes text, visitor *judge, void *argument)
{
    struct level levels[JSON_DEPTH_MAX + 1] = {{{0}}};
    struct level *level = levels;
    const char *end = text.data + text.length, *next;

    for (const char *at = text.data; at < end; at = next) {
        next = at + 1;
        switch (*at) {
        case ' ':
        case '\t':
        case '\r':
        case '\n':
            break;
        case ',':
            level->before_key = level->object;
            break;
        case ':':
            level->before_key = false;
            break;
        case '{':
        case '[':
            take_value(level, bytes_make(at, 1));
            if (level == &levels[JSON_DEPTH_MAX])
                return ERROR_TOO_DEEP;
            *++level = (struct level){.object = *at == '{', .before_key = *at == '{'};
            break;
        case '}':
        case ']':
            if (level == levels)
                return ERROR_MALFORMED;
            if (level->placeholder)
                level->failed = !judge(argument, level->num);
            level--;
            level->failed |= level[1].failed;
            break;
        case '"':
            next = string_end(at, end);
            if (level->before_key)
                level->key = key_of(bytes_make(at, (size_t)(next - at)));
            else
                take_value(level, bytes_make(at, 1));
            break;
        default:
            next = plain_end(at, end);
            take_value(level, bytes_make(at, (size_t)(next - at)));
        }
    }
    return levels->failed ? ERROR_MALFORMED : 0;
}

static bool names_one_of(struct bytes num, unsigned count, unsigned *out)
{
    long long number;

    if (num.length == 0 ||
        json_integer_decode((struct json_value){.text = num, .kind = JSON_NUMBER}, &number) < 0 ||
        number < 0 || number >= count)
        return false;
    *out = (unsigned)number;
    return true;
}

static bool check(void *argument, struct bytes num)
{
    unsigned number;

    return names_one_of(num, *(const unsigned *)argument, &number);
}

int placeholders_check(struct bytes text, unsigned count)
{
    return visit(text, check, &count);
}

static bool count_one(void *argument, struct bytes num)
{
    (void)num;
    ++*(unsigned *)argument;
    return true;
}

unsigned placeholders_count(struct bytes text)
{
    unsigned count = 0;

    /* Deeper than any text may be: nothing is known of it, so the worst is assumed. */
    return visit(text, count_one, &count) == ERROR_TOO_DEEP ? UINT_MAX : count;
}

bool placeholders_present(struct bytes text)
{
    return placeholders_count(text) > 0;
}

struct range {
    unsigned first, end; /* empty while first is not below end */
};

static bool widen(void *argument, struct bytes num)
{
    struct range *range = argument;
    unsigned number;

    if (!names_one_of(num, SOCKETIO_ATTACHMENTS_MAX, &number))
        return true;
    if (number < range->first)
        range->first = number;
    if (number >= range->end)
        range->end = number + 1;
    return true;
}

bool placeholders_range(struct bytes text, unsigned *first, unsigned *end)
{
    struct range range = {.first = SOCKETIO_ATTACHMENTS_MAX};

    (void)!visit(text, widen, &range);
    if (range.first >= range.end)
        return false;
    *first = range.first;
    *end = range.end;
    return true;
}

struct shift {
    const char *from; /* the text that is visited */
    char *to;         /* its copy */
    int base;
};

/* All numbers have one digit; what the text had besides ("1.0") becomes blanks. */
static bool renumber(void *argument, struct bytes num)
{
    const struct shift *shift = argument;
    unsigned number;
    char *copy;

    if (!names_one_of(num, SOCKETIO_ATTACHMENTS_MAX, &number) || (int)number + shift->base < 0 ||
        (int)number + shift->base >= SOCKETIO_ATTACHMENTS_MAX)
        return true;
    copy = shift->to + (num.data - shift->from);
    memset(copy, ' ', num.length);
    copy[0] = (char)('0' + (int)number + shift->base);
    return true;
}

void placeholders_append(struct buffer *out, struct bytes text, int base)
{
    size_t start = out->length;
    struct shift shift = {.from = text.data, .base = base};

    static_assert(SOCKETIO_ATTACHMENTS_MAX <= 10, "a placeholder's number has one digit");
    buffer_append_bytes(out, text);
    if (base == 0 || text.length == 0)
        return;
    shift.to = out->data + start;
    (void)!visit(text, renumber, &shift);
}
