/*
 * What `hubbub run` needs from the machine before it starts anything: the data
 * folder for itself, its sibling programs, free ports.
 *
 * Each function that fails has said so in one line on standard error.
 */
#ifndef HUBBUB_CLI_PLACES_H
#define HUBBUB_CLI_PLACES_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdint.h>

/*
 * Creates the folder if it is missing (only the last part of the path; mode 0700),
 * and locks its file `lock` with our process id in it, until the descriptor is
 * closed.  absolute: free() it.  0, ERROR_LOCKED, or ERROR_SYSTEM.
 */
int places_take_folder(const char *path, char **absolute, int *lock_fd) MUST_CHECK;

/* The path of a file that need not exist, in a folder that must; free() it.  0 or ERROR_SYSTEM. */
int places_absolute(const char *path, char **absolute) MUST_CHECK;

/*
 * Where that program ("router" for hubbub-router) is: beside us in a build tree, beside
 * us where we are installed, or else its bare name, for PATH.  Never NULL; free() it.
 */
char *places_find_program(const char *part);

/*
 * Binds the port as a gateway will, but without sharing it, and lets it go again.
 * host: an address, or "" for all of IPv6 and IPv4.  0; ERROR_LOCKED when another
 * program has it; ERROR_SYSTEM.  Says nothing, but appends what is wrong to error.
 */
int places_try_port(const char *host, uint16_t port, struct buffer *error) MUST_CHECK;

/* The same, said on standard error. */
int places_probe_port(const char *host, uint16_t port) MUST_CHECK;

#endif
