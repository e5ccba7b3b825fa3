/*
 * The types of configuration values: units, ranges, and the fields they go to; config.c's other half.
 *
 * The surprise: a maximum of 0 is none but the field's own size.
 */
#include "common/config_value.h"

#include "common/memory.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_LENGTH_MAX = 4095 };

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {NULL, 0}};
static const struct unit size_units[] = {
    {"B", 1}, {"KB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}, {NULL, 0}};
static const struct unit no_units[] = {{NULL, 0}};

#define FILE_TYPE(type) (1u << CONFIG_TYPE_##type)
#define FILE_NUMBER     (FILE_TYPE(INT) | FILE_TYPE(INT64))

/* By enum config_key_type: what --help calls it, which types of the file it takes, its units. */
static const struct {
    const char *placeholder;
    unsigned file_types;
    const struct unit *units;
} types[] = {
    [CONFIG_KEY_BOOL] = {"true|false", FILE_TYPE(BOOL), NULL},
    [CONFIG_KEY_INTEGER] = {"NUMBER", FILE_NUMBER, no_units},
    [CONFIG_KEY_DURATION] = {"DURATION", FILE_NUMBER | FILE_TYPE(STRING), duration_units},
    [CONFIG_KEY_SIZE] = {"SIZE", FILE_NUMBER | FILE_TYPE(STRING), size_units},
    [CONFIG_KEY_STRING] = {"TEXT", FILE_TYPE(STRING), NULL},
    [CONFIG_KEY_PATH] = {"PATH", FILE_TYPE(STRING), NULL},
    [CONFIG_KEY_CHOICE] = {"CHOICE", FILE_TYPE(STRING), NULL},
    [CONFIG_KEY_SWITCH] = {"", 0, NULL},
};

bool config_value_is_text(const struct config_key *key)
{
    return key->type == CONFIG_KEY_STRING || key->type == CONFIG_KEY_PATH;
}

static uint64_t key_maximum(const struct config_key *key)
{
    if (key->maximum)
        return key->maximum;
    return config_value_is_text(key) ? TEXT_LENGTH_MAX : UINT64_MAX >> (64 - 8 * key->size);
}

/* between: what parts a number from its unit. */
static void append_quantity(struct buffer *out, const struct config_key *key, uint64_t value,
                            const char *between)
{
    const struct unit *largest = NULL;

    for (const struct unit *unit = types[key->type].units; unit->name; unit++)
        if (value && value % unit->factor == 0)
            largest = unit;
    buffer_append_u64(out, largest ? value / largest->factor : value);
    if (largest)
        buffer_printf(out, "%s%s", between, largest->name);
}

void config_value_append_expected(struct buffer *out, const struct config_key *key)
{
    switch (key->type) {
    case CONFIG_KEY_BOOL:
    case CONFIG_KEY_SWITCH:
        buffer_append_literal(out, "true or false");
        return;
    case CONFIG_KEY_INTEGER:
    case CONFIG_KEY_DURATION:
    case CONFIG_KEY_SIZE:
        append_quantity(out, key, key->minimum, " ");
        buffer_append_literal(out, " to ");
        append_quantity(out, key, key_maximum(key), " ");
        if (key->unit)
            buffer_printf(out, " %s", key->unit);
        return;
    case CONFIG_KEY_STRING:
    case CONFIG_KEY_PATH:
        buffer_printf(out, "%s of %" PRIu64 " to %" PRIu64 " bytes",
                      key->type == CONFIG_KEY_PATH ? "a path" : "text", key->minimum, key_maximum(key));
        return;
    case CONFIG_KEY_CHOICE:
        for (const char *const *choice = key->choices; *choice; choice++)
            buffer_printf(out, "%s%s", choice == key->choices ? "" : choice[1] ? ", " : " or ", *choice);
        return;
    }
}

static int parse_quantity(const struct config_key *key, const char *text, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    const char *rest = text + digits;
    unsigned long long value;

    if (bytes_parse_u64(bytes_make(text, digits), &value))
        return ERROR_MALFORMED;
    if (*rest) {
        const struct unit *unit = types[key->type].units;

        rest += strspn(rest, " ");
        while (unit->name && strcmp(unit->name, rest) != 0)
            unit++;
        if (!unit->name || __builtin_mul_overflow(value, unit->factor, &value))
            return ERROR_MALFORMED;
    }
    if (value < key->minimum || value > key_maximum(key))
        return ERROR_MALFORMED;
    *out = value;
    return 0;
}

static bool valid_text(const struct config_key *key, const char *text)
{
    size_t length = strlen(text);

    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return false;
    return length >= key->minimum && length <= key_maximum(key);
}

static void store_number(const struct config_key *key, void *settings, uint64_t value)
{
    char *field = (char *)settings + key->offset;

    switch (key->size) {
    case sizeof(uint8_t):
        *(uint8_t *)field = (uint8_t)value;
        return;
    case sizeof(uint16_t):
        *(uint16_t *)field = (uint16_t)value;
        return;
    case sizeof(uint32_t):
        *(uint32_t *)field = (uint32_t)value;
        return;
    default:
        assert(key->size == sizeof(uint64_t));
        *(uint64_t *)field = value;
    }
}

int config_value_store(const struct config_key *key, const char *text, void *settings)
{
    char *field = (char *)settings + key->offset;
    uint64_t value = 0;

    switch (key->type) {
    case CONFIG_KEY_BOOL:
    case CONFIG_KEY_SWITCH:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return ERROR_MALFORMED;
        *(bool *)field = text[0] == 't';
        return 0;
    case CONFIG_KEY_INTEGER:
    case CONFIG_KEY_DURATION:
    case CONFIG_KEY_SIZE:
        if (parse_quantity(key, text, &value))
            return ERROR_MALFORMED;
        break;
    case CONFIG_KEY_STRING:
    case CONFIG_KEY_PATH:
        if (!valid_text(key, text))
            return ERROR_MALFORMED;
        free(*(char **)field);
        *(char **)field = memory_text(text, strlen(text));
        return 0;
    case CONFIG_KEY_CHOICE:
        while (key->choices[value] && strcmp(key->choices[value], text) != 0)
            value++;
        if (!key->choices[value])
            return ERROR_MALFORMED;
        break;
    }
    store_number(key, settings, value);
    return 0;
}

static uint64_t load_number(const struct config_key *key, const void *settings)
{
    const char *field = (const char *)settings + key->offset;

    switch (key->size) {
    case sizeof(uint8_t):
        return *(const uint8_t *)field;
    case sizeof(uint16_t):
        return *(const uint16_t *)field;
    case sizeof(uint32_t):
        return *(const uint32_t *)field;
    default:
        assert(key->size == sizeof(uint64_t));
        return *(const uint64_t *)field;
    }
}

void config_value_append(struct buffer *out, const struct config_key *key, const void *settings)
{
    const char *field = (const char *)settings + key->offset;
    const char *text;

    switch (key->type) {
    case CONFIG_KEY_BOOL:
    case CONFIG_KEY_SWITCH:
        buffer_append_text(out, *(const bool *)field ? "true" : "false");
        return;
    case CONFIG_KEY_INTEGER:
    case CONFIG_KEY_DURATION:
    case CONFIG_KEY_SIZE:
        append_quantity(out, key, load_number(key, settings), "");
        return;
    case CONFIG_KEY_STRING:
    case CONFIG_KEY_PATH:
        text = *(char *const *)field;
        buffer_append_text(out, text ? text : "");
        return;
    case CONFIG_KEY_CHOICE:
        buffer_append_text(out, key->choices[load_number(key, settings)]);
        return;
    }
}

const char *config_value_placeholder(const struct config_key *key)
{
    return types[key->type].placeholder;
}

bool config_value_takes(const struct config_key *key, int file_type)
{
    return types[key->type].file_types >> file_type & 1;
}
