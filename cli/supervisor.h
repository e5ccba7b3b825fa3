/*
 * Keeps the stack running: one router and its gateways.
 *
 *   ROUTER -> GATEWAYS -> SERVING        the router is ready; all of them are
 *   any of these -> STOP_GATEWAYS        a signal, or a program that can't be started
 *   STOP_GATEWAYS -> STOP_ROUTER -> end  the gateways are gone; the router is
 *
 * A process that dies is started again, except: one that exits with the code for
 * usage or configuration, and one that fails (EXIT_RUNTIME) before the stack has
 * served, ends the stack with that code.
 */
#ifndef HUBBUB_CLI_SUPERVISOR_H
#define HUBBUB_CLI_SUPERVISOR_H

#include "cli/child.h"

enum { SUPERVISOR_STOP_SECONDS = 10 }; /* for the router until it is killed; gateways have gateway_patience */

struct supervisor_plan {
    struct child *router; /* name, argv and info set, the rest zero; the supervisor's while it runs */
    struct child *gateways;
    unsigned gateway_count;
    unsigned gateway_patience;  /* seconds for the gateways to drain, until they are killed */
    void (*serving)(void *arg); /* when all are ready for the first time */
    void *arg;
};

/*
 * Runs until a signal asks it to stop: SIGINT or SIGTERM ends gateways, then the
 * router; a second one kills them.  SIGHUP does the same when the terminal was closed; else the processes read
 * their configuration again.  Returns the exit code.
 */
int supervisor_run(const struct supervisor_plan *plan);

#endif
