/*
 * Grants and their rights; see grant.h.  Gateway and router keep one for each socket with a token.  The
 * surprising rule: rights are found again by the bytes of their text, so the same lists written in two ways
 * are kept twice; one gateway always writes them in the same way.
 */
#include "proto/grant.h"

#include "common/memory.h"
#include "proto/json_scan.h"
#include "proto/json_text.h"
#include "proto/name.h"

#include <assert.h>
#include <stdlib.h>

#define ANONYMOUS_PREFIX BYTES("anon:")
#define SUB              BYTES("{sub}")

struct pattern {
    struct bytes text; /* without the '*' at its end */
    bool is_prefix;    /* there was one */
};

/* The patterns of all lists, one list behind the other; behind them their bytes, then those of the text. */
struct rights {
    struct grant_table *table;
    uint32_t references;
    uint16_t counts[RIGHTS];
    struct bytes text;
    struct pattern patterns[];
};

static const char *const texts[RIGHTS] = {
#define X(name, key) key,
    RIGHT_TABLE(X)
#undef X
};

const char *right_text(enum right right)
{
    return texts[right];
}

static struct bytes rights_key(const void *entry)
{
    const struct rights *rights = entry;

    return rights->text;
}

void grant_table_init(struct grant_table *table)
{
    table_init(&table->rights, rights_key);
}

void grant_table_done(struct grant_table *table)
{
    assert(table->rights.count == 0);
    table_done(&table->rights);
}

bool grant_sub_valid(struct bytes sub)
{
    return room_name_valid(sub) && !bytes_starts_with(sub, ANONYMOUS_PREFIX);
}

bool grant_pattern_valid(struct bytes pattern)
{
    return room_name_valid(pattern);
}

/* -- rights ----------------------------------------------------------------------------------- */

/* The lists of an object of rights; JSON_ABSENT for what is not there.  0 or ERROR_MALFORMED. */
static int find_lists(struct json_value object, struct json_value lists[RIGHTS])
{
    struct json_cursor cursor = json_object_cursor(object);
    struct json_value key, value;
    int code;

    for (unsigned right = 0; right < RIGHTS; right++)
        lists[right] = (struct json_value){0};
    while ((code = json_member_next(&cursor, &key, &value)) == 0) {
        unsigned right = 0;

        while (right < RIGHTS && !json_string_is(key, bytes_from_text(texts[right])))
            right++;
        if (right == RIGHTS || lists[right].kind != JSON_ABSENT || value.kind != JSON_ARRAY)
            return ERROR_MALFORMED;
        lists[right] = value;
    }
    return code == ERROR_NOT_FOUND ? 0 : ERROR_MALFORMED;
}

/* Decodes the patterns of the lists into out, each behind its length, one byte; counts them. */
static int decode_lists(const struct json_value lists[RIGHTS], uint16_t counts[RIGHTS], struct buffer *out)
{
    for (unsigned right = 0; right < RIGHTS; right++) {
        struct json_cursor cursor = json_array_cursor(lists[right]);
        struct json_value value;
        int code;

        counts[right] = 0;
        while ((code = json_cursor_next(&cursor, &value)) == 0) {
            char space[ROOM_NAME_MAX];
            struct bytes pattern = room_name_decode(value, space);

            if (pattern.length == 0 || counts[right]++ == GRANT_PATTERNS_MAX)
                return ERROR_MALFORMED;
            buffer_append_char(out, (char)pattern.length);
            buffer_append_bytes(out, pattern);
        }
        if (code != ERROR_NOT_FOUND)
            return ERROR_MALFORMED;
    }
    return 0;
}

static struct rights *rights_make(struct bytes text, const uint16_t counts[RIGHTS], struct bytes decoded)
{
    unsigned count = 0;
    struct rights *rights;
    char *at;

    for (unsigned right = 0; right < RIGHTS; right++)
        count += counts[right];
    rights = memory_zero(1, sizeof *rights + count * sizeof *rights->patterns + decoded.length + text.length);
    memcpy(rights->counts, counts, sizeof rights->counts);
    at = (char *)(rights->patterns + count);
    memcpy(at, decoded.data, decoded.length);
    for (unsigned i = 0; i < count; i++) {
        struct pattern *pattern = &rights->patterns[i];

        pattern->text = bytes_make(at + 1, (unsigned char)*at);
        at += 1 + pattern->text.length;
        pattern->is_prefix = pattern->text.data[pattern->text.length - 1] == '*';
        pattern->text.length -= pattern->is_prefix;
    }
    memcpy(at, text.data, text.length);
    rights->text = bytes_make(at, text.length);
    return rights;
}

static int rights_parse(struct grant_table *table, struct json_value object, struct rights **out)
{
    struct rights *rights = table_find(&table->rights, object.text);
    struct json_value lists[RIGHTS];
    uint16_t counts[RIGHTS];
    struct buffer decoded = {0};
    int result = 0;

    if (!rights) {
        if (object.kind != JSON_OBJECT || find_lists(object, lists) < 0 ||
            decode_lists(lists, counts, &decoded) < 0)
            result = ERROR_MALFORMED;
        else {
            buffer_reserve(&decoded, 1); /* it may be empty, and then has no bytes to copy from */
            rights = rights_make(object.text, counts, buffer_bytes(&decoded));
            rights->table = table;
            table_insert(&table->rights, rights);
        }
        buffer_done(&decoded);
    }
    if (!result) {
        rights->references++;
        *out = rights;
    }
    return result;
}

static void rights_release(struct rights *rights)
{
    if (!rights || --rights->references)
        return;
    table_remove(&rights->table->rights, rights);
    free(rights);
}

static bool matches(const struct pattern *pattern, struct bytes room, struct bytes sub)
{
    struct bytes text = pattern->text;

    while (text.length) {
        struct bytes want = bytes_make(text.data, 1);
        size_t used = 1;

        if (bytes_starts_with(text, SUB)) {
            if (sub.length == 0)
                return false;
            want = sub;
            used = SUB.length;
        }
        if (!bytes_starts_with(room, want))
            return false;
        room = bytes_make(room.data + want.length, room.length - want.length);
        text = bytes_make(text.data + used, text.length - used);
    }
    return pattern->is_prefix || room.length == 0;
}

bool grant_allows(const struct grant *grant, enum right right, struct bytes room)
{
    const struct pattern *pattern;

    if (!grant || !grant->rights)
        return true;
    pattern = grant->rights->patterns;
    for (unsigned before = 0; before < right; before++)
        pattern += grant->rights->counts[before];
    for (unsigned i = 0; i < grant->rights->counts[right]; i++)
        if (matches(&pattern[i], room, grant_sub(grant)))
            return true;
    return false;
}

/* -- grants ----------------------------------------------------------------------------------- */

struct grant *grant_new(struct bytes sub)
{
    struct grant *grant = memory_zero(1, sizeof *grant + sub.length);

    grant->sub_length = (uint16_t)sub.length;
    if (sub.length)
        memcpy(grant->sub, sub.data, sub.length);
    return grant;
}

/* The sub and the exp; both may be absent. */
static int parse_members(struct json_value object, char space[ROOM_NAME_MAX], struct bytes *sub,
                         uint64_t *expires)
{
    struct json_value value;
    long long number = 0;
    int code = json_object_find(object, "sub", &value);

    *sub = (struct bytes){0};
    if (code == 0) {
        *sub = room_name_decode(value, space);
        if (!grant_sub_valid(*sub))
            return ERROR_MALFORMED;
    } else if (code != ERROR_NOT_FOUND) {
        return ERROR_MALFORMED;
    }
    code = json_object_find(object, "exp", &value);
    if (code == 0) {
        if (value.kind != JSON_NUMBER || json_integer_decode(value, &number) < 0 || number <= 0)
            return ERROR_MALFORMED;
    } else if (code != ERROR_NOT_FOUND) {
        return ERROR_MALFORMED;
    }
    *expires = (uint64_t)number;
    return 0;
}

int grant_parse(struct grant_table *table, struct bytes text, struct grant **out)
{
    struct json_value object, value;
    char space[ROOM_NAME_MAX];
    struct rights *rights = NULL;
    struct bytes sub;
    uint64_t expires;
    int code;

    if (text.length > GRANT_TEXT_MAX || json_scan(text, &object) < 0 || object.kind != JSON_OBJECT ||
        parse_members(object, space, &sub, &expires) < 0)
        return ERROR_MALFORMED;
    code = json_object_find(object, "rights", &value);
    if (code != ERROR_NOT_FOUND && (code < 0 || rights_parse(table, value, &rights) < 0))
        return ERROR_MALFORMED;
    *out = grant_new(sub);
    (*out)->expires = expires;
    (*out)->rights = rights;
    return 0;
}

void grant_free(struct grant *grant)
{
    if (grant)
        rights_release(grant->rights);
    free(grant);
}

void grant_replace(struct grant *grant, struct grant *by)
{
    assert(bytes_equal(grant_sub(grant), grant_sub(by)));
    rights_release(grant->rights);
    grant->rights = by->rights;
    grant->expires = by->expires;
    free(by);
}

void grant_append_text(const struct grant *grant, struct buffer *out)
{
    const char *separator = "{";

    if (!grant)
        return;
    if (grant->sub_length) {
        buffer_append_literal(out, "{\"sub\":");
        json_append_string(out, grant_sub(grant));
        separator = ",";
    }
    if (grant->expires) {
        buffer_append_text(out, separator);
        buffer_append_literal(out, "\"exp\":");
        buffer_append_u64(out, grant->expires);
        separator = ",";
    }
    if (grant->rights) {
        buffer_append_text(out, separator);
        buffer_append_literal(out, "\"rights\":");
        buffer_append_bytes(out, grant->rights->text);
        separator = ",";
    }
    buffer_append_text(out, *separator == '{' ? "{}" : "}");
}

struct bytes grant_sub(const struct grant *grant)
{
    return grant && grant->sub_length ? bytes_make(grant->sub, grant->sub_length) : (struct bytes){"", 0};
}
