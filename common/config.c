/*
 * The table-driven command line and configuration of every program; called once at its start.
 *
 * The surprise: a value of the file is turned into text again and takes the same way as a default or an
 * option (config_value.c), so that one parser decides what is valid everywhere.
 */
#include "common/config.h"

#include "common/config_describe.h"
#include "common/config_file.h"
#include "common/config_value.h"
#include "common/exit_code.h"
#include "common/memory.h"
#include "common/nearest.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_VALUE_MAX = 64, LISTED_NAMES_MAX = 8 };

static bool same_section(const struct config_key *key, const char *section)
{
    return key->section == section || (key->section && section && strcmp(key->section, section) == 0);
}

static void store_defaults(const struct config_program *program, void *settings)
{
    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];

        if (key->fallback && config_value_store(key, key->fallback, settings)) {
            fprintf(stderr, "%s: the default of key %s is not valid\n", program->name, key->name);
            abort();
        }
    }
}

/* A value as an error may show it: short, and without control characters. */
static void append_shown(struct buffer *out, const char *text)
{
    size_t length = strlen(text);

    buffer_append_char(out, '\'');
    for (size_t i = 0; i < length && i < SHOWN_VALUE_MAX; i++)
        buffer_append_char(out, (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i]);
    buffer_append_text(out, length > SHOWN_VALUE_MAX ? "...'" : "'");
}

static void append_value(struct buffer *out, const struct config_key *key, const char *text)
{
    if (key->secret)
        buffer_append_literal(out, "what it is set to");
    else
        append_shown(out, text);
}

static void append_option(struct buffer *out, const char *name)
{
    buffer_append_literal(out, "--");
    for (; *name; name++)
        buffer_append_char(out, *name == '_' ? '-' : *name);
}

static void append_place(struct buffer *out, const config_setting_t *setting)
{
    const char *file = config_setting_source_file(setting);

    if (file)
        buffer_printf(out, "%s:%d: ", file, config_setting_source_line(setting));
}

void config_complain(struct buffer *error, const config_setting_t *setting, const char *format, ...)
{
    char text[1024];
    va_list arguments;

    append_place(error, setting);
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    buffer_append_text(error, text);
}

/* A scalar setting as one would write it on the command line; NULL for a group, list, array or fraction. */
static const char *setting_text(const config_setting_t *setting, char number[static 24])
{
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        snprintf(number, 24, "%lld", config_setting_get_int64(setting));
        return number;
    case CONFIG_TYPE_BOOL:
        return config_setting_get_bool(setting) ? "true" : "false";
    case CONFIG_TYPE_STRING:
        return config_setting_get_string(setting);
    default:
        return NULL;
    }
}

static void note_place(const struct config_program *program, const struct config_key *key,
                       const config_setting_t *setting, void *settings)
{
    struct buffer place = {0};
    const char *file = config_setting_source_file(setting);

    buffer_printf(&place, "%s:%d%c", file ? file : "", config_setting_source_line(setting), '\0');
    config_origin_note(program, key, settings, place.data);
    buffer_done(&place);
}

static void note_option(const struct config_program *program, const struct config_key *key, void *settings)
{
    struct buffer option = {0};

    append_option(&option, key->name);
    buffer_append_char(&option, '\0');
    config_origin_note(program, key, settings, option.data);
    buffer_done(&option);
}

int config_key_load(const struct config_key *key, const config_setting_t *setting, void *settings,
                    struct buffer *error)
{
    char number[24];
    const char *text = setting_text(setting, number);
    bool right_type = config_value_takes(key, config_setting_type(setting));

    if (right_type && config_value_store(key, text, settings) == 0)
        return 0;
    append_place(error, setting);
    buffer_printf(error, "%s%s%s: ", key->section ? key->section : "", key->section ? "." : "", key->name);
    if (right_type)
        append_value(error, key, text);
    else
        buffer_append_literal(error, "a value of this type");
    buffer_append_literal(error, " is not valid; expected ");
    config_value_append_expected(error, key);
    if (config_value_is_text(key) || key->type == CONFIG_KEY_CHOICE)
        buffer_append_literal(error, " (in quotes)");
    return ERROR_CONFIG;
}

static int load_setting(const struct config_program *program, const struct config_key *key,
                        const config_setting_t *setting, void *settings, struct buffer *error)
{
    int result = config_key_load(key, setting, settings, error);

    if (!result)
        note_place(program, key, setting, settings);
    return result;
}

static bool stands_in_files(const struct config_key *key)
{
    return key->type != CONFIG_KEY_SWITCH;
}

static const struct config_key *find_key(const struct config_program *program, const char *section,
                                         const char *name)
{
    for (size_t i = 0; i < program->key_count; i++)
        if (same_section(&program->keys[i], section) && strcmp(program->keys[i].name, name) == 0 &&
            stands_in_files(&program->keys[i]))
            return &program->keys[i];
    return NULL;
}

static bool is_section(const struct config_program *program, const char *name)
{
    for (size_t i = 0; i < program->key_count; i++)
        if (program->keys[i].section && same_section(&program->keys[i], name))
            return true;
    return false;
}

static bool is_other(const struct config_program *program, const char *name)
{
    for (const char *const *other = program->others; other && *other; other++)
        if (strcmp(*other, name) == 0)
            return true;
    return false;
}

/* The names of the file that may stand in a section, or at its top for NULL, one after the other: at counts up
 * from 0, and NULL is the end.  A name may come twice. */
static const char *next_name(const struct config_program *program, const char *section, size_t *at)
{
    while (*at < program->key_count) {
        const struct config_key *key = &program->keys[(*at)++];

        if (!stands_in_files(key))
            continue;
        if (!section)
            return key->section ? key->section : key->name;
        if (same_section(key, section))
            return key->name;
    }
    return section || !program->others ? NULL : program->others[(*at)++ - program->key_count];
}

/* The name that was meant, or all of them when they are few. */
static void append_known_names(struct buffer *error, const struct config_program *program,
                               const char *section, const char *wrong)
{
    struct buffer list = {0};
    struct nearest nearest;
    const char *name, *last = NULL;
    size_t at = 0;
    unsigned count = 0;

    nearest_init(&nearest, wrong);
    while ((name = next_name(program, section, &at))) {
        nearest_offer(&nearest, name);
        if (last && strcmp(last, name) == 0)
            continue;
        buffer_printf(&list, "%s%s", count++ ? ", " : "", name);
        last = name;
    }
    if (nearest_found(&nearest))
        buffer_printf(error, "; did you mean %s?", nearest_found(&nearest));
    else if (count <= LISTED_NAMES_MAX)
        buffer_printf(error, "; expected one of %.*s", BYTES_PRINTF(buffer_bytes(&list)));
    else
        buffer_printf(error, "; %s --help lists those that there are", program->name);
    buffer_done(&list);
}

static int load_section(const struct config_program *program, const config_setting_t *group, void *settings,
                        struct buffer *error)
{
    const char *section = config_setting_name(group);

    if (!config_setting_is_group(group)) {
        config_complain(error, group, "%s is a section; expected %s = { ... };", section, section);
        return ERROR_CONFIG;
    }
    for (unsigned i = 0; i < (unsigned)config_setting_length(group); i++) {
        const config_setting_t *setting = config_setting_get_elem(group, i);
        const char *name = config_setting_name(setting);
        const struct config_key *key = find_key(program, section, name);

        if (key) {
            int result = load_setting(program, key, setting, settings, error);

            if (result)
                return result;
            continue;
        }
        config_complain(error, setting, "unknown key %s.%s", section, name);
        append_known_names(error, program, section, name);
        return ERROR_CONFIG;
    }
    return 0;
}

static int load_file(const struct config_program *program, const config_t *file, void *settings,
                     struct buffer *error)
{
    const config_setting_t *root = config_root_setting(file);

    for (unsigned i = 0; i < (unsigned)config_setting_length(root); i++) {
        const config_setting_t *setting = config_setting_get_elem(root, i);
        const char *name = config_setting_name(setting);
        const struct config_key *key = find_key(program, NULL, name);
        int result = 0;

        if (key) {
            result = load_setting(program, key, setting, settings, error);
        } else if (is_section(program, name)) {
            result = load_section(program, setting, settings, error);
        } else if (!is_other(program, name)) {
            config_complain(error, setting, "unknown section or key %s", name);
            append_known_names(error, program, NULL, name);
            result = ERROR_CONFIG;
        } else if (!config_setting_is_aggregate(setting)) {
            config_complain(error, setting, "%s is no single value; expected %s = { ... }; or ( ... );", name,
                            name);
            result = ERROR_CONFIG;
        }
        if (result)
            return result;
    }
    return 0;
}

/* The command line, walked twice: once for what it is, once to apply the options over the file. */
struct arguments {
    int count;
    char **values;
    int at;
    bool options_ended;
};

struct argument {
    const char *whole; /* as it was written */
    const char *name;  /* after "--"; NULL: no option */
    size_t name_length;
    const char *value; /* after "="; NULL: none */
};

static bool next_argument(struct arguments *arguments, struct argument *out)
{
    const char *text;

    if (arguments->at >= arguments->count)
        return false;
    text = arguments->values[arguments->at++];
    if (!arguments->options_ended && strcmp(text, "--") == 0) {
        arguments->options_ended = true;
        return next_argument(arguments, out);
    }
    *out = (struct argument){.whole = text};
    if (!arguments->options_ended && text[0] == '-' && text[1]) {
        const char *equals = strchr(text, '=');

        out->name = text[1] == '-' ? text + 2 : text;
        out->name_length = equals ? (size_t)(equals - out->name) : strlen(out->name);
        out->value = equals ? equals + 1 : NULL;
    }
    return true;
}

static bool option_is(const struct argument *argument, const char *name)
{
    return bytes_equal_text(bytes_make(argument->name, argument->name_length), name);
}

static const struct config_key *find_option(const struct config_program *program,
                                            const struct argument *argument)
{
    for (size_t i = 0; i < program->key_count; i++) {
        const char *name = program->keys[i].name;
        size_t at = 0;

        while (at < argument->name_length && name[at] &&
               argument->name[at] == (name[at] == '_' ? '-' : name[at]))
            at++;
        if (at == argument->name_length && !name[at])
            return &program->keys[i];
    }
    return NULL;
}

/* The value behind "=", or else the next argument, but for a switch; NULL when there is none. */
static const char *option_value(struct arguments *arguments, const struct argument *argument,
                                const struct config_key *key)
{
    if (key && key->type == CONFIG_KEY_SWITCH)
        return argument->value ? NULL : "true";
    if (argument->value)
        return argument->value;
    return arguments->at < arguments->count ? arguments->values[arguments->at++] : NULL;
}

/* The option that was meant, if it can be guessed. */
static void suggest_option(struct buffer *error, const struct config_program *program,
                           const struct argument *argument)
{
    static const char *const common[] = {"help", "version", "config", "check-config"};
    char name[NEAREST_WORD_MAX + 1];
    struct nearest nearest;

    if (argument->name_length > NEAREST_WORD_MAX)
        return;
    if (argument->name == argument->whole) {
        if (program->positional_maximum)
            buffer_append_literal(error, "; as an argument it stands behind --");
        return;
    }
    memcpy(name, argument->name, argument->name_length);
    name[argument->name_length] = '\0';
    nearest_init(&nearest, name);
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        nearest_offer(&nearest, common[i]);
    for (size_t i = 0; i < program->key_count; i++)
        nearest_offer(&nearest, program->keys[i].name);
    if (nearest_found(&nearest)) {
        buffer_append_literal(error, "; did you mean ");
        append_option(error, nearest_found(&nearest));
        buffer_append_char(error, '?');
    }
}

enum request { REQUEST_RUN, REQUEST_HELP, REQUEST_VERSION, REQUEST_CHECK };

static int read_arguments(const struct config_program *program, struct arguments arguments,
                          struct config_result *result, enum request *request)
{
    struct buffer *error = &result->output;
    struct argument argument;

    while (next_argument(&arguments, &argument)) {
        if (!argument.name) {
            if (result->positional_count == program->positional_maximum) {
                buffer_printf(error, "%s: unexpected argument ", program->name);
                append_shown(error, argument.whole);
                if (argument.whole[0] == '-' && argument.whole[1])
                    buffer_append_literal(error, ": nothing is an option behind --");
                return ERROR_USAGE;
            }
            result->positional[result->positional_count++] = argument.whole;
        } else if (!argument.value && option_is(&argument, "help")) {
            *request = REQUEST_HELP;
            return 0;
        } else if (!argument.value && option_is(&argument, "version")) {
            *request = REQUEST_VERSION;
            return 0;
        } else if (!argument.value && option_is(&argument, "check-config")) {
            *request = REQUEST_CHECK;
        } else if (option_is(&argument, "config") || find_option(program, &argument)) {
            const struct config_key *key = find_option(program, &argument);
            const char *value = option_value(&arguments, &argument, key);

            if (!value) {
                if (argument.value) {
                    buffer_printf(error, "%s: ", program->name);
                    append_option(error, key->name);
                    buffer_append_literal(error, " takes no value");
                } else {
                    buffer_printf(error, "%s: %s needs a value", program->name, argument.whole);
                }
                return ERROR_USAGE;
            }
            if (option_is(&argument, "config"))
                result->file_name = value;
        } else {
            buffer_printf(error, "%s: unknown option ", program->name);
            append_shown(error, argument.whole);
            suggest_option(error, program, &argument);
            return ERROR_USAGE;
        }
    }
    return 0;
}

/* Keeps a text that the program goes on using, and blots out what the system shows of it. */
static void hide(char **argument, size_t from)
{
    char *shown = *argument;

    *argument = memory_text(shown, strlen(shown));
    for (char *at = shown + from; *at; at++)
        *at = 'x';
}

void config_hide_secrets(const struct config_program *program, int argc, char **argv)
{
    struct arguments arguments = {.count = argc, .values = argv, .at = 1};
    struct argument argument;

    while (next_argument(&arguments, &argument)) {
        int own = arguments.at - 1;
        const struct config_key *key = argument.name ? find_option(program, &argument) : NULL;
        const char *value = argument.name ? option_value(&arguments, &argument, key) : NULL;

        if (!key || !key->secret || !value)
            continue;
        if (argument.value)
            hide(&argv[own], (size_t)(argument.value - argv[own]));
        else
            hide(&argv[arguments.at - 1], 0);
    }
}

/* After read_arguments() found nothing wrong: only the values can be. */
static int apply_options(const struct config_program *program, struct arguments arguments, void *settings,
                         struct buffer *error)
{
    struct argument argument;

    while (next_argument(&arguments, &argument)) {
        const struct config_key *key;
        const char *value;

        if (!argument.name || option_is(&argument, "check-config"))
            continue;
        key = find_option(program, &argument);
        value = option_value(&arguments, &argument, key);
        if (!key)
            continue;
        if (config_value_store(key, value, settings) == 0) {
            note_option(program, key, settings);
            continue;
        }
        buffer_printf(error, "%s: ", program->name);
        append_option(error, key->name);
        buffer_append_literal(error, ": ");
        append_value(error, key, value);
        buffer_append_literal(error, " is not valid; expected ");
        config_value_append_expected(error, key);
        return ERROR_USAGE;
    }
    return 0;
}

static void append_help(struct buffer *out, const struct config_program *program)
{
    buffer_printf(out, "%s: %s\n\nUsage: %s [options]%s%s\n\nOptions:\n", program->name, program->summary,
                  program->name, program->positional_help ? " " : "",
                  program->positional_help ? program->positional_help : "");
    buffer_append_literal(out,
                          "  --help\n        show this text\n"
                          "  --version\n        show the version\n"
                          "  --config PATH\n        read this configuration file first; options go over it\n"
                          "  --check-config\n        load everything, say whether it is right, and exit\n");
    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];

        buffer_append_literal(out, "  ");
        append_option(out, key->name);
        if (key->type == CONFIG_KEY_SWITCH) {
            buffer_printf(out, "\n        %s\n", key->help);
            continue;
        }
        buffer_printf(out, " %s\n        %s\n        key %s%s%s, ", config_value_placeholder(key), key->help,
                      key->section ? key->section : "", key->section ? "." : "", key->name);
        config_value_append_expected(out, key);
        if (key->fallback)
            buffer_printf(out, ", default %s\n", *key->fallback ? key->fallback : "empty");
        else
            buffer_append_literal(out, ", no default\n");
    }
    buffer_append_literal(
        out, "\nA DURATION is in milliseconds, or has a unit: ms, s, min, h. A SIZE is in bytes, "
             "or has\na unit: B, KB, MB, GB.\n\nExit codes:\n");
#define X(name, number, text) buffer_append_literal(out, "  " #number "\t" text "\n");
    EXIT_CODE_TABLE(X)
#undef X
}

/* The file and everything after it. */
static int load_values(const struct config_program *program, const struct arguments *arguments,
                       void *settings, struct config_result *result)
{
    struct buffer *error = &result->output;
    config_t file;
    int status = 0;

    config_init(&file);
    store_defaults(program, settings);
    if (result->file_name)
        status = config_file_read(result->file_name, &file, error);
    if (!status)
        status = load_file(program, &file, settings, error);
    if (!status)
        status = apply_options(program, *arguments, settings, error);
    if (!status && program->finish && program->finish(&file, settings, error))
        status = ERROR_CONFIG;
    config_destroy(&file);
    if (status)
        config_settings_done(program, settings);
    return status;
}

static int finish_with(struct config_result *result, int status)
{
    switch (status) {
    case ERROR_USAGE:
        buffer_append_literal(&result->output, " (see --help)");
        result->exit_code = EXIT_USAGE;
        break;
    case ERROR_CONFIG:
        result->exit_code = EXIT_CONFIGURATION;
        break;
    default:
        result->exit_code = EXIT_OK;
    }
    if (status < 0)
        buffer_append_char(&result->output, '\n');
    return status;
}

int config_load(const struct config_program *program, int argc, char **argv, void *settings,
                struct config_result *result)
{
    struct arguments arguments = {.count = argc, .values = argv, .at = 1};
    enum request request = REQUEST_RUN;
    int status;

    assert(program->positional_maximum <= CONFIG_POSITIONAL_MAX);
    *result = (struct config_result){0};
    status = read_arguments(program, arguments, result, &request);
    if (status)
        return finish_with(result, status);
    if (request == REQUEST_HELP) {
        append_help(&result->output, program);
        return finish_with(result, 1);
    }
    if (request == REQUEST_VERSION) {
        buffer_printf(&result->output, "%s %s\n", program->name, HUBBUB_VERSION);
        return finish_with(result, 1);
    }
    status = load_values(program, &arguments, settings, result);
    if (!status && request == REQUEST_CHECK) {
        config_settings_done(program, settings);
        buffer_append_literal(&result->output, "configuration ok\n");
        result->checked = true;
        status = 1;
    }
    return status ? finish_with(result, status) : 0;
}

int config_report(struct config_result *result)
{
    FILE *to = result->exit_code == EXIT_OK ? stdout : stderr;
    int exit_code = result->exit_code;

    if (fwrite(result->output.data, 1, result->output.length, to) != result->output.length || fflush(to))
        exit_code = exit_code == EXIT_OK ? EXIT_RUNTIME : exit_code;
    buffer_done(&result->output);
    return exit_code;
}

void config_settings_done(const struct config_program *program, void *settings)
{
    config_origins_done(program, settings);
    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];

        if (config_value_is_text(key)) {
            char **field = (char **)((char *)settings + key->offset);

            free(*field);
            *field = NULL;
        }
    }
}
