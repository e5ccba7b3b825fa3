/*
 * Socket.IO packets as the client's socket.io-msgpack-parser has them, from and to the packets of the text
 * parser (proto/socketio.h), which is what everything else understands.
 *
 * A packet is one msgpack map in one binary Engine.IO message:
 *
 *   type  0 to 4: CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR
 *   nsp   the namespace, "/" included
 *   data  the payload, with bin where there are attachments; absent, undefined or nil for none
 *   id    the ack id; absent, undefined or nil for none
 *
 * in any order.  Other keys (clients write "options") are passed over.
 */
#ifndef HUBBUB_PROTO_SOCKETIO_MSGPACK_H
#define HUBBUB_PROTO_SOCKETIO_MSGPACK_H

#include "common/buffer.h"
#include "common/error.h"
#include "proto/wire.h"

/*
 * Reads a client's packet.  Both outputs are cleared first.  text becomes the packet for
 * socketio_packet_parse(), of type BINARY_EVENT or BINARY_ACK when it has attachments, and attachments what
 * its placeholders stand for.  depth, limit: of the payload's JSON text, in containers in each other (1 to
 * JSON_DEPTH_MAX) and in bytes.
 *
 * 0, or
 *   ERROR_MALFORMED  the connection is to be closed: no msgpack, or no such map; bytes behind it; one of the
 *                    four keys twice; a type, namespace or id that is none; an event or acknowledgement whose
 *                    payload is no array; a str that is not UTF-8.  Also any of the following in a packet
 *                    that is neither event nor acknowledgement
 *   ERROR_TOO_DEEP, ERROR_TOO_LARGE, ERROR_UNSUPPORTED as msgpack_json_append() gives them
 *                    the event is to be refused, the acknowledgement to be dropped, and the connection lives;
 *                    text then is the packet without its arguments
 */
int socketio_msgpack_read(struct bytes packet, unsigned depth, size_t limit, struct buffer *text,
                          struct wire_list *attachments) MUST_CHECK;

/*
 * Appends a packet for a client.  message: the text as socketio_append_*() and their callers make it, the
 * digit 4 of Engine.IO included; attachments: a BLOBS field of proto/wire.h, which its placeholders stand
 * for, length 0 for none.  A payload that is no JSON becomes nil, and what is no packet nil altogether: the
 * client ends the connection over either, as over the text.
 */
void socketio_msgpack_append(struct bytes message, struct bytes attachments, struct buffer *out);

#endif
