/*
 * The effective configuration, for whoever asks a running program; config.c notes origins here.
 *
 * The surprise: what is masked is masked by guessing too much.  Everything between the first colon of a URI's
 * authority and its last '@' is the password, whatever stands in there.
 */
#include "common/config_describe.h"

#include "common/config_value.h"
#include "common/memory.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char mask[] = "***";

static char ***origins_of(const struct config_program *program, const void *settings)
{
    return (char ***)((char *)settings + program->origins);
}

void config_origin_note(const struct config_program *program, const struct config_key *key, void *settings,
                        const char *text)
{
    char ***origins;
    char **origin;

    if (!program->origins)
        return;
    origins = origins_of(program, settings);
    if (!*origins)
        *origins = memory_zero(program->key_count, sizeof **origins);
    origin = &(*origins)[key - program->keys];
    free(*origin);
    *origin = text ? memory_text(text, strlen(text)) : NULL;
}

void config_origins_exchange(const struct config_program *program, const struct config_key *key, void *one,
                             void *other)
{
    size_t at = (size_t)(key - program->keys);
    char ***a, ***b;
    char *kept;

    if (!program->origins)
        return;
    a = origins_of(program, one);
    b = origins_of(program, other);
    if (!*a && !*b)
        return;
    if (!*a)
        *a = memory_zero(program->key_count, sizeof **a);
    if (!*b)
        *b = memory_zero(program->key_count, sizeof **b);
    kept = (*a)[at];
    (*a)[at] = (*b)[at];
    (*b)[at] = kept;
}

void config_origins_done(const struct config_program *program, void *settings)
{
    char ***origins;

    if (!program->origins)
        return;
    origins = origins_of(program, settings);
    for (size_t i = 0; *origins && i < program->key_count; i++)
        free((*origins)[i]);
    free(*origins);
    *origins = NULL;
}

/* Whether an option of a URI is named after something that nobody is to read. */
static bool is_secret_option(struct bytes name)
{
    static const char *const words[] = {"password", "secret", "token", "properties", "key"};
    char lower[64];
    size_t length = name.length < sizeof lower - 1 ? name.length : sizeof lower - 1;

    for (size_t i = 0; i < length; i++)
        lower[i] = (char)tolower((unsigned char)name.data[i]);
    lower[length] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(lower, words[i]))
            return true;
    return name.length > length;
}

static void append_option(struct buffer *out, struct bytes option)
{
    const char *equals = option.length ? memchr(option.data, '=', option.length) : NULL;
    struct bytes name = bytes_make(option.data, equals ? (size_t)(equals - option.data) : option.length);

    if (!equals || !is_secret_option(name)) {
        buffer_append_bytes(out, option);
        return;
    }
    buffer_append_bytes(out, name);
    buffer_append_char(out, '=');
    buffer_append_text(out, mask);
}

void config_append_masked(struct buffer *out, const char *value)
{
    const char *authority = strstr(value, "://");
    const char *at, *colon, *options;

    if (!authority) {
        buffer_append_text(out, *value ? mask : "");
        return;
    }
    authority += 3;
    buffer_append(out, value, (size_t)(authority - value));
    at = strrchr(authority, '@');
    colon = at ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
    if (colon) {
        buffer_append(out, authority, (size_t)(colon + 1 - authority));
        buffer_append_text(out, mask);
        authority = at;
    }
    options = strchr(authority, '?');
    if (!options) {
        buffer_append_text(out, authority);
        return;
    }
    buffer_append(out, authority, (size_t)(options - authority));
    do {
        size_t length;

        buffer_append_char(out, *options++);
        length = strcspn(options, "&;");
        append_option(out, bytes_make(options, length));
        options += length;
    } while (*options);
}

static void append_value(struct buffer *value, const struct config_key *key, const void *settings)
{
    if (key->secret && config_value_is_text(key)) {
        const char *text = *(char *const *)((const char *)settings + key->offset);

        config_append_masked(value, text ? text : "");
    } else {
        config_value_append(value, key, settings);
    }
    buffer_append_char(value, '\0');
}

void config_describe(const struct config_program *program, const void *settings, config_visit *visit,
                     void *argument)
{
    char **origins = program->origins ? *origins_of(program, settings) : NULL;
    struct buffer name = {0}, value = {0};

    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];
        bool absent = config_value_is_text(key) && !*(char *const *)((const char *)settings + key->offset);

        if (key->type == CONFIG_KEY_SWITCH)
            continue;
        buffer_clear(&name);
        buffer_clear(&value);
        buffer_printf(&name, "%s%s%s%c", key->section ? key->section : "", key->section ? "." : "", key->name,
                      '\0');
        append_value(&value, key, settings);
        visit(argument, name.data, absent ? NULL : value.data,
              config_origin_text(origins ? origins[i] : NULL));
    }
    buffer_done(&name);
    buffer_done(&value);
}
