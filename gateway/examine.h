/* What `hubbub-gateway --examine` looks at: its libraries. */
#ifndef HUBBUB_GATEWAY_EXAMINE_H
#define HUBBUB_GATEWAY_EXAMINE_H

#include "common/buffer.h"

/* Appends findings (common/finding.h). */
void gateway_examine(struct buffer *out);

#endif
