/*
 * Lines of findings; see finding.h.  hubbub doctor and the programs that it asks call it.  Its one surprising
 * rule: only the three tabs of a line are tabs, since those inside of a text become blanks.
 */
#include "common/finding.h"

#include "common/printable.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const level_texts[] = {
#define X(name, text) text,
    FINDING_LEVEL_TABLE(X)
#undef X
};

const char *finding_level_text(enum finding_level level)
{
    return level_texts[level];
}

void finding_append(struct buffer *out, enum finding_level level, const char *check, const char *mend,
                    const char *format, ...)
{
    va_list arguments;
    char *found;

    va_start(arguments, format);
    if (vasprintf(&found, format, arguments) < 0)
        abort();
    va_end(arguments);
    buffer_printf(out, "%s\t", level_texts[level]);
    printable_append(out, bytes_from_text(check));
    buffer_append_char(out, '\t');
    printable_append(out, bytes_from_text(found));
    buffer_append_char(out, '\t');
    printable_append(out, bytes_from_text(mend));
    buffer_append_char(out, '\n');
    free(found);
}

/* Takes what stands before the end, or all of it, off the text, and the end itself. */
static struct bytes take_until(struct bytes *text, char end)
{
    const char *at = text->length ? memchr(text->data, end, text->length) : NULL;
    struct bytes taken = bytes_make(text->data, at ? (size_t)(at - text->data) : text->length);
    size_t used = taken.length + (at != NULL);

    *text = bytes_make(text->data + used, text->length - used);
    return taken;
}

int finding_read(struct bytes *lines, struct finding *out)
{
    struct bytes line = take_until(lines, '\n');
    struct bytes level = take_until(&line, '\t');
    struct finding finding = {.level = FINDING_LEVELS};

    for (unsigned i = 0; i < FINDING_LEVELS; i++)
        if (bytes_equal_text(level, level_texts[i]))
            finding.level = i;
    finding.check = take_until(&line, '\t');
    finding.found = take_until(&line, '\t');
    finding.mend = line;
    if (finding.level == FINDING_LEVELS || !finding.check.length || !finding.found.length ||
        (line.length && memchr(line.data, '\t', line.length)))
        return ERROR_MALFORMED;
    *out = finding;
    return 0;
}
