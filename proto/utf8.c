/*
 * The UTF-8 validator.  It owns nothing; the WebSocket codec, the JSON scanner
 * and whoever takes names from a peer call it.  The one thing to know: a lead
 * byte decides how many bytes follow and the range of the first of them, and
 * that range is all it takes to refuse overlong forms and surrogates.
 */
#include "proto/utf8.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* How many bytes from the front are ASCII, up to seven less than there are. */
static size_t ascii_run(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *start = at;
    uint64_t words[4];
    while ((size_t)(end - at) >= sizeof words) {
        memcpy(words, at, sizeof words);
        if ((words[0] | words[1] | words[2] | words[3]) & HIGH_BITS)
            break;
        at += sizeof words;
    }
    while ((size_t)(end - at) >= sizeof words[0]) {
        memcpy(words, at, sizeof words[0]);
        if (words[0] & HIGH_BITS)
            break;
        at += sizeof words[0];
    }
    return (size_t)(at - start);
}

/* Sets what must follow a lead byte of 0x80 or more; false when it is none. */
static bool lead_byte(struct utf8_state *state, uint8_t byte)
{
    uint8_t low = 0x80;
    uint8_t high = 0xbf;
    if (byte < 0xc2 || byte > 0xf4)
        return false;
    if (byte < 0xe0) {
        state->pending = 1;
    } else if (byte < 0xf0) {
        state->pending = 2;
        if (byte == 0xe0)
            low = 0xa0;
        else if (byte == 0xed)
            high = 0x9f;
    } else {
        state->pending = 3;
        if (byte == 0xf0)
            low = 0x90;
        else if (byte == 0xf4)
            high = 0x8f;
    }
    state->low = low;
    state->high = high;
    return true;
}

int utf8_feed(struct utf8_state *state, struct bytes part)
{
    if (part.length == 0)
        return 0;
    const uint8_t *at = (const uint8_t *)part.data;
    const uint8_t *end = at + part.length;
    struct utf8_state now = *state;

    while (at < end) {
        if (now.pending) {
            if (*at < now.low || *at > now.high)
                return ERROR_UTF8;
            at++;
            now.pending--;
            now.low = 0x80;
            now.high = 0xbf;
            continue;
        }
        if (*at >= 0x80) {
            if (!lead_byte(&now, *at++))
                return ERROR_UTF8;
            continue;
        }
        at += ascii_run(at, end);
        while (at < end && *at < 0x80)
            at++;
    }
    *state = now;
    return 0;
}

bool utf8_valid(struct bytes text)
{
    struct utf8_state state = {0};
    return utf8_feed(&state, text) == 0 && utf8_complete(&state);
}
