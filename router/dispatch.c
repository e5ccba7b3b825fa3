/*
 * The table from record types to handlers; see dispatch.h.  The links call it.  Its one surprising rule: a
 * gateway may tell of disconnects and say goodbye as soon as its hello is complete, but asks for nothing
 * before it is live.
 */
#include "router/dispatch.h"

#include "router/ask.h"
#include "router/connecting.h"
#include "router/emit.h"
#include "router/history.h"
#include "router/look.h"
#include "router/membership.h"
#include "router/pass.h"
#include "router/publish.h"
#include "router/question.h"
#include "router/record_handler.h"
#include "router/resync.h"
#include "router/stats.h"
#include "router/take.h"
#include "router/token.h"

enum { IN_GREETING = 1 << LINK_GREETING, ONCE_LIVE = 1 << LINK_LIVE | 1 << LINK_BEHIND };
enum { ONCE_GREETED = 1 << LINK_WAITING | ONCE_LIVE };

#define HANDLER(name, call) RECORD_HANDLER(name, struct gateway_link *link, call)

HANDLER(socket, resync_socket(router, link, &record))
HANDLER(members, resync_members(router, link, &record))
HANDLER(hello_end, resync_hello_end(router, link, &record))
HANDLER(connect, connecting_request(router, link, &record))
HANDLER(disconnect, (connecting_disconnect(router, link, &record), 0))
HANDLER(join, (membership_join(router, link, &record), 0))
HANDLER(leave, (membership_leave(router, link, &record), 0))
HANDLER(history, (history_request(router, link, &record), 0))
HANDLER(presence, (membership_presence(router, link, &record), 0))
HANDLER(event, (publish_event(router, link, &record), 0))
HANDLER(look, (look_request(router, link, &record), 0))
HANDLER(token, token_renew(router, link, &record))
HANDLER(response, (question_response(router, link, &record), 0))
HANDLER(publish, (emit_publish(router, link, &record), 0))
HANDLER(told, ask_told(router, link, &record))
HANDLER(pass, pass_on(router, link, &record))
HANDLER(take, take_sockets(router, link, &record))
HANDLER(statistics, stats_take(router->stats, link, &record))
HANDLER(bye, (link->leaving = true, link_remove(&router->links, link), 0))

static const struct {
    unsigned type;
    unsigned states;
    int (*handle)(struct router *router, struct gateway_link *link, struct wire_reader *reader);
} handlers[] = {
    {WIRE_TYPE_EVENT, ONCE_LIVE, on_event},
    {WIRE_TYPE_CONNECT, ONCE_LIVE, on_connect},
    {WIRE_TYPE_DISCONNECT, ONCE_GREETED, on_disconnect},
    {WIRE_TYPE_JOIN, ONCE_LIVE, on_join},
    {WIRE_TYPE_LEAVE, ONCE_LIVE, on_leave},
    {WIRE_TYPE_HISTORY, ONCE_LIVE, on_history},
    {WIRE_TYPE_PRESENCE, ONCE_LIVE, on_presence},
    {WIRE_TYPE_RESPONSE, ONCE_LIVE, on_response},
    {WIRE_TYPE_TOKEN, ONCE_LIVE, on_token},
    {WIRE_TYPE_PUBLISH, ONCE_LIVE, on_publish},
    {WIRE_TYPE_LOOK, ONCE_LIVE, on_look},
    {WIRE_TYPE_TOLD, ONCE_LIVE, on_told},
    {WIRE_TYPE_PASS, ONCE_LIVE, on_pass},
    {WIRE_TYPE_TAKE, ONCE_LIVE, on_take},
    {WIRE_TYPE_STATISTICS, ONCE_GREETED, on_statistics},
    {WIRE_TYPE_BYE, IN_GREETING | ONCE_GREETED, on_bye},
    {WIRE_TYPE_SOCKET, IN_GREETING, on_socket},
    {WIRE_TYPE_MEMBERS, IN_GREETING, on_members},
    {WIRE_TYPE_HELLO_END, IN_GREETING, on_hello_end},
    {WIRE_TYPE_HELLO, 0, NULL},
};

int dispatch_record(void *argument, struct gateway_link *link, struct wire_reader *reader, unsigned type)
{
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
        if (handlers[i].type != type)
            continue;
        if (!(handlers[i].states & 1u << link->state))
            return ERROR_PROTOCOL;
        return handlers[i].handle(argument, link, reader);
    }
    return 0;
}
