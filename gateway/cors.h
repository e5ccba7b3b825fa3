/*
 * Cross-origin requests to Engine.IO (the Fetch standard, CORS protocol): which origins a browser lets read
 * the answers.  Whether a page may ask at all is origin.h's.
 */
#ifndef HUBBUB_GATEWAY_CORS_H
#define HUBBUB_GATEWAY_CORS_H

#include "common/buffer.h"

#include <stdbool.h>

struct gateway_settings;
struct http_request;

/* Whether the settings name any origin. */
bool cors_is_on(const struct gateway_settings *settings);

/* Appends the fields of any answer to that request; nothing when CORS is off. */
void cors_append(const struct gateway_settings *settings, const struct http_request *request,
                 struct buffer *out);

/* Appends the further fields of the answer to a preflight (OPTIONS). */
void cors_append_preflight(const struct http_request *request, struct buffer *out);

#endif
