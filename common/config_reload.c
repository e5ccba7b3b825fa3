/*
 * A second reading of the configuration; see config_reload.h.  Programs call it for SIGHUP.  Its one surprising
 * rule: all reloadable values change places, also those that are the same, since what else was read with them
 * may point into their texts.
 */
#include "common/config_reload.h"

#include "common/config_describe.h"
#include "common/config_value.h"
#include "common/log.h"
#include "common/memory.h"

#include <stdlib.h>
#include <string.h>

enum { FIELD_MAX = 16 };

void config_command_init(struct config_command *command, int argc, char **argv)
{
    command->argc = argc;
    command->argv = memory_zero((size_t)argc + 1, sizeof *command->argv);
    for (int i = 0; i < argc; i++)
        command->argv[i] = memory_text(argv[i], strlen(argv[i]));
}

void config_command_done(struct config_command *command)
{
    for (int i = 0; i < command->argc; i++) {
        explicit_bzero(command->argv[i], strlen(command->argv[i]));
        free(command->argv[i]);
    }
    free(command->argv);
    *command = (struct config_command){0};
}

int config_reload_read(const struct config_program *program, const struct config_command *command,
                       void *fresh, struct buffer *error)
{
    struct config_command copy;
    struct config_result result;
    struct bytes text;
    int status;

    config_command_init(&copy, command->argc, command->argv);
    status = config_load(program, copy.argc, copy.argv, fresh, &result);
    text = buffer_bytes(&result.output);
    if (status) {
        while (text.length && text.data[text.length - 1] == '\n')
            text.length--;
        buffer_append_bytes(error, text);
    }
    buffer_done(&result.output);
    config_command_done(&copy);
    return status > 0 ? ERROR_CONFIG : status;
}

static bool is_same(const struct config_key *key, const void *one, const void *other)
{
    const char *a = (const char *)one + key->offset, *b = (const char *)other + key->offset;
    const char *text_a, *text_b;

    if (!config_value_is_text(key))
        return memcmp(a, b, key->size) == 0;
    memcpy(&text_a, a, sizeof text_a);
    memcpy(&text_b, b, sizeof text_b);
    return text_a && text_b ? strcmp(text_a, text_b) == 0 : text_a == text_b;
}

static void exchange(const struct config_key *key, void *one, void *other)
{
    char *a = (char *)one + key->offset, *b = (char *)other + key->offset;
    char kept[FIELD_MAX];

    memcpy(kept, a, key->size);
    memcpy(a, b, key->size);
    memcpy(b, kept, key->size);
}

struct config_changes config_reload_take(const struct config_program *program, void *settings, void *fresh,
                                         void (*changed)(const struct config_key *key))
{
    struct config_changes changes = {0};

    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];
        bool same = is_same(key, settings, fresh);

        if (key->reloadable) {
            exchange(key, settings, fresh);
            config_origins_exchange(program, key, settings, fresh);
        }
        if (same)
            continue;
        if (key->reloadable)
            changes.taken++;
        else
            changes.waiting++;
        changed(key);
    }
    return changes;
}

void config_reload_log(const struct config_key *key)
{
    if (key->reloadable)
        log_info("configuration key changed", "key=%s.%s", key->section, key->name);
    else
        log_warn("a changed configuration key takes a restart", "key=%s.%s", key->section, key->name);
}
