/* What `hubbub-router --examine` looks at: its libraries, the journal of its data folder, if there is one,
 * and the archive that it is to have. */
#ifndef HUBBUB_ROUTER_EXAMINE_H
#define HUBBUB_ROUTER_EXAMINE_H

#include "router/settings.h"

/* Appends findings (common/finding.h); blocks for as long as MongoDB may take to answer, a few times. */
void router_examine(const struct router_settings *settings, struct buffer *out);

#endif
