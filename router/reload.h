/* Reading the configuration again while the router runs. */
#ifndef HUBBUB_ROUTER_RELOAD_H
#define HUBBUB_ROUTER_RELOAD_H

#include "common/config_reload.h"

struct router;
struct router_settings;

/*
 * Reads the file, and the files that it names, again: what may change takes effect, and what takes a restart is
 * said.  When anything is wrong that is logged, and nothing changes.  settings: those of the router.
 */
void router_reload(struct router *router, struct router_settings *settings,
                   const struct config_command *command);

#endif
