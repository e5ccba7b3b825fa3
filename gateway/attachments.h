/*
 * A binary packet on its way from a client: its text has come, its attachments follow one by one (Socket.IO
 * v5, types 5 and 6).  packet.c says what it means once it is complete.
 *
 * A connection pays for it only while such a packet is incomplete.  What is kept is bounded: a packet that is
 * larger than allowed is taken in to its end, so that the connection goes on, but of its bytes nothing
 * more is kept than what its refusal has to name.
 */
#ifndef HUBBUB_GATEWAY_ATTACHMENTS_H
#define HUBBUB_GATEWAY_ATTACHMENTS_H

#include "common/buffer.h"
#include "proto/refusal.h"
#include "proto/socketio.h"
#include "proto/wire.h"

struct pending_packet {
    struct buffer text; /* the packet, or what is left of it: always one that socketio_packet_parse() takes */
    struct wire_list attachments;
    uint64_t since;            /* ms on the loop's clock */
    size_t size, limit;        /* bytes of the text and the attachments, kept or not; how many are allowed */
    unsigned missing;          /* attachments that are still to come */
    bool keep;                 /* whether anybody wants the attachments */
    bool illegal;              /* a placeholder names what is not there */
    enum refusal_code refusal; /* REFUSAL_CODES: none */
};

/*
 * Takes in the text of a packet with attachments, which the parser has read into packet.  ERROR_MALFORMED
 * when the rest of it is no JSON.  What is only too deep or too large is refused when the packet is complete,
 * and so are placeholders that name nothing: the reference sees them then, too.
 */
int pending_packet_new(const struct socketio_packet *packet, struct bytes text, size_t limit, uint64_t now,
                       struct pending_packet **out) MUST_CHECK;
void pending_packet_free(struct pending_packet *pending);

/* Takes in the next attachment.  Whether it was the last one. */
bool pending_packet_add(struct pending_packet *pending, struct bytes attachment);

/*
 * A session that moves to another gateway takes along what it has not sent to its end: stock clients may
 * begin a packet on polling and end it on the WebSocket, since they split what they post by maxPayload.
 * Written as a msgpack array; what is read has all its time before it again.  read: 0 or ERROR_MALFORMED.
 */
void pending_packet_write(struct pending_packet *pending, struct buffer *out);
int pending_packet_read(struct bytes text, size_t limit, uint64_t now,
                        struct pending_packet **out) MUST_CHECK;

#endif
