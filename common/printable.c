/*
 * Escaping for terminals; see printable.h.  The command line uses it.  Its one surprising rule: letters that
 * merely look alike pass, since only what acts on the terminal or on the order of characters is at stake.
 */
#include "common/printable.h"

#include <stdint.h>

/* Ranges of characters that are escaped, ascending. */
static const struct {
    uint32_t first, last;
} escaped[] = {
    {0x00, 0x1f},     {0x7f, 0x9f},     {0x61c, 0x61c},   {0x200e, 0x200f},
    {0x2028, 0x202e}, {0x2066, 0x2069}, {0xfeff, 0xfeff},
};

/* The character that begins there and its length in bytes; 0 when it is no UTF-8. */
static size_t decode(struct bytes text, uint32_t *out)
{
    static const struct {
        uint8_t mask, mark;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    const unsigned char *at = (const unsigned char *)text.data;

    for (size_t form = 0; form < sizeof forms / sizeof *forms; form++) {
        uint32_t character = at[0] & (uint8_t)~forms[form].mask;

        if ((at[0] & forms[form].mask) != forms[form].mark)
            continue;
        if (form + 1 > text.length)
            return 0;
        for (size_t i = 1; i <= form; i++) {
            if ((at[i] & 0xc0) != 0x80)
                return 0;
            character = character << 6 | (at[i] & 0x3f);
        }
        if (character < forms[form].least || character > 0x10ffff || character >> 11 == 0xd800 >> 11)
            return 0;
        *out = character;
        return form + 1;
    }
    return 0;
}

static bool is_escaped(uint32_t character)
{
    for (size_t i = 0; i < sizeof escaped / sizeof *escaped; i++)
        if (character >= escaped[i].first && character <= escaped[i].last)
            return true;
    return false;
}

void printable_append(struct buffer *out, struct bytes text)
{
    while (text.length) {
        uint32_t character = 0;
        size_t length = decode(text, &character);

        if (length == 0)
            buffer_printf(out, "\\x%02x", (unsigned char)text.data[0]);
        else if (character == '\t' || character == '\n' || character == '\r')
            buffer_append_char(out, ' ');
        else if (is_escaped(character))
            buffer_printf(out, "\\u%04x", character);
        else
            buffer_append(out, text.data, length);
        length += length == 0;
        text = bytes_make(text.data + length, text.length - length);
    }
}
