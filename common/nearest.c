/*
 * Suggestions for misspelt names; see nearest.h.  The loader of configurations and the program `hubbub` call
 * it.  Its one surprising rule: the limit depends on the word, so that a short word has no suggestions at
 * random.
 */
#include "common/nearest.h"

#include <stdbool.h>
#include <string.h>

static bool same(char a, char b)
{
    return (a == '-' ? '_' : a) == (b == '-' ? '_' : b);
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Row by row of the usual table; three rows are all that a swap looks back on. */
static unsigned distance(const char *a, const char *b)
{
    unsigned rows[3][NEAREST_WORD_MAX + 1];
    size_t width = strlen(b);

    for (unsigned j = 0; j <= width; j++)
        rows[0][j] = j;
    for (unsigned i = 1; a[i - 1]; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

        row[0] = i;
        for (unsigned j = 1; j <= width; j++) {
            unsigned changed = above[j - 1] + !same(a[i - 1], b[j - 1]);

            row[j] = least(changed, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
    }
    return rows[strlen(a) % 3][width];
}

void nearest_init(struct nearest *nearest, const char *word)
{
    *nearest = (struct nearest){.word = word};
}

void nearest_offer(struct nearest *nearest, const char *name)
{
    unsigned found;

    if (strlen(nearest->word) > NEAREST_WORD_MAX || strlen(name) > NEAREST_WORD_MAX)
        return;
    found = distance(nearest->word, name);
    if (!nearest->best || found < nearest->distance) {
        nearest->best = name;
        nearest->distance = found;
    }
}

const char *nearest_found(const struct nearest *nearest)
{
    size_t limit = (strlen(nearest->word) + 2) / 3;

    return nearest->best && nearest->distance <= limit ? nearest->best : NULL;
}
