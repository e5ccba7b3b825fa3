/*
 * When connections are read, and what came too early.
 *
 * A connection is read unless it is paused (it has asked the router for too much: connections_resume() lets
 * it go on), or stopped (its protocol waits for something).  What has come already and can't be used yet is
 * held, and becomes input before anything else is read.
 */
#ifndef HUBBUB_GATEWAY_CONNECTION_READING_H
#define HUBBUB_GATEWAY_CONNECTION_READING_H

#include "common/bytes.h"

#include <stddef.h>
#include <stdint.h>

struct connection;
struct gateway;

struct connection_reading {
    struct connection **paused; /* NULL for one that is no more */
    uint32_t paused_count, paused_capacity;
    uint64_t *awake; /* numbers of those whose held input is looked at in the next turn */
    uint32_t awake_count, awake_capacity;
    char *buffer; /* one for the process */
};

void connection_reading_init(struct connection_reading *reading);
void connection_reading_done(struct connection_reading *reading);

/* Its descriptor has something, or its end: input, or connection_drop(). */
void connection_read(struct gateway *gateway, struct connection *connection);

/* Bytes came from its descriptor, perhaps secured: they become its input. */
void connection_receive(struct gateway *gateway, struct connection *connection, char *data, size_t length);

/* Stops reading from it until connections_resume() finds that its requests are answered. */
void connection_pause(struct gateway *gateway, struct connection *connection);
void connections_resume(struct gateway *gateway);

/* For the end of a connection that is paused: it is no more. */
void connection_unpause(struct gateway *gateway, struct connection *connection);

/* Does not read from it, and then does; bytes held meanwhile become input in the next turn. */
void connection_stop_reading(struct gateway *gateway, struct connection *connection);
void connection_start_reading(struct gateway *gateway, struct connection *connection);

/* What is held becomes input again, early in the next turn. */
void connection_wake(struct gateway *gateway, struct connection *connection);
void connections_wake(struct gateway *gateway);

/* Keeps a copy of bytes for later; nothing may be held yet.  The protocol takes them back with
   connection_unhold() (they are the caller's then), or gets them as input when reading goes on. */
void connection_hold(struct connection *connection, const char *data, size_t length);
struct buffer connection_unhold(struct connection *connection);

#endif
