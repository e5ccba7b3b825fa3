/* What programs send as an event's arguments: checked here, as a client's are by its gateway. */
#ifndef HUBBUB_ROUTER_ARGUMENTS_H
#define HUBBUB_ROUTER_ARGUMENTS_H

#include "common/bytes.h"
#include "common/error.h"

/*
 * arguments: JSON texts joined by commas, or nothing; attachments: a BLOBS field.
 *   0
 *   ERROR_MALFORMED  no UTF-8, no JSON, no list of attachments, or a placeholder that names none of them
 *   ERROR_TOO_DEEP   nested deeper than JSON_DEPTH_MAX, the packet's own array counted
 *   ERROR_TOO_LARGE  more than SOCKETIO_ATTACHMENTS_MAX attachments
 */
int arguments_check(struct bytes arguments, struct bytes attachments) MUST_CHECK;

#endif
