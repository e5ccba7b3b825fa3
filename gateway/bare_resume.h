/*
 * What a bare client missed: the messages of its room behind the seq in its address (after=), read from the
 * history page by page, and sent before anything that came later.
 *
 * Meanwhile the connection is corked (connection.h): live events wait in its queue.  So each message comes
 * once, in order, and without a gap between the two; or, if some are not sent, {"type":"gap",..} stands in
 * their place.  Not sent is what lies more than BARE_RESUME_MAX messages, or half of the setting
 * outbound_queue, before the newest, or is not in the history any more.
 */
#ifndef HUBBUB_GATEWAY_BARE_RESUME_H
#define HUBBUB_GATEWAY_BARE_RESUME_H

#include "common/bytes.h"

struct connection;
struct gateway;
struct socket;

enum { BARE_RESUME_MAX = 1000 };

/* Owned by its bare_client; NULL while there is none. */
struct bare_resume;

/* The room was joined: sends the frame "open" and what was missed before that, as soon as it is here. */
void bare_resume_begin(struct gateway *gateway, struct socket *socket);

/* A page of history came, or a refusal (as socket_acknowledge() has it): then the connection is closed. */
void bare_resume_on_page(struct gateway *gateway, struct socket *socket, struct bytes answer,
                         struct bytes attachments);

/* A Close frame is next: nothing of what waits is sent, so that the client does not take it for all there
 * was. connection_protocol's let_go. */
void bare_resume_let_go(struct gateway *gateway, struct connection *connection);

/* Frees it.  Takes NULL. */
void bare_resume_free(struct bare_resume *resume);

#endif
