/*
 * What the JSON scanner says about texts that a test hands over: for test_json_suite.mjs.
 *
 * Standard input: again and again the length of a text in decimal, a line end, and its bytes.  Standard
 * output: a line for each, "accepted" or why not, by the two steps that a client's text goes through.
 */
#include "common/memory.h"
#include "proto/json_scan.h"
#include "proto/utf8.h"

#include <stdio.h>
#include <stdlib.h>

static const char *verdict(struct bytes text)
{
    struct json_value value;

    if (!utf8_valid(text))
        return "not UTF-8";
    switch (json_scan(text, &value)) {
    case 0:
        return "accepted";
    case ERROR_TOO_DEEP:
        return "too deep";
    default:
        return "malformed";
    }
}

int main(void)
{
    size_t length;

    while (scanf("%zu", &length) == 1) {
        char *text = memory_new(length + !length);
        bool whole = getchar() == '\n' && fread(text, 1, length, stdin) == length;

        if (whole)
            puts(verdict(bytes_make(text, length)));
        free(text);
        if (!whole)
            return 1;
    }
    return feof(stdin) ? 0 : 1;
}
