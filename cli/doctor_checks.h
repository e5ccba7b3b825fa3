/*
 * The looks of `hubbub doctor` at the machine.  Each appends findings (common/finding.h) and changes nothing
 * that stays.
 */
#ifndef HUBBUB_CLI_DOCTOR_CHECKS_H
#define HUBBUB_CLI_DOCTOR_CHECKS_H

#include "common/buffer.h"

#include <stdint.h>

/* Whether a gateway may have the port, or has it.  Returns the process of Hubbub's that has it; 0 when there is
 * none, or this user can't see it. */
long doctor_check_port(struct buffer *out, const char *host, uint16_t port);

/* The limit of open files, and of the kernel's queues and tables. */
void doctor_check_limits(struct buffer *out);

/* Whether something keeps the clock right. */
void doctor_check_clock(struct buffer *out);

/*
 * The folder of the journal, or that in which it will be made: its rights, its file system, what is free
 * there, and how long fdatasync takes (a file of some KB is written, and gone at the end).
 */
void doctor_check_folder(struct buffer *out, const char *path);

/* Whether a file with a password is for its owner alone. */
void doctor_check_secret(struct buffer *out, const char *path, const char *secret);

#endif
