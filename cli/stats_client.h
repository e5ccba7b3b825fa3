/*
 * The client's side of the router's stats socket, for the commands that ask something.
 *
 * A question is a line, an answer is lines and ends with an empty one (docs/protocol.md, section 4).
 */
#ifndef HUBBUB_CLI_STATS_CLIENT_H
#define HUBBUB_CLI_STATS_CLIENT_H

#include "common/buffer.h"
#include "common/config.h"
#include "common/error.h"

#include <signal.h>
#include <stdbool.h>

/* Where the stats socket is: a command's settings begin with it. */
struct stats_place {
    char *data;
    char *stats; /* never NULL after stats_place_finish() */
};

/* The rows for it in a command's table of keys. */
#define STATS_PLACE_KEYS(settings)                                                                           \
    {.name = "data",                                                                                         \
     .type = CONFIG_KEY_PATH,                                                                                \
     CONFIG_FIELD(settings, place.data),                                                                     \
     .minimum = 1,                                                                                           \
     .help = "the data folder of hubbub run; ./data unless the file has run.data (or router.data, and no "   \
             "section run)"},                                                                                \
    {                                                                                                        \
        .name = "stats", .type = CONFIG_KEY_PATH, CONFIG_FIELD(settings, place.stats), .minimum = 1,         \
        .help = "the stats socket; stats.sock in the data folder unless the file has run.stats (or "         \
                "router.stats, and no section run)"                                                          \
    }

/* A configuration file's sections that such a command passes over. */
extern const char *const stats_place_others[];

/* What a file says of the data folder, or of the stats socket: name is "data" or "stats".  A file without a section
   `run` is for programs that are started by themselves, and the router's key counts.  *out stays when there is
   neither; it belongs to the file. */
void stats_place_lookup(const config_t *file, const char *name, const char **out);

/* For config_program.finish: fills in the path. */
int stats_place_finish(const config_t *file, void *settings, struct buffer *error);

/*
 * Where all that wait here look whether a signal that was caught is to end their waiting, with EINTR.  A process that was
 * stopped and goes on is interrupted, too (signal(7)), and waits again.  NULL, as at the start: nothing ends it.
 */
extern const volatile sig_atomic_t *stats_client_stopped;

/* Whether a call that has just failed with that errno is to be made again. */
bool stats_client_goes_on(int reason);

/* 0 and a connected socket, which the caller closes, or ERROR_SYSTEM with errno. */
int stats_client_connect(const char *path, int *out) MUST_CHECK;

/* Says on standard error, from errno, that nobody answers at that path, or what keeps us from asking. */
void stats_client_complain(const char *path);

/* Why stats_client_send() or stats_client_read() returned that status, with errno; static, or as strerror()'s. */
const char *stats_client_reason(int status);

/* Sends lines.  0 or ERROR_SYSTEM with errno; EINTR when a signal ends it.  0 also when the router has hung up:
   it may have said why. */
int stats_client_send(int fd, struct bytes lines) MUST_CHECK;

/*
 * Reads an answer up to its empty line, which is left out, as is whatever came behind it.  0, ERROR_SYSTEM
 * with errno, or ERROR_CLOSED: what came is in out all the same.
 */
int stats_client_read(int fd, struct buffer *out) MUST_CHECK;

#endif
