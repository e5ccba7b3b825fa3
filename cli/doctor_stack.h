/* What `hubbub doctor` asks the router that runs. */
#ifndef HUBBUB_CLI_DOCTOR_STACK_H
#define HUBBUB_CLI_DOCTOR_STACK_H

#include "common/buffer.h"

/*
 * Appends findings on the router behind that stats socket, its gateways and its archive; none runs: one that
 * says so, an error when a gateway runs that needs it.
 *
 * gateway: the process of a gateway on this machine, 0 for none.  endpoint: gateway.router of the file, or NULL.
 */
void doctor_check_stack(struct buffer *out, const char *path, long gateway, const char *endpoint);

#endif
