/* The command `session` of the stats socket: what router and gateway know about one session. */
#ifndef HUBBUB_ROUTER_INQUIRY_H
#define HUBBUB_ROUTER_INQUIRY_H

#include "router/stats_command.h"

/* session SID.  What its client told when it connected comes from its gateway, so a moment later; of one that is
   away it is not known any more. */
enum stats_outcome inquiry_start(struct stats_request *request);

#endif
