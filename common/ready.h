/*
 * How a program tells the supervisor that started it (hubbub run) that it serves.
 *
 * The supervisor hands down the write end of a pipe and names its number in the
 * environment.  The program writes the line "ready" there once, and closes it.
 */
#ifndef HUBBUB_COMMON_READY_H
#define HUBBUB_COMMON_READY_H

#define READY_VARIABLE "HUBBUB_READY_FD"

/* Writes the line and closes the descriptor; the first time only, and nothing at all without the variable. */
void ready_announce(void);

#endif
