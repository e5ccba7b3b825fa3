/* Texts and codes of the close reasons; see close_reason.h. */
#include "gateway/close_reason.h"

static const struct {
    const char *text;
    unsigned code;
} rows[CLOSE_REASONS] = {
#define X(name, number, words) [CLOSE_##name] = {.text = words, .code = number},
    CLOSE_REASON_TABLE(X)
#undef X
};

const char *close_reason_text(enum close_reason reason)
{
    return rows[reason].text;
}

unsigned close_reason_code(enum close_reason reason)
{
    return rows[reason].code;
}
