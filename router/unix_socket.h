/* Paths of Unix stream sockets: whether someone listens there, and taking over one that a dead process left.
 */
#ifndef HUBBUB_ROUTER_UNIX_SOCKET_H
#define HUBBUB_ROUTER_UNIX_SOCKET_H

#include "common/error.h"

#include <stdbool.h>

/* Whether a process accepts connections at that path. */
bool unix_socket_answers(const char *path);

/*
 * Listens at the path, mode 0600, not blocking; a socket file that nobody answers at is replaced.  The caller
 * closes the descriptor and removes the path.  ERROR_LOCKED when someone answers; ERROR_TOO_LARGE
 * for a path beyond the system's limit; ERROR_EXISTS when something else has the name; ERROR_SYSTEM.
 */
int unix_socket_listen(const char *path, int backlog, int *fd) MUST_CHECK;

#endif
