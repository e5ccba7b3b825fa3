/* The texts of refusals; see refusal.h. */
#include "proto/refusal.h"

#include "proto/json_text.h"

static const struct {
    const char *code;
    const char *message;
} rows[REFUSAL_CODES] = {
#define X(name, word, words) [REFUSAL_##name] = {.code = word, .message = words},
    REFUSAL_TABLE(X)
#undef X
};

const char *refusal_text(enum refusal_code code)
{
    return rows[code].code;
}

void refusal_append_error(struct buffer *out, enum refusal_code code, const char *message)
{
    buffer_append_literal(out, "{\"code\":\"");
    buffer_append_text(out, rows[code].code);
    buffer_append_literal(out, "\",\"message\":");
    json_append_string(out, bytes_from_text(message ? message : rows[code].message));
    buffer_append_char(out, '}');
}

void refusal_append_answer(struct buffer *out, enum refusal_code code, const char *message)
{
    buffer_append_literal(out, "{\"ok\":false,\"error\":");
    refusal_append_error(out, code, message);
    buffer_append_char(out, '}');
}
