/*
 * Writes JSON strings; see json_text.h.  Owns nothing; gateway and router call it
 * for names, rooms and messages that go into JSON they make.  Surprising: U+007F,
 * U+2028 and everything else above U+001F stay as they are, as in JavaScript.
 */
#include "proto/json_text.h"

/* What follows the backslash: 0 for characters that need none, u for those without a short form. */
static const char escapes[256] = {
    [0 ... 7] = 'u', ['\b'] = 'b', ['\t'] = 't',      ['\n'] = 'n', [11] = 'u',
    ['\f'] = 'f',    ['\r'] = 'r', [14 ... 31] = 'u', ['"'] = '"',  ['\\'] = '\\',
};

void json_append_string(struct buffer *out, struct bytes text)
{
    static const char digits[16] = "0123456789abcdef";
    size_t at = 0;

    buffer_append_char(out, '"');
    while (at < text.length) {
        size_t run = at;
        unsigned char c;

        while (at < text.length && !escapes[(unsigned char)text.data[at]])
            at++;
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
