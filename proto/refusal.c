/* The texts of refusals, and how often one is told; see refusal.h. */
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

bool refusal_budget_take(struct refusal_budget *budget, uint64_t now_ms)
{
    uint32_t second = (uint32_t)(now_ms / 1000);

    if (budget->full_at < second)
        budget->full_at = second;
    if (budget->full_at - second >= REFUSAL_EVENTS_BURST)
        return false;
    budget->full_at++;
    return true;
}

const char *refusal_text(enum refusal_code code)
{
    return rows[code].code;
}

const char *refusal_message(enum refusal_code code)
{
    return rows[code].message;
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
