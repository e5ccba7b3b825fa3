/*
 * The hello; see hello.h.  The link says it when ZeroMQ has a peer.  Its one surprising rule: sockets that
 * their clients have ended for good are named once more and ended behind the hello, because the router takes
 * one that is merely missing for one that may come back.
 */
#include "gateway/hello.h"

#include "gateway/authentication.h"
#include "gateway/farewell.h"
#include "gateway/gateway.h"
#include "gateway/router_records.h"

struct hello {
    struct gateway *gateway;
    struct router_link *link;
    struct wire_batch *batch; /* the link's */
    struct wire_list list;
};

void hello_put_socket(struct wire_batch *batch, const struct socket *socket)
{
    struct buffer grant = {0};

    authentication_append_grant(socket, &grant);
    wire_put_socket(batch, &(struct wire_socket){.socket = socket->number,
                                                 .namespace = socket->namespace->name,
                                                 .sid = bytes_make(socket->sid, socket->sid_length),
                                                 .from = authentication_sub(socket),
                                                 .generation = socket->session_generation,
                                                 .grant = buffer_bytes(&grant)});
    buffer_done(&grant);
}

static void put_members(struct hello *hello, const struct room *room)
{
    wire_list_clear(&hello->list);
    for (uint32_t i = 0; i < room->count; i++) {
        struct socket *socket = sockets_at(hello->gateway, room->members[i].socket);
        const struct membership *membership = socket_membership_in(socket, room);

        wire_list_put_u64(&hello->list, socket->number);
        wire_list_put_u64(&hello->list, membership->joined_pos);
        wire_list_put_u64(&hello->list, membership->watch);
    }
    wire_put_members(hello->batch, &(struct wire_members){.namespace = room->namespace->name,
                                                          .room = bytes_make(room->name, room->name_length),
                                                          .members = wire_list_finish(&hello->list)});
}

/* Those whose end the router may not have heard of are named once more; how many. */
static uint64_t put_farewells(struct hello *hello, const struct farewells *farewells)
{
    const struct farewell *farewell;
    uint64_t count = 0;

    for (farewell = farewells->first; farewell; farewell = farewell->next) {
        wire_batch_append_encoded(hello->batch, farewell->record);
        count++;
        link_split(hello->link);
    }
    return count;
}

/* And behind the hello they are gone. */
static void end_farewells(struct hello *hello, const struct farewells *farewells)
{
    const struct farewell *farewell;

    for (farewell = farewells->first; farewell; farewell = farewell->next) {
        wire_put_disconnect(
            hello->batch,
            &(struct wire_disconnect){.socket = farewell->socket,
                                      .reason = bytes_from_text(close_reason_text(CLOSE_CLIENT_DISCONNECT))});
        link_split(hello->link);
    }
}

/* Those that are connected; how many.  The CONNECT of the others will be sent again. */
static uint64_t put_sockets(struct hello *hello)
{
    struct socket *socket;
    uint32_t cursor = 0;
    uint64_t count = 0;

    while ((socket = sockets_next(hello->gateway, &cursor))) {
        if (!socket->connected)
            continue;
        hello_put_socket(hello->batch, socket);
        count++;
        link_split(hello->link);
    }
    return count;
}

static void put_rooms(struct hello *hello)
{
    const struct namespace_rooms *namespace;
    uint32_t walk = 0;

    while ((namespace = table_next(&hello->gateway->namespaces.by_name, &walk))) {
        const struct room *room;
        uint32_t cursor = 0;

        while ((room = table_next(&namespace->rooms, &cursor))) {
            put_members(hello, room);
            link_split(hello->link);
        }
    }
}

void hello_put(struct gateway *gateway, const struct link_progress *progress,
               const struct farewells *farewells)
{
    const struct gateway_settings *settings = gateway->settings;
    struct hello hello = {gateway, gateway->link, link_batch(gateway->link)};
    uint64_t count;

    sockets_begin_again(gateway);
    wire_put_hello(hello.batch, &(struct wire_hello){.name = bytes_from_text(settings->name),
                                                     .incarnation = gateway->incarnation,
                                                     .epoch = bytes_from_text(progress->epoch),
                                                     .pos = progress->position,
                                                     .rules_digest = namespaces_digest(&settings->namespaces),
                                                     .program_version = BYTES(HUBBUB_VERSION),
                                                     .minor = WIRE_MINOR});
    count = put_sockets(&hello);
    count += put_farewells(&hello, farewells);
    put_rooms(&hello);
    wire_put_hello_end(hello.batch, &(struct wire_hello_end){.sockets = count});
    end_farewells(&hello, farewells);
    wire_list_done(&hello.list);
}
