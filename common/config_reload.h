/*
 * Reading a program's configuration again while it runs (SIGHUP): the same options, the same file.
 *
 * All or nothing: config_reload_read() judges everything before anything changes.  Then the program does what
 * else may fail, and at last config_reload_take() puts in force the keys that the table marks as reloadable.
 */
#ifndef HUBBUB_COMMON_CONFIG_RELOAD_H
#define HUBBUB_COMMON_CONFIG_RELOAD_H

#include "common/config.h"

/* What the program was started with: a copy, because secrets are wiped from the original. */
struct config_command {
    int argc;
    char **argv;
};

/* Before config_load(). */
void config_command_init(struct config_command *command, int argc, char **argv);
void config_command_done(struct config_command *command);

/* What a reload came to, in numbers of keys. */
struct config_changes {
    unsigned taken;   /* they are in force */
    unsigned waiting; /* the table does not mark them: they take a restart */
};

/*
 * Reads everything into fresh, which is all zero.  0, or a negative error after appending one line to error,
 * "FILE:LINE: what is wrong"; the program frees fresh in both cases as it does its settings.
 */
int config_reload_read(const struct config_program *program, const struct config_command *command,
                       void *fresh, struct buffer *error) MUST_CHECK;

/*
 * The values of reloadable keys change places between the two, so that freeing fresh frees what was in force
 * before.  changed is called for each key whose value is another one, behind that.
 */
struct config_changes config_reload_take(const struct config_program *program, void *settings, void *fresh,
                                         void (*changed)(const struct config_key *key));

/* For changed: says what becomes of the key, without its value. */
void config_reload_log(const struct config_key *key);

#endif
