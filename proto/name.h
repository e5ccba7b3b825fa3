/*
 * Names that operators and clients choose: of rooms, of namespaces, and patterns of the latter.
 *
 * In a pattern each '*' stands for one or more characters other than '/' and '?'; everything else stands for
 * itself. So "/orders-*" is "/orders-17", but neither "/orders-" nor "/orders-1/2", and a query
 * ("/orders-17?x=1") is never a part of a name.
 */
#ifndef HUBBUB_PROTO_NAME_H
#define HUBBUB_PROTO_NAME_H

#include "common/bytes.h"
#include "proto/json_value.h"

enum { ROOM_NAME_MAX = 255 };

/* 1 to that many bytes, UTF-8, no control characters (U+0000 to U+001F, U+007F to U+009F). */
bool name_valid(struct bytes name, size_t limit);

/* The same for 1 to ROOM_NAME_MAX bytes. */
bool room_name_valid(struct bytes name);

/* A room's name as a JSON value has it, decoded into space; length 0 when the value is none. */
struct bytes room_name_decode(struct json_value value, char space[ROOM_NAME_MAX]);

/* '/' and up to SOCKETIO_NAMESPACE_MAX - 1 further bytes, as name_valid() wants them, without commas. */
bool namespace_name_valid(struct bytes name);

/* A valid name of a namespace with at least one '*', and no two of them side by side. */
bool namespace_pattern_valid(struct bytes pattern);

/* Whether a valid pattern stands for that name, which may be anything: an invalid one never matches.  Takes
   time in proportion to the product of the lengths at most. */
bool namespace_pattern_matches(struct bytes pattern, struct bytes name);

#endif
