/* What `hubbub doctor` lets the router and the gateway programs say about themselves. */
#ifndef HUBBUB_CLI_DOCTOR_PROGRAM_H
#define HUBBUB_CLI_DOCTOR_PROGRAM_H

#include "common/buffer.h"

enum { DOCTOR_OPTIONS_MAX = 8 };

/*
 * Appends the findings of hubbub-PART ("router", "gateway"): with --examine and these options ("--config=FILE";
 * NULL at the end, DOCTOR_OPTIONS_MAX at most), it reads its keys and the files that they name, and looks at what
 * it needs.  Blocks until it is done, a minute at most.
 */
void doctor_examine_program(struct buffer *out, const char *part, const char *const *options);

#endif
