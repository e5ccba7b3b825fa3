/*
 * JSON values as BSON, for documents that people read and query; the JSON text stays beside them as what
 * counts.
 *
 * Nothing is interpreted; and since some servers and drivers take a document like {"$date":0} for something
 * else than it is, lists with keys that begin with $ are not expressed at all.  A number that is written as a
 * whole one is an int32 or int64 when it fits, any other the nearest double, as JavaScript reads it.
 */
#ifndef HUBBUB_ROUTER_JSON_BSON_H
#define HUBBUB_ROUTER_JSON_BSON_H

#include "common/buffer.h"
#include "common/error.h"

/* Containers within each other in the list, so that a document which holds it as a field stays within
   MongoDB's 100 levels. */
enum { JSON_BSON_DEPTH_MAX = 98 };

/*
 * Appends one BSON array (specification: bsonspec.org, version 1.1) of the values in a list: JSON values
 * joined by commas, as a message's arguments are.  On failure nothing is appended: ERROR_UNSUPPORTED  BSON
 * can't express it: a key with U+0000 or one that stands twice, a lone surrogate, a number beyond a double
 *   ERROR_TOO_DEEP     more than JSON_BSON_DEPTH_MAX containers within each other
 *   ERROR_TOO_LARGE    the array would be larger than limit bytes (at most 1 GB)
 *   ERROR_UTF8, ERROR_MALFORMED   the list is no such text
 */
int json_bson_append_array(struct buffer *out, struct bytes list, size_t limit) MUST_CHECK;

#endif
