/*
 * The command line and the configuration file of a program, from one table of keys.
 *
 * A row of the table is a key of the file (section.name) and an option at once: key
 * `ping_interval` of section `gateway` is `--ping-interval VALUE`, also written
 * `--ping-interval=VALUE`.  Values come from the row's default, then the file, then
 * the options, and are parsed alike in all three.  The file is libconfig's, with
 * @include (relative to the folder of the main file); numbers beyond 31 bits end in
 * L there.  Every program also has --help, --version, --config FILE, --check-config.
 *
 * Whatever the table does not know is refused: `FILE:LINE: what is wrong, what was
 * expected`.  The first error ends the loading.
 *
 * libconfig's own names start with config_ too; ours are the ones below.
 */
#ifndef HUBBUB_COMMON_CONFIG_H
#define HUBBUB_COMMON_CONFIG_H

#include "common/buffer.h"
#include "common/error.h"

#include <libconfig.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a value may be, and the C type of its field:
 *   BOOL      true or false                                                   bool
 *   INTEGER   decimal digits within minimum..maximum                          any unsigned integer
 *   DURATION  milliseconds, or "25 s": ms s min h                             any unsigned integer, in ms
 *   SIZE      bytes, or "8 KB": B KB MB GB, powers of 1024                    any unsigned integer, in bytes
 *   STRING    text of minimum..maximum bytes, no control characters           char *, owned
 *   PATH      the same, and shown as a path in --help                         char *, owned
 *   CHOICE    one of the texts in choices                                     enum: the index
 *   SWITCH    an option that stands alone and means true; no key of the file  bool
 */
enum config_key_type {
    CONFIG_KEY_BOOL,
    CONFIG_KEY_INTEGER,
    CONFIG_KEY_DURATION,
    CONFIG_KEY_SIZE,
    CONFIG_KEY_STRING,
    CONFIG_KEY_PATH,
    CONFIG_KEY_CHOICE,
    CONFIG_KEY_SWITCH,
};

struct config_key {
    const char *section; /* NULL: at the top of the file */
    const char *name;    /* lower case with _; unique among the program's keys */
    enum config_key_type type;
    size_t offset; /* with size: CONFIG_FIELD() */
    size_t size;
    uint64_t minimum;           /* numbers: the range; texts: the range of the length in bytes */
    uint64_t maximum;           /* 0: what the field can hold; 4095 bytes for a text */
    const char *unit;           /* integers: "connections", or NULL */
    const char *const *choices; /* CHOICE: NULL at the end */
    const char *fallback; /* the default as one would write it; NULL: a text that is absent, a 0 or false */
    bool reloadable;      /* a new value takes effect while the program runs: config_reload.h */
    const char *help;     /* one line, no full stop */
    bool secret;          /* config_describe() shows no more of it than may be read, errors nothing */
};

#define CONFIG_FIELD(settings, field)                                                                        \
    .offset = offsetof(settings, field), .size = sizeof(((settings *)0)->field)

struct config_program {
    const char *name;    /* "hubbub-gateway" */
    const char *summary; /* one line for --help */
    const struct config_key *keys;
    size_t key_count;
    size_t origins; /* offsetof() in the settings of a char **, for config_describe(); 0: it is not kept */
    /* Top-level names of the file that are not in keys but are no mistake: other programs' sections, whose keys are
     * not looked at, and what finish() reads.  Groups or lists.  NULL at the end; NULL for none. */
    const char *const *others;
    /* Arguments that are no options: how many at most, and how --help shows them ("[json]"), or NULL. */
    unsigned positional_maximum;
    const char *positional_help;
    /*
     * After defaults, file and options, and for --check-config too: reads structured settings and checks
     * keys against each other.  file is never NULL (an empty one when there is no --config).  0, or a
     * negative ERROR_* after writing one line without newline to error; config_complain() writes it with
     * file and line.  May be NULL.  What it allocates in settings the program frees itself, however
     * config_load() ended.
     */
    int (*finish)(const config_t *file, void *settings, struct buffer *error);
};

enum { CONFIG_POSITIONAL_MAX = 8 };

struct config_result {
    int exit_code;        /* an enum exit_code, when config_load() did not return 0 */
    struct buffer output; /* what to print then: standard output for exit code 0, else standard error */
    const char *positional[CONFIG_POSITIONAL_MAX]; /* borrowed from argv */
    unsigned positional_count;
    const char *file_name; /* --config, borrowed from argv; NULL: none */
    bool checked;          /* it ended because of --check-config, and all is well */
};

/*
 * settings: the program's struct, all zero.  argv[0] is skipped; argv must outlive the result.
 * 0: go on, and config_settings_done() at the end.  Otherwise no text is left in
 * settings and the program ends with config_report(): 1 after --help, --version or
 * --check-config, ERROR_USAGE for the command line, ERROR_CONFIG for the file.
 */
int config_load(const struct config_program *program, int argc, char **argv, void *settings,
                struct config_result *result) MUST_CHECK;

/*
 * Takes the values of secret keys off the command line, where everyone on the machine can read them (ps): argv
 * points to copies from then on, which stay for good. Before config_load().
 */
void config_hide_secrets(const struct config_program *program, int argc, char **argv);

/* Prints the output, frees it, and returns the exit code: `return config_report(&result);`. */
int config_report(struct config_result *result);

/* Frees the texts that config_load() put there and makes them NULL. */
void config_settings_done(const struct config_program *program, void *settings);

/* Stores one setting of the file, for the loader of a group of keys that has no section of its own (key.section
 * is for its errors then). 0, or ERROR_CONFIG with a complaint. */
int config_key_load(const struct config_key *key, const config_setting_t *setting, void *settings,
                    struct buffer *error) MUST_CHECK;

/* "FILE:LINE" of that setting, as config_describe() shows it; the caller frees it. */
char *config_place(const config_setting_t *setting);

/* Appends "FILE:LINE: " of that setting and the text; for finish() and the loaders it calls. */
void config_complain(struct buffer *error, const config_setting_t *setting, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
