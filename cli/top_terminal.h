/* The terminal of the live view: taken with ncurses, and given back as it was. */
#ifndef HUBBUB_CLI_TOP_TERMINAL_H
#define HUBBUB_CLI_TOP_TERMINAL_H

#include "common/error.h"

/* Takes standard input and output; the locale is set for it.  0, or ERROR_SYSTEM after saying why. */
int top_terminal_open(void) MUST_CHECK;

void top_terminal_close(void);

#endif
