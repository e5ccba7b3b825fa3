/* Reading the configuration again while the gateway runs. */
#ifndef HUBBUB_GATEWAY_RELOAD_H
#define HUBBUB_GATEWAY_RELOAD_H

#include "common/config_reload.h"

struct gateway;
struct gateway_settings;

/*
 * Reads the file, and the files that it names, again: what may change takes effect, and what takes a restart is
 * said.  When anything is wrong that is logged, and nothing changes.  settings: those of the gateway.
 */
void gateway_reload(struct gateway *gateway, struct gateway_settings *settings,
                    const struct config_command *command);

#endif
