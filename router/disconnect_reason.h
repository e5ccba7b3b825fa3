/* Why sockets end, in the words of Socket.IO's server. */
#ifndef HUBBUB_ROUTER_DISCONNECT_REASON_H
#define HUBBUB_ROUTER_DISCONNECT_REASON_H

#include "common/bytes.h"

/* For a gateway's reason (docs/protocol.md, section 1, "How a connection ends"); of one that is not known
   "transport close".  Static. */
const char *disconnect_reason(struct bytes gateway);

#endif
