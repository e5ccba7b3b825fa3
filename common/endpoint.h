/* ZeroMQ endpoints, as far as it matters who can reach them. */
#ifndef HUBBUB_COMMON_ENDPOINT_H
#define HUBBUB_COMMON_ENDPOINT_H

#include <stdbool.h>

/* Whether what passes there stays on this machine: ipc, and tcp on loopback addresses.  Names other than
 * localhost are not looked up, and are somewhere else.  Of "tcp://source;destination" the destination counts. */
bool endpoint_is_local(const char *endpoint);

#endif
