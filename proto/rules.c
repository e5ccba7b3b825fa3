/*
 * Event rules and namespaces; see rules.h.  Owns the compiled form of what an operator
 * wrote; gateway and router load it at their start and look events up in it for each
 * message.  Surprising: nothing is corrected or guessed; the two processes compare digests
 * instead, so a rule means the same in both or the link between them says so.
 */
#include "proto/rules.h"

#include "common/config.h"
#include "common/hash.h"
#include "common/memory.h"
#include "proto/socketio.h"

#include <stdlib.h>

/* Fixed, so that digests agree between processes: not a secret. */
#define DIGEST_KEY0 0x6875626275622d72U
#define DIGEST_KEY1 0x756c65732d313031U

static const struct bytes deliver_texts[] = {
#define X(name, key) [RULE_DELIVER_##name] = {key, sizeof key - 1},
    RULE_DELIVER_TABLE(X)
#undef X
};

#define X(name, key) key " "
static const char deliver_choices[] = RULE_DELIVER_TABLE(X);
#undef X

static const struct bytes builtin_events[] = {BYTES("join"), BYTES("leave"), BYTES("history"),
                                              BYTES("presence")};

void rules_done(struct rule_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free((char *)set->rules[i].name.data);
        free(set->rules[i].origin);
    }
    free(set->rules);
    *set = (struct rule_set){0};
}

const struct event_rule *rules_find(const struct rule_set *set, struct bytes name)
{
    for (size_t i = 0; i < set->count; i++)
        if (bytes_equal(set->rules[i].name, name))
            return &set->rules[i];
    return NULL;
}

/* A path that may be absent. */
static int parse_path(const char *key, const char *text, struct json_path *out, struct buffer *error)
{
    if (!text || json_path_parse(bytes_from_text(text), out) == 0)
        return 0;
    buffer_printf(
        error,
        "%s = \"%s\" is not a path, expected $ or $N for an argument, then up to %d .key of letters, "
        "digits, _ and -",
        key, text, JSON_PATH_STEPS_MAX);
    return ERROR_CONFIG;
}

/* The greatest number of an argument that its paths name. */
static unsigned last_argument(const struct event_rule *rule)
{
    unsigned last = 0;

    for (size_t i = 0; i < RULE_PATHS; i++)
        if (rule->paths[i].argument > last)
            last = rule->paths[i].argument;
    return last;
}

static int compile_arguments(int wanted, struct event_rule *rule, struct buffer *error)
{
    unsigned least = last_argument(rule);

    if (wanted == 0)
        return 0;
    if (wanted < 0 || wanted > RULE_ARGUMENTS_MAX || (unsigned)wanted < least) {
        buffer_printf(error, "arguments = %d, expected %u to %d, so that its paths can name them", wanted,
                      least ? least : 1, RULE_ARGUMENTS_MAX);
        return ERROR_CONFIG;
    }
    rule->arguments = (unsigned)wanted;
    return 0;
}

static int compile_name(const struct rule_set *set, const struct event_rule_source *source,
                        struct event_rule *rule, struct buffer *error)
{
    if (!source->name) {
        buffer_append_text(error, "an event has no name, expected name = \"...\"");
        return ERROR_CONFIG;
    }
    rule->name = bytes_from_text(source->name);
    if (!name_valid(rule->name, SOCKETIO_NAME_MAX)) {
        buffer_printf(error,
                      "the event name is bad, expected 1 to %d bytes of UTF-8 without control characters",
                      SOCKETIO_NAME_MAX);
        return ERROR_CONFIG;
    }
    if (socketio_name_reserved(rule->name) || bytes_starts_with(rule->name, BYTES("hubbub:"))) {
        buffer_printf(error, "the event name \"%s\" is reserved, expected one of the application's own",
                      source->name);
        return ERROR_CONFIG;
    }
    if (rules_find(set, rule->name)) {
        buffer_printf(error, "the event \"%s\" stands here twice, expected one rule for each", source->name);
        return ERROR_CONFIG;
    }
    return 0;
}

static int compile_deliver(const struct event_rule_source *source, struct event_rule *rule,
                           struct buffer *error)
{
    struct bytes deliver = bytes_from_text(source->deliver ? source->deliver : "room");
    size_t choice = 0;

    while (choice < sizeof deliver_texts / sizeof *deliver_texts &&
           !bytes_equal(deliver, deliver_texts[choice]))
        choice++;
    if (choice == sizeof deliver_texts / sizeof *deliver_texts) {
        buffer_printf(error, "deliver = \"%s\" is unknown, expected one of: %.*s", source->deliver,
                      (int)sizeof deliver_choices - 2, deliver_choices);
        return ERROR_CONFIG;
    }
    rule->deliver = (enum rule_deliver)choice;
    return 0;
}

static int compile_class(const struct event_rule_source *source, struct event_rule *rule,
                         struct buffer *error)
{
    if (source->archive && source->is_volatile) {
        buffer_printf(error, "the event \"%s\" has archive and volatile, expected one of them at most",
                      source->name);
        return ERROR_CONFIG;
    }
    if (source->is_volatile)
        rule->class = RULE_VOLATILE;
    if (source->archive)
        rule->class = RULE_ARCHIVED;
    return 0;
}

/* Checks a source and compiles it; at tells which key is at fault. */
static int compile(const struct rule_set *set, const struct event_rule_source *source, struct event_rule *out,
                   struct buffer *error, const char **at)
{
    struct event_rule rule = {.meta = source->meta, .ask = source->ask, .class = RULE_LOGGED};

    *at = "name";
    if (compile_name(set, source, &rule, error))
        return ERROR_CONFIG;
    *at = "room";
    if (parse_path("room", source->room, &rule.paths[RULE_PATH_ROOM], error))
        return ERROR_CONFIG;
    *at = "dedup";
    if (parse_path("dedup", source->dedup, &rule.paths[RULE_PATH_DEDUP], error))
        return ERROR_CONFIG;
    *at = "arguments";
    if (compile_arguments(source->arguments, &rule, error))
        return ERROR_CONFIG;
    *at = "deliver";
    if (compile_deliver(source, &rule, error))
        return ERROR_CONFIG;
    *at = "volatile";
    if (compile_class(source, &rule, error))
        return ERROR_CONFIG;

    /* And what does not go together. */
    *at = "dedup";
    if (source->dedup && rule.class == RULE_VOLATILE) {
        buffer_printf(error,
                      "the event \"%s\" has dedup and volatile, expected no dedup for what is never written",
                      source->name);
        return ERROR_CONFIG;
    }
    *at = "deliver";
    if (!source->room && (rule.class == RULE_ARCHIVED || rule.deliver == RULE_DELIVER_ROOM ||
                          rule.deliver == RULE_DELIVER_OTHERS)) {
        buffer_printf(error,
                      "the event \"%s\" has no room, expected room = \"$...\" to deliver to it or to archive",
                      source->name);
        return ERROR_CONFIG;
    }
    *at = "name";
    if (set->count == RULES_MAX) {
        buffer_printf(error, "too many events, expected at most %d in a namespace", RULES_MAX);
        return ERROR_CONFIG;
    }
    *out = rule;
    return 0;
}

static void add(struct rule_set *set, struct event_rule rule)
{
    rule.name.data = memory_text(rule.name.data, rule.name.length);
    set->rules = memory_resize(set->rules, (set->count + 1) * sizeof *set->rules);
    set->rules[set->count++] = rule;
}

int rules_add(struct rule_set *set, const struct event_rule_source *source, struct buffer *error)
{
    struct event_rule rule;
    const char *at;

    if (compile(set, source, &rule, error, &at))
        return ERROR_CONFIG;
    add(set, rule);
    return 0;
}

/* The two rules that hold when nothing is configured. */
static void add_defaults(struct rule_set *set)
{
    static const struct event_rule_source defaults[] = {
        {.name = "msg", .room = "$.room", .deliver = "room", .archive = true, .dedup = "$.id", .meta = true},
        {.name = "typing", .room = "$.room", .deliver = "others", .is_volatile = true, .meta = true},
    };

    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        struct buffer error = {0};

        if (rules_add(set, &defaults[i], &error))
            abort();
    }
}

/* A key of a group in the configuration, and where its value goes. */
struct key {
    const char *name;
    int type; /* CONFIG_TYPE_STRING, _BOOL, _INT or _LIST: the setting itself */
    size_t offset;
};

static const struct key event_keys[] = {
    {"name", CONFIG_TYPE_STRING, offsetof(struct event_rule_source, name)},
    {"room", CONFIG_TYPE_STRING, offsetof(struct event_rule_source, room)},
    {"dedup", CONFIG_TYPE_STRING, offsetof(struct event_rule_source, dedup)},
    {"deliver", CONFIG_TYPE_STRING, offsetof(struct event_rule_source, deliver)},
    {"archive", CONFIG_TYPE_BOOL, offsetof(struct event_rule_source, archive)},
    {"volatile", CONFIG_TYPE_BOOL, offsetof(struct event_rule_source, is_volatile)},
    {"meta", CONFIG_TYPE_BOOL, offsetof(struct event_rule_source, meta)},
    {"ask", CONFIG_TYPE_BOOL, offsetof(struct event_rule_source, ask)},
    {"arguments", CONFIG_TYPE_INT, offsetof(struct event_rule_source, arguments)},
};

/* A namespace as the configuration has it. */
struct namespace_source {
    const char *name;
    const char *pattern;
    bool builtin;
    bool recovery;
    bool backend;
    bool tokens_required;
    const config_setting_t *events;
};

static const struct key namespace_keys[] = {
    {"name", CONFIG_TYPE_STRING, offsetof(struct namespace_source, name)},
    {"pattern", CONFIG_TYPE_STRING, offsetof(struct namespace_source, pattern)},
    {"builtin", CONFIG_TYPE_BOOL, offsetof(struct namespace_source, builtin)},
    {"recovery", CONFIG_TYPE_BOOL, offsetof(struct namespace_source, recovery)},
    {"backend", CONFIG_TYPE_BOOL, offsetof(struct namespace_source, backend)},
    {"tokens_required", CONFIG_TYPE_BOOL, offsetof(struct namespace_source, tokens_required)},
    {"events", CONFIG_TYPE_LIST, offsetof(struct namespace_source, events)},
};

static const char *type_text(int type)
{
    switch (type) {
    case CONFIG_TYPE_STRING:
        return "a text in quotes";
    case CONFIG_TYPE_BOOL:
        return "true or false";
    case CONFIG_TYPE_INT:
        return "a whole number";
    default:
        return "a list: ( { ... }, ... )";
    }
}

static int read_group(const config_setting_t *group, const char *what, const struct key *keys, size_t count,
                      void *out, struct buffer *error)
{
    if (!config_setting_is_group(group)) {
        config_complain(error, group, "this is no %s, expected { name = \"...\"; ... }", what);
        return ERROR_CONFIG;
    }
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);
        const char *name = config_setting_name(setting);
        const struct key *key = keys;
        char *field;

        while (key < keys + count && strcmp(key->name, name) != 0)
            key++;
        if (key == keys + count) {
            struct buffer names = {0};

            for (size_t k = 0; k < count; k++)
                buffer_printf(&names, "%s%s", k ? " " : "", keys[k].name);
            config_complain(error, setting, "unknown key \"%s\" of a %s, expected one of: %.*s", name, what,
                            BYTES_PRINTF(buffer_bytes(&names)));
            buffer_done(&names);
            return ERROR_CONFIG;
        }
        if (config_setting_type(setting) != key->type) {
            config_complain(error, setting, "%s has a value of the wrong type, expected %s", name,
                            type_text(key->type));
            return ERROR_CONFIG;
        }
        field = (char *)out + key->offset;
        if (key->type == CONFIG_TYPE_STRING)
            *(const char **)field = config_setting_get_string(setting);
        else if (key->type == CONFIG_TYPE_BOOL)
            *(bool *)field = config_setting_get_bool(setting) != 0;
        else if (key->type == CONFIG_TYPE_INT)
            *(int *)field = config_setting_get_int(setting);
        else
            *(const config_setting_t **)field = setting;
    }
    return 0;
}

static int load_event(const config_setting_t *group, bool builtin, struct rule_set *set, struct buffer *error)
{
    struct event_rule_source source = {.meta = true};
    struct buffer reason = {0};
    const config_setting_t *culprit;
    struct event_rule rule;
    const char *at;

    if (read_group(group, "rule of an event", event_keys, sizeof event_keys / sizeof *event_keys, &source,
                   error))
        return ERROR_CONFIG;
    if (compile(set, &source, &rule, &reason, &at)) {
        culprit = config_setting_get_member(group, at);
        config_complain(error, culprit ? culprit : group, "%.*s", BYTES_PRINTF(buffer_bytes(&reason)));
        buffer_done(&reason);
        return ERROR_CONFIG;
    }
    for (size_t i = 0; builtin && i < sizeof builtin_events / sizeof *builtin_events; i++)
        if (bytes_equal(rule.name, builtin_events[i])) {
            config_complain(
                error, config_setting_get_member(group, "name"),
                "the event \"%s\" is handled by the broker itself, expected another name, or builtin = "
                "false in a namespace",
                source.name);
            return ERROR_CONFIG;
        }
    rule.origin = config_place(group);
    add(set, rule);
    return 0;
}

/* events NULL: the default. */
static int load_events(const config_setting_t *events, bool builtin, struct rule_set *out,
                       struct buffer *error)
{
    struct rule_set set = {0};

    if (!events) {
        if (builtin)
            add_defaults(out);
        return 0;
    }
    for (int i = 0; i < config_setting_length(events); i++)
        if (load_event(config_setting_get_elem(events, (unsigned)i), builtin, &set, error)) {
            rules_done(&set);
            return ERROR_CONFIG;
        }
    *out = set;
    return 0;
}

/* Whether there is something that only a backend can do. */
static bool needs_backend(bool builtin, const struct rule_set *rules)
{
    if (!builtin && rules->count == 0)
        return true;
    for (size_t i = 0; i < rules->count; i++)
        if (rules->rules[i].ask)
            return true;
    return false;
}

static void add_namespace(struct namespace_list *list, const struct namespace_source *source,
                          struct rule_set rules)
{
    const char *name = source->name ? source->name : source->pattern;
    size_t length = strlen(name);

    list->namespaces = memory_resize(list->namespaces, (list->count + 1) * sizeof *list->namespaces);
    list->namespaces[list->count++] = (struct namespace_config){
        .entry = bytes_make(memory_text(name, length), length),
        .is_pattern = !source->name,
        .builtin = source->builtin,
        .recovery = source->recovery,
        .backend = source->backend || needs_backend(source->builtin, &rules),
        .rules = rules,
    };
}

static const struct namespace_config *find_entry(const struct namespace_list *list, struct bytes name)
{
    for (size_t i = 0; i < list->count; i++)
        if (bytes_equal(list->namespaces[i].entry, name))
            return &list->namespaces[i];
    return NULL;
}

static int check_namespace_name(const config_setting_t *group, const struct namespace_source *source,
                                const struct namespace_list *list, struct buffer *error)
{
    const config_setting_t *setting = config_setting_get_member(group, source->name ? "name" : "pattern");
    struct bytes name = bytes_from_text(source->name ? source->name : source->pattern);

    if (!setting || (source->name && source->pattern)) {
        config_complain(error, group, "a namespace has %s, expected name = \"/...\" or pattern = \"/...*\"",
                        setting ? "both name and pattern" : "no name");
        return ERROR_CONFIG;
    }
    if (source->pattern ? !namespace_pattern_valid(name) : !namespace_name_valid(name)) {
        config_complain(error, setting,
                        "the namespace's %s is bad, expected / and up to %d more bytes of UTF-8 without "
                        "control characters and commas%s",
                        source->pattern ? "pattern" : "name", SOCKETIO_NAMESPACE_MAX - 1,
                        source->pattern ? ", with at least one * and no two of them side by side" : "");
        return ERROR_CONFIG;
    }
    if (source->name && strchr(source->name, '*')) {
        config_complain(error, setting,
                        "the namespace's name has a *, expected pattern = \"%s\" for all like it",
                        source->name);
        return ERROR_CONFIG;
    }
    if (find_entry(list, name)) {
        config_complain(error, setting, "the namespace \"%.*s\" stands here twice, expected each once",
                        BYTES_PRINTF(name));
        return ERROR_CONFIG;
    }
    return 0;
}

static int load_namespace(const config_setting_t *group, struct namespace_list *list, struct buffer *error)
{
    struct namespace_source source = {.builtin = true, .recovery = true};
    struct rule_set rules = {0};

    if (read_group(group, "namespace", namespace_keys, sizeof namespace_keys / sizeof *namespace_keys,
                   &source, error) ||
        check_namespace_name(group, &source, list, error) ||
        load_events(source.events, source.builtin, &rules, error))
        return ERROR_CONFIG;
    add_namespace(list, &source, rules);
    list->namespaces[list->count - 1].origin = config_place(group);
    if (config_setting_get_member(group, "tokens_required"))
        list->namespaces[list->count - 1].tokens =
            source.tokens_required ? NAMESPACE_TOKENS_REQUIRED : NAMESPACE_TOKENS_OPTIONAL;
    return 0;
}

static int load_namespaces(const config_setting_t *namespaces, struct namespace_list *list,
                           struct buffer *error)
{
    int count = config_setting_length(namespaces);

    if (!config_setting_is_list(namespaces) || count == 0 || count > NAMESPACES_MAX) {
        config_complain(error, namespaces, "namespaces is bad, expected a list of 1 to %d: ( { ... }, ... )",
                        NAMESPACES_MAX);
        return ERROR_CONFIG;
    }
    for (int i = 0; i < count; i++)
        if (load_namespace(config_setting_get_elem(namespaces, (unsigned)i), list, error))
            return ERROR_CONFIG;
    return 0;
}

int namespaces_load(const config_t *config, struct namespace_list *out, struct buffer *error)
{
    const config_setting_t *namespaces = config_lookup(config, "namespaces");
    const config_setting_t *events = config_lookup(config, "events");
    struct namespace_list list = {0};
    int code = 0;

    if (namespaces && events) {
        config_complain(error, events,
                        "events stands beside namespaces, expected it in the namespace that it is for");
        return ERROR_CONFIG;
    }
    if (events && !config_setting_is_list(events)) {
        config_complain(error, events, "events has a value of the wrong type, expected %s",
                        type_text(CONFIG_TYPE_LIST));
        return ERROR_CONFIG;
    }
    if (namespaces) {
        code = load_namespaces(namespaces, &list, error);
    } else {
        struct namespace_source main_namespace = {.name = "/", .builtin = true, .recovery = true};
        struct rule_set rules = {0};

        code = load_events(events, true, &rules, error);
        if (!code)
            add_namespace(&list, &main_namespace, rules);
    }
    if (code) {
        namespaces_done(&list);
        return code;
    }
    *out = list;
    return 0;
}

void namespaces_done(struct namespace_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free((char *)list->namespaces[i].entry.data);
        free(list->namespaces[i].origin);
        rules_done(&list->namespaces[i].rules);
    }
    free(list->namespaces);
    *list = (struct namespace_list){0};
}

const struct namespace_config *namespaces_find(const struct namespace_list *list, struct bytes name)
{
    const struct namespace_config *found = find_entry(list, name);

    if (found && !found->is_pattern)
        return found;
    for (size_t i = 0; i < list->count; i++)
        if (list->namespaces[i].is_pattern && namespace_pattern_matches(list->namespaces[i].entry, name))
            return &list->namespaces[i];
    return NULL;
}

/* Texts go with their lengths in front, so that no two configurations write the same bytes. */
static void digest_text(struct buffer *out, struct bytes text)
{
    buffer_append_u64(out, text.length);
    buffer_append_char(out, ':');
    buffer_append_bytes(out, text);
}

uint64_t namespaces_digest(const struct namespace_list *list)
{
    struct buffer text = {0};
    uint64_t digest;

    for (size_t i = 0; i < list->count; i++) {
        const struct namespace_config *namespace = &list->namespaces[i];

        if (namespace->is_pattern)
            buffer_append_literal(&text, "pattern ");
        digest_text(&text, namespace->entry);
        if (namespace->backend)
            buffer_append_literal(&text, "backend ");
        if (namespace->tokens != NAMESPACE_TOKENS_DEFAULT)
            buffer_printf(&text, "tokens %d ", namespace->tokens == NAMESPACE_TOKENS_REQUIRED);
        buffer_printf(&text, "%d%d %zu ", namespace->builtin, namespace->recovery, namespace->rules.count);
        for (size_t r = 0; r < namespace->rules.count; r++) {
            const struct event_rule *rule = &namespace->rules.rules[r];

            digest_text(&text, rule->name);
            for (size_t p = 0; p < RULE_PATHS; p++) {
                char path[JSON_PATH_TEXT_MAX];

                digest_text(&text, bytes_make(path, json_path_text(&rule->paths[p], path)));
            }
            buffer_printf(&text, "%d%d%d ", rule->deliver, rule->class, rule->meta);
            if (rule->ask)
                buffer_append_literal(&text, "ask ");
            if (rule->arguments)
                buffer_printf(&text, "arguments %u ", rule->arguments);
        }
    }
    digest = hash_bytes_keyed(buffer_bytes(&text), DIGEST_KEY0, DIGEST_KEY1);
    buffer_done(&text);
    return digest;
}
