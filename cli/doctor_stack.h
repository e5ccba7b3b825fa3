/* What `hubbub doctor` asks the router that runs. */
#ifndef HUBBUB_CLI_DOCTOR_STACK_H
#define HUBBUB_CLI_DOCTOR_STACK_H

#include "common/buffer.h"

/* Appends findings on the router behind that stats socket, its gateways and its archive; none runs: one that
 * says so. */
void doctor_check_stack(struct buffer *out, const char *path);

#endif
