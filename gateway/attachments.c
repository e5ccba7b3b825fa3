/*
 * Binary packets that are not complete yet; see attachments.h.  Owns their bytes; packet.c calls it.  Its one
 * surprising rule: a packet that nobody will want is cut down to its head, and counted on to its end.
 */
#include "gateway/attachments.h"

#include "common/memory.h"
#include "proto/placeholder.h"

#include <stdlib.h>

/* Replaces the text by a packet that says no more than which it was, of a few hundred bytes. */
static void cut(struct pending_packet *pending, const struct socketio_packet *packet)
{
    struct buffer head = {0};

    if (packet->type == SOCKETIO_BINARY_EVENT)
        socketio_append_event_head(&head, packet->nsp, packet->ack, packet->attachments);
    else /* to whatever question */
        socketio_append_ack_head(&head, packet->nsp, 0, packet->attachments);
    buffer_consume(&head, 1); /* the digit of Engine.IO */
    if (packet->payload.data) {
        buffer_append_char(&head, '[');
        if (packet->type == SOCKETIO_BINARY_EVENT && packet->name_error)
            buffer_append_literal(&head, "\"\"");
        else if (packet->type == SOCKETIO_BINARY_EVENT)
            buffer_append_bytes(&head, packet->event.name.text);
        buffer_append_char(&head, ']');
    }
    buffer_done(&pending->text);
    pending->text = head;
    wire_list_done(&pending->attachments);
    pending->keep = false;
}

/* Judges what stands behind an event's name, as far as nothing but the packet is needed for it. */
static int judge_event(struct pending_packet *pending, const struct socketio_packet *packet)
{
    struct json_event event = packet->event;
    int code = json_event_finish(&event, NULL, 0, NULL);

    if (code == ERROR_TOO_DEEP) {
        pending->refusal = REFUSAL_TOO_DEEP;
        return 0;
    }
    if (code == 0)
        pending->illegal = placeholders_check(event.arguments, packet->attachments) < 0;
    return code;
}

int pending_packet_new(const struct socketio_packet *packet, struct bytes text, size_t limit, uint64_t now,
                       struct pending_packet **out)
{
    struct pending_packet *pending = memory_zero(1, sizeof *pending);
    int code = 0;

    pending->since = now;
    pending->size = text.length;
    pending->limit = limit;
    pending->missing = packet->attachments;
    pending->refusal = REFUSAL_CODES;
    if (packet->type == SOCKETIO_BINARY_ACK)
        pending->illegal = placeholders_check(packet->json.text, packet->attachments) < 0;
    else if (packet->payload.data)
        code = judge_event(pending, packet);
    if (code) {
        pending_packet_free(pending);
        return code;
    }
    if (pending->refusal == REFUSAL_CODES && pending->size > limit)
        pending->refusal = REFUSAL_TOO_LARGE;
    pending->keep = packet->payload.data && !pending->illegal && pending->refusal == REFUSAL_CODES;
    if (pending->keep)
        buffer_append_bytes(&pending->text, text);
    else
        cut(pending, packet);
    *out = pending;
    return 0;
}

void pending_packet_free(struct pending_packet *pending)
{
    if (!pending)
        return;
    buffer_done(&pending->text);
    wire_list_done(&pending->attachments);
    free(pending);
}

bool pending_packet_add(struct pending_packet *pending, struct bytes attachment)
{
    struct socketio_packet packet;

    pending->size += attachment.length;
    if (pending->keep && pending->size <= pending->limit) {
        wire_list_put_blob(&pending->attachments, attachment);
    } else if (pending->keep) {
        pending->refusal = REFUSAL_TOO_LARGE;
        if (socketio_packet_parse(buffer_bytes(&pending->text), JSON_DEPTH_MAX, &packet) == 0)
            cut(pending, &packet);
    }
    return --pending->missing == 0;
}

/* -- on another gateway ---------------------------------------------------------------------- */

/* What a packet was refused for already, as it is written: the place in the list. */
static const enum refusal_code refusals[] = {REFUSAL_CODES, REFUSAL_TOO_LARGE, REFUSAL_TOO_DEEP};

enum { KEEP = 1, ILLEGAL = 2, WRITTEN_PARTS = 5 };

void pending_packet_write(struct pending_packet *pending, struct buffer *out)
{
    struct wire_list list = {0};
    struct wire_reader attachments;
    struct bytes attachment;
    uint64_t refusal = 0;
    int count;

    while (refusals[refusal] != pending->refusal)
        refusal++;
    wire_list_put_u64(&list, pending->missing);
    wire_list_put_u64(&list, pending->size);
    wire_list_put_u64(&list, (pending->keep ? KEEP : 0) | (pending->illegal ? ILLEGAL : 0));
    wire_list_put_u64(&list, refusal);
    wire_list_put_text(&list, buffer_bytes(&pending->text));
    count = wire_list_open(&attachments, wire_list_finish(&pending->attachments));
    while (count-- > 0 && wire_list_text(&attachments, &attachment) == 0)
        wire_list_put_blob(&list, attachment);
    buffer_append_bytes(out, wire_list_finish(&list));
    wire_list_done(&list);
}

static int read_parts(struct wire_reader *list, int kept, struct pending_packet *pending)
{
    uint64_t missing, size, flags, refusal;
    struct socketio_packet packet;
    struct bytes text;

    if (wire_list_u64(list, &missing) < 0 || wire_list_u64(list, &size) < 0 ||
        wire_list_u64(list, &flags) < 0 || wire_list_u64(list, &refusal) < 0 ||
        wire_list_text(list, &text) < 0)
        return ERROR_MALFORMED;
    if (missing == 0 || missing > SOCKETIO_ATTACHMENTS_MAX || refusal >= sizeof refusals / sizeof *refusals ||
        socketio_packet_parse(text, JSON_DEPTH_MAX, &packet) < 0 ||
        missing + (unsigned)kept > packet.attachments)
        return ERROR_MALFORMED;
    pending->missing = (unsigned)missing;
    pending->size = size;
    pending->keep = flags & KEEP;
    pending->illegal = flags & ILLEGAL;
    pending->refusal = refusals[refusal];
    buffer_append_bytes(&pending->text, text);
    return 0;
}

int pending_packet_read(struct bytes text, size_t limit, uint64_t now, struct pending_packet **out)
{
    struct pending_packet *pending = memory_zero(1, sizeof *pending);
    struct wire_reader list;
    struct bytes attachment;
    int count = wire_list_open(&list, text);
    int code = count < WRITTEN_PARTS || count > WRITTEN_PARTS + SOCKETIO_ATTACHMENTS_MAX
                   ? ERROR_MALFORMED
                   : read_parts(&list, count - WRITTEN_PARTS, pending);

    for (count -= WRITTEN_PARTS; code == 0 && count > 0; count--) {
        code = wire_list_text(&list, &attachment);
        if (code == 0)
            wire_list_put_blob(&pending->attachments, attachment);
    }
    if (code) {
        pending_packet_free(pending);
        return code;
    }
    pending->limit = limit;
    pending->since = now;
    *out = pending;
    return 0;
}
