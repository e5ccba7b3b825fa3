/*
 * Event rules and namespaces, shown; see rules_describe.h.  Owns nothing; what answers the command `config`
 * in router and gateway calls it.  Surprising: backend is shown as it works, also where nobody wrote it but
 * a rule needs one.
 */
#include "proto/rules_describe.h"

static const char *const deliver_texts[] = {
#define X(name, key) [RULE_DELIVER_##name] = key,
    RULE_DELIVER_TABLE(X)
#undef X
};

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

static void append_path(struct buffer *out, const char *key, const struct json_path *path)
{
    char text[JSON_PATH_TEXT_MAX];

    if (path->argument)
        buffer_printf(out, "%s=%.*s;", key, (int)json_path_text(path, text), text);
}

static void append_rule(struct buffer *out, const struct event_rule *rule)
{
    append_path(out, "room", &rule->paths[RULE_PATH_ROOM]);
    buffer_printf(out, "deliver=%s;", deliver_texts[rule->deliver]);
    if (rule->class == RULE_ARCHIVED)
        buffer_append_literal(out, "archive=true;");
    if (rule->class == RULE_VOLATILE)
        buffer_append_literal(out, "volatile=true;");
    append_path(out, "dedup", &rule->paths[RULE_PATH_DEDUP]);
    buffer_printf(out, "meta=%s", truth(rule->meta));
    if (rule->ask)
        buffer_append_literal(out, ";ask=true");
    if (rule->arguments)
        buffer_printf(out, ";arguments=%u", rule->arguments);
}

static void append_namespace(struct buffer *out, const struct namespace_config *namespace)
{
    buffer_printf(out, "builtin=%s;recovery=%s;backend=%s", truth(namespace->builtin),
                  truth(namespace->recovery), truth(namespace->backend));
    if (namespace->tokens != NAMESPACE_TOKENS_DEFAULT)
        buffer_printf(out, ";tokens_required=%s", truth(namespace->tokens == NAMESPACE_TOKENS_REQUIRED));
}

void namespaces_describe(const struct namespace_list *list, config_visit *visit, void *argument)
{
    struct buffer name = {0}, value = {0};

    for (size_t i = 0; i < list->count; i++) {
        const struct namespace_config *namespace = &list->namespaces[i];

        buffer_clear(&name);
        buffer_clear(&value);
        buffer_printf(&name, "namespaces[%.*s]%c", BYTES_PRINTF(namespace->entry), '\0');
        append_namespace(&value, namespace);
        buffer_append_char(&value, '\0');
        visit(argument, name.data, value.data, config_origin_text(namespace->origin));
        for (size_t r = 0; r < namespace->rules.count; r++) {
            const struct event_rule *rule = &namespace->rules.rules[r];

            buffer_clear(&name);
            buffer_clear(&value);
            buffer_printf(&name, "namespaces[%.*s].events[%.*s]%c", BYTES_PRINTF(namespace->entry),
                          BYTES_PRINTF(rule->name), '\0');
            append_rule(&value, rule);
            buffer_append_char(&value, '\0');
            visit(argument, name.data, value.data, config_origin_text(rule->origin));
        }
    }
    buffer_done(&name);
    buffer_done(&value);
}
