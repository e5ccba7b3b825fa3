/* Bare clients of the tests; see bare_fixture.h. */
#include "tests/unit/gateway/bare_fixture.h"

#include "tests/unit/gateway/played.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

const char bare_opened[] =
    "{\"type\":\"open\",\"sid\":\"S\",\"from\":\"anon:S\",\"room\":\"R\",\"seq\":10,\"members\":2}";

void bare_handshake(struct client *client, const char *query, const char *fields)
{
    struct buffer request = {0};

    buffer_printf(&request,
                  "GET /ws%s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Version: 13\r\n%sSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                  query, fields);
    client_write(client, buffer_bytes(&request));
    buffer_done(&request);
    played_settle();
}

struct client bare_entering(const char *query)
{
    struct client client = client_open(home);

    bare_handshake(&client, query, "");
    assert_string_equal(client_messages(&client), "");
    return client;
}

void bare_let_in(void)
{
    played_answer(home, played_connecting(home), "S", "P", false);
    played_answer_request(home, REQUEST_JOIN, "{\"ok\":true,\"room\":\"R\",\"seq\":10,\"members\":2}",
                          (struct bytes){0});
    played_settle();
}

struct client bare_enter(void)
{
    struct client client = bare_entering("?room=R");

    bare_let_in();
    assert_string_equal(client_messages(&client), bare_opened);
    return client;
}

void bare_say(struct client *client, const char *frame)
{
    client_message(client, frame);
    played_settle();
}

void bare_leave(struct client *client)
{
    client_close(client);
    played_settle();
    assert_int_equal(home->connections.slots.count, 0);
    assert_int_equal(home->sockets.count, 0);
    assert_int_equal(home->counters.websockets, 0);
}
