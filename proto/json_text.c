/*
 * Writes JSON strings; see json_text.h.  Owns nothing; gateway and router call it
 * for names, rooms and messages that go into JSON they make.  Surprising: U+007F,
 * U+2028 and everything else above U+001F stay as they are, as in JavaScript.
 */
#include "proto/json_text.h"

#include "proto/json_plain.h"

/* What follows the backslash: 0 for characters that need none, u for those without a short form. */
static const char escapes[256] = {
    [0 ... 7] = 'u', ['\b'] = 'b', ['\t'] = 't',      ['\n'] = 'n', [11] = 'u',
    ['\f'] = 'f',    ['\r'] = 'r', [14 ... 31] = 'u', ['"'] = '"',  ['\\'] = '\\',
};

/* The first byte from there on that needs an escape, or the end. */
static const char *pass_plain(const char *at, const char *end)
{
    while (end - at >= 8 && json_word_is_plain(at))
        at += 8;
    while (at < end && !escapes[(unsigned char)*at])
        at++;
    return at;
}

size_t json_quoted_length(struct bytes text)
{
    const char *end = text.data + text.length;
    size_t length = text.length + 2;

    for (const char *at = text.data; (at = pass_plain(at, end)) < end; at++)
        length += escapes[(unsigned char)*at] == 'u' ? 5 : 1;
    return length;
}

void json_append_string(struct buffer *out, struct bytes text)
{
    static const char digits[16] = "0123456789abcdef";
    size_t at = 0;

    buffer_append_char(out, '"');
    while (at < text.length) {
        size_t run = at;
        unsigned char c;

        at = (size_t)(pass_plain(text.data + at, text.data + text.length) - text.data);
        buffer_append(out, text.data + run, at - run);
        if (at == text.length)
            break;
        c = (unsigned char)text.data[at++];
        buffer_append_char(out, '\\');
        buffer_append_char(out, escapes[c]);
        if (escapes[c] == 'u') {
            buffer_append_literal(out, "00");
            buffer_append_char(out, digits[c >> 4]);
            buffer_append_char(out, digits[c & 15]);
        }
    }
    buffer_append_char(out, '"');
}
