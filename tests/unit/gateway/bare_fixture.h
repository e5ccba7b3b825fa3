/* Bare WebSockets at `home` (played.h), for the tests of what they see. */
#ifndef HUBBUB_TESTS_GATEWAY_BARE_FIXTURE_H
#define HUBBUB_TESTS_GATEWAY_BARE_FIXTURE_H

#include "tests/unit/gateway/played_client.h"

/* The frame that bare_let_in() brings. */
extern const char bare_opened[];

/* Sends the request for /ws; query with its "?", fields each with its CRLF. */
void bare_handshake(struct client *client, const char *query, const char *fields);

/* A client whose requests to enter wait for the router. */
struct client bare_entering(const char *query);

/* The router lets the client in that waits, to the room R, whose last message has the number 10. */
void bare_let_in(void);

/* One that is in the room R, and has read that it is. */
struct client bare_enter(void);

/* Sends a frame, and has it handled. */
void bare_say(struct client *client, const char *frame);

/* Closes it, the only one, and looks that nothing of it stays. */
void bare_leave(struct client *client);

#endif
