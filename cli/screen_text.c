/*
 * Cutting and filling texts by their width on a terminal; see screen_text.h.  The live view calls it.  Its one
 * surprising rule: a character of two columns that would begin in the last one makes room for a ~ and a blank,
 * since half of it can't be shown.
 */
#include "cli/screen_text.h"

#include "common/printable.h"

#include <wchar.h>

enum { MARKS_MAX = 2 };

/* One character as it will be shown. */
struct glyph {
    struct bytes bytes;
    unsigned width;
};

/* Characters that change how their neighbours are shown, or how wide. */
static bool is_joiner(wchar_t character)
{
    return (character >= 0x200b && character <= 0x200f) || (character >= 0x2060 && character <= 0x206f) ||
           (character >= 0xfe00 && character <= 0xfe0f) || (character >= 0xe0000 && character <= 0xe0fff) ||
           (character >= 0x1f3fb && character <= 0x1f3ff);
}

/* The bytes of the character that begins there, in UTF-8 that is valid. */
static size_t length_at(const char *at)
{
    unsigned char first = (unsigned char)*at;

    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Takes the next glyph off the text. */
static struct glyph next_glyph(struct bytes *text)
{
    size_t length = length_at(text->data);
    struct glyph glyph = {.bytes = {text->data, length}};
    mbstate_t state = {0};
    wchar_t character;
    int width;

    if (mbrtowc(&character, text->data, length, &state) != length || (width = wcwidth(character)) < 0)
        glyph = (struct glyph){BYTES("?"), 1};
    else if (is_joiner(character))
        glyph.bytes.length = 0;
    else
        glyph.width = (unsigned)width;
    *text = bytes_make(text->data + length, text->length - length);
    return glyph;
}

/* Appends what fits.  Gives its width; *whole: nothing was left out. */
static unsigned append_fitting(struct buffer *out, struct bytes text, unsigned columns, bool *whole)
{
    unsigned width = 0, marks = MARKS_MAX; /* none before the first character */

    while (text.length) {
        struct glyph glyph = next_glyph(&text);

        if (width + glyph.width > columns) {
            *whole = false;
            return width;
        }
        marks = glyph.width ? 0 : marks + 1;
        if (glyph.width || marks <= MARKS_MAX)
            buffer_append_bytes(out, glyph.bytes);
        width += glyph.width;
    }
    *whole = true;
    return width;
}

static void fill(struct buffer *out, unsigned columns)
{
    while (columns-- > 0)
        buffer_append_char(out, ' ');
}

void screen_text_fit(struct buffer *out, struct bytes text, unsigned columns, enum screen_align align)
{
    struct buffer harmless = {0}, shown = {0};
    unsigned width;
    bool whole;

    printable_append(&harmless, text);
    width = append_fitting(&shown, buffer_bytes(&harmless), columns, &whole);
    if (!whole && columns) {
        bool nothing;

        buffer_clear(&shown);
        width = append_fitting(&shown, buffer_bytes(&harmless), columns - 1, &nothing) + 1;
        buffer_append_char(&shown, '~');
    }
    if (align == SCREEN_RIGHT)
        fill(out, columns - width);
    buffer_append_bytes(out, buffer_bytes(&shown));
    if (align == SCREEN_LEFT)
        fill(out, columns - width);
    buffer_done(&harmless);
    buffer_done(&shown);
}
