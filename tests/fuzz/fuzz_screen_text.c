/* Any bytes as the name of a room in the columns of a terminal: exactly as wide as asked for, and nothing that acts. */
#include "tests/fuzz/fuzz.h"

#include "cli/screen_text.h"

#include <locale.h>
#include <wchar.h>

enum { COLUMNS_MAX = 256 };

/* How many columns a terminal would take; a character that acts on it ends the run. */
static unsigned width_of(struct bytes text)
{
    unsigned width = 0;

    while (text.length) {
        mbstate_t state = {0};
        wchar_t character;
        size_t length = mbrtowc(&character, text.data, text.length, &state);
        int columns;

        require(length > 0 && length <= text.length);
        columns = wcwidth(character);
        require(columns >= 0);
        require(!(character >= 0x202a && character <= 0x202e) &&
                !(character >= 0x2066 && character <= 0x2069));
        width += (unsigned)columns;
        text = bytes_make(text.data + length, text.length - length);
    }
    return width;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_make((const char *)data, size);
    struct bytes head = take_front(&text, 2);
    struct buffer out = {0};
    unsigned columns;
    char *copy;

    if (head.length < 2)
        return 0;
    setlocale(LC_CTYPE, "C.UTF-8");
    columns = (unsigned char)head.data[0] % COLUMNS_MAX;
    copy = copy_of(text);
    screen_text_fit(&out, bytes_make(copy, text.length), columns,
                    head.data[1] & 1 ? SCREEN_RIGHT : SCREEN_LEFT);
    require(width_of(buffer_bytes(&out)) == columns);
    buffer_done(&out);
    free(copy);
    return 0;
}
