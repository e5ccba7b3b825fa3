/* What the router's records mean to a backend. */
#ifndef HUBBUB_APP_RECORDS_H
#define HUBBUB_APP_RECORDS_H

#include "app/hubbub.h"
#include "common/buffer.h"
#include "proto/wire.h"

/* An event as its callback gets it. */
struct event_content {
    struct hubbub_event event;
    struct hubbub_blob blobs[HUBBUB_ATTACHMENTS_MAX];
    struct buffer texts;
};

/*
 * Handles the record that the reader stands at.  0, ERROR_MALFORMED, or ERROR_PROTOCOL: the link can't go on;
 * ERROR_CLOSED: the lease is over, and what follows must not be handled.
 */
int records_handle(struct hubbub_app *app, struct wire_reader *reader, unsigned type) MUST_CHECK;

/* Drops the sockets of earlier links that the router has said nothing about on this one. */
void records_drop_ghosts(struct hubbub_app *app);

#endif
