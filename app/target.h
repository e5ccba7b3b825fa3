/* Targets that were used up: kept until the end of the turn, so that a second use is an error, then used
 * again. */
#ifndef HUBBUB_APP_TARGET_H
#define HUBBUB_APP_TARGET_H

struct hubbub_app;

/* The end of a turn. */
void targets_sweep(struct hubbub_app *app);

void targets_done(struct hubbub_app *app);

#endif
