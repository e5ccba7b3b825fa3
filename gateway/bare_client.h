/*
 * What a connection is to a bare client (docs/protocol.md, "Bare WebSocket"): one socket in one namespace,
 * whose room is named by the address.
 *
 *   bare_service.c  the request, the address, the heartbeat
 *   bare_packet.c   what its frames ask for
 *   bare_speech.c   what it is told
 *   bare_resume.c   what it missed, after=
 *   bare_close.c    how it ends
 */
#ifndef HUBBUB_GATEWAY_BARE_CLIENT_H
#define HUBBUB_GATEWAY_BARE_CLIENT_H

#include "common/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct bare_resume;

/* Instead of a client's own number, which is not negative: what a request of the gateway's own is for. */
enum bare_ack {
    BARE_ACK_OPEN = -2, /* the join of the address's room */
    BARE_ACK_PAGE = -3, /* of what it missed */
};

struct bare_client {
    struct bare_resume *resume; /* what it missed is being read; NULL for nothing */
    uint64_t after;             /* the last number that it has, from the address */
    uint64_t seq, members;      /* of the room when it was joined */
    bool resumes;               /* the address says after= */
    uint16_t room_length;       /* 0: the address names none */
    char room[];
};

static inline struct bytes bare_client_room(const struct bare_client *client)
{
    return bytes_make(client->room, client->room_length);
}

#endif
