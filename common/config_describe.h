/* Where the values of a program's configuration come from, and what they are; config.h keeps that for programs
 * with `origins`. */
#ifndef HUBBUB_COMMON_CONFIG_DESCRIBE_H
#define HUBBUB_COMMON_CONFIG_DESCRIBE_H

#include "common/config.h"

/*
 * One key: name as in `gateway.port`, value as one would write it (NULL: a text that is absent), origin
 * "default", "FILE:LINE" or "--option".  All live as long as the call.  Of a secret key's value the password is
 * masked, or everything where it is no URI.
 */
typedef void config_visit(void *argument, const char *name, const char *value, const char *origin);

/* An origin that was kept, for a visit; NULL: the default. */
static inline const char *config_origin_text(const char *origin)
{
    return origin ? origin : "default";
}

/* Visits the keys of the file in the order of the table.  settings: as config_load() left them, or what the
   program made of them since. */
void config_describe(const struct config_program *program, const void *settings, config_visit *visit,
                     void *argument);

/* For config.c: the value of that row is from there now; text is copied, NULL for the default. */
void config_origin_note(const struct config_program *program, const struct config_key *key, void *settings,
                        const char *text);

/* For config_reload.c: the origins of a key's value in two settings change places. */
void config_origins_exchange(const struct config_program *program, const struct config_key *key, void *one,
                             void *other);

/* For config.c: frees what was noted. */
void config_origins_done(const struct config_program *program, void *settings);

/* Appends a value that is a secret, without what nobody is to read: of a URI the password, and what options
   say that are named after such; of anything else all of it. */
void config_append_masked(struct buffer *out, const char *value);

#endif
