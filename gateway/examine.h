/* What `hubbub-gateway --examine` looks at: its libraries, and how long its certificates last. */
#ifndef HUBBUB_GATEWAY_EXAMINE_H
#define HUBBUB_GATEWAY_EXAMINE_H

#include "gateway/settings.h"

/* Appends findings (common/finding.h). */
void gateway_examine(const struct gateway_settings *settings, struct buffer *out);

#endif
