/*
 * Messages in memory and as JSON; see message.h.  Publishing, replay and history use it.  Its one surprising
 * rule: the payload is begun before its numbers are known, with the arguments in place (the journal reads
 * them there), and completed in the room that was left behind them; so a publish copies its arguments once.
 */
#include "router/message.h"

#include "common/base64.h"
#include "common/memory.h"
#include "proto/json_text.h"
#include "proto/placeholder.h"
#include "proto/wire.h"

#include <assert.h>
#include <stdlib.h>

enum { NUMBER_MAX = 20 }; /* digits of 64 bits */

static size_t tail_bound(const struct journal_message *fields)
{
    size_t bound = sizeof ",{\"room\":,\"seq\":,\"id\":,\"from\":,\"at\":}" + 2 * NUMBER_MAX;

    if (fields->meta)
        bound += json_quoted_length(fields->room) + json_quoted_length(fields->publish_id) +
                 json_quoted_length(fields->sender_name);
    return bound + sizeof ",\".\"]" + JOURNAL_EPOCH_LENGTH + NUMBER_MAX;
}

static void append_head(struct buffer *out, const struct journal_message *fields)
{
    buffer_append_char(out, '[');
    json_append_string(out, fields->event);
    if (fields->arguments.length)
        buffer_append_char(out, ',');
}

static void append_meta(struct buffer *out, const struct journal_message *fields)
{
    buffer_append_literal(out, ",{\"room\":");
    json_append_string(out, fields->room);
    if (fields->class == MESSAGE_ARCHIVED) {
        buffer_append_literal(out, ",\"seq\":");
        buffer_append_u64(out, fields->seq);
    }
    if (fields->publish_id.length) {
        buffer_append_literal(out, ",\"id\":");
        json_append_string(out, fields->publish_id);
    }
    if (fields->sender_name.length) {
        buffer_append_literal(out, ",\"from\":");
        json_append_string(out, fields->sender_name);
    }
    buffer_append_literal(out, ",\"at\":");
    buffer_append_u64(out, fields->at);
    buffer_append_char(out, '}');
}

void message_append_offset(struct buffer *out, const char *epoch, uint64_t pos)
{
    buffer_append_literal(out, ",\"");
    buffer_append_text(out, epoch);
    buffer_append_char(out, '.');
    buffer_append_u64(out, pos);
    buffer_append_char(out, '"');
}

static void append_tail(struct buffer *out, const struct journal_message *fields, const char *epoch)
{
    if (fields->meta)
        append_meta(out, fields);
    if (epoch)
        message_append_offset(out, epoch, fields->pos);
    buffer_append_char(out, ']');
}

void message_append_payload(struct buffer *out, const struct journal_message *fields, const char *epoch)
{
    append_head(out, fields);
    buffer_append_bytes(out, fields->arguments);
    append_tail(out, fields, epoch);
}

uint64_t message_payload_flags(const struct journal_message *fields, const char *epoch)
{
    return (fields->meta ? WIRE_DELIVER_META : 0U) | (epoch ? WIRE_DELIVER_OFFSET : 0U);
}

static struct bytes keep(char **at, struct bytes text)
{
    struct bytes kept = bytes_make(*at, text.length);

    if (text.length)
        memcpy(*at, text.data, text.length);
    *at += text.length;
    return kept;
}

struct message *message_new(const struct journal_message *fields, struct room *room, struct bytes dedup_scope)
{
    size_t head = json_quoted_length(fields->event) + 2;
    size_t capacity = head + fields->arguments.length + tail_bound(fields);
    size_t size = sizeof(struct message) + fields->publish_id.length + fields->event.length +
                  fields->attachments.length + fields->except.length + fields->sender_sid.length +
                  fields->sender_name.length + dedup_scope.length + capacity;
    struct message *message = memory_new(size);
    struct journal_message *own = &message->ticket.entry.message;
    struct buffer payload = {.capacity = capacity};
    char *at = message->data;

    assert(size <= UINT32_MAX);
    message->ticket = (struct ticket){.kind = TICKET_PUBLISH, .room = room};
    message->ticket.entry.kind = JOURNAL_WRITE;
    message->acknowledge = false;
    message->emission = NULL;
    message->judged = NULL;
    *own = *fields;
    own->namespace = room->namespace->name;
    own->room = room_name(room);
    own->publish_id = keep(&at, fields->publish_id);
    own->event = keep(&at, fields->event);
    own->attachments = keep(&at, fields->attachments);
    own->except = keep(&at, fields->except);
    own->sender_sid = keep(&at, fields->sender_sid);
    own->sender_name = keep(&at, fields->sender_name);
    message->ticket.entry.dedup_scope = keep(&at, dedup_scope);
    message->size = (uint32_t)size;
    payload.data = at;
    append_head(&payload, own);
    own->arguments = bytes_make(payload.data + payload.length, fields->arguments.length);
    buffer_append_bytes(&payload, fields->arguments);
    message->payload = payload.data;
    message->payload_length = (uint32_t)payload.length;
    message->payload_capacity = (uint32_t)capacity;
    return message;
}

void message_finish(struct message *message, const char *epoch)
{
    struct buffer payload = {message->payload, message->payload_length, message->payload_capacity};

    append_tail(&payload, &message->ticket.entry.message, epoch);
    assert(payload.data == message->payload);
    message->payload_length = (uint32_t)payload.length;
}

static size_t append_hex(char *out, uint64_t value)
{
    static const char digits[16] = "0123456789abcdef";
    size_t length = 1;

    for (uint64_t rest = value >> 4; rest; rest >>= 4)
        length++;
    for (size_t i = length; i-- > 0; value >>= 4)
        out[i] = digits[value & 15];
    return length;
}

struct bytes message_make_id(char out[MESSAGE_ID_MAX], uint64_t incarnation, uint64_t number)
{
    size_t length = append_hex(out, incarnation);

    out[length++] = '-';
    length += append_hex(out + length, number);
    return bytes_make(out, length);
}

const char message_id_rule[] = "an id is a text of 8 to 64 bytes without control characters";

bool message_id_valid(struct bytes id)
{
    return id.length >= DEDUP_MIN && id.length <= DEDUP_MAX && room_name_valid(id);
}

unsigned message_attachments(const struct journal_message *fields)
{
    struct wire_reader list;
    int count = wire_list_open(&list, fields->attachments);

    return count > 0 ? (unsigned)count : 0;
}

void message_append_head(struct buffer *out, const struct journal_message *fields)
{
    buffer_append_literal(out, "{\"seq\":");
    buffer_append_u64(out, fields->seq);
    buffer_append_literal(out, ",\"id\":");
    json_append_string(out, fields->publish_id);
    buffer_append_literal(out, ",\"event\":");
    json_append_string(out, fields->event);
    buffer_append_literal(out, ",\"from\":");
    json_append_string(out, fields->sender_name);
    buffer_append_literal(out, ",\"at\":");
    buffer_append_u64(out, fields->at);
}

void message_append_attachments(struct buffer *out, const struct journal_message *fields)
{
    struct wire_reader list;
    struct bytes attachment;
    int count = wire_list_open(&list, fields->attachments);

    buffer_append_literal(out, ",\"attachments\":[");
    for (int i = 0; i < count && wire_list_text(&list, &attachment) == 0; i++) {
        size_t length = base64_length(attachment.length);

        buffer_append_text(out, i ? ",\"" : "\"");
        base64_write(buffer_reserve(out, length), attachment);
        buffer_extend(out, length);
        buffer_append_char(out, '"');
    }
    buffer_append_char(out, ']');
}

void message_append_entry(struct buffer *out, const struct journal_message *fields, unsigned before)
{
    message_append_head(out, fields);
    buffer_append_literal(out, ",\"args\":[");
    if (fields->attachments.length)
        placeholders_append(out, fields->arguments, (int)before);
    else
        buffer_append_bytes(out, fields->arguments);
    buffer_append_literal(out, "]}");
}

void message_append_answer(struct buffer *out, const struct journal_message *fields)
{
    buffer_append_literal(out, "{\"ok\":true");
    if (fields->class == MESSAGE_ARCHIVED) {
        buffer_append_literal(out, ",\"id\":");
        json_append_string(out, fields->publish_id);
        buffer_append_literal(out, ",\"seq\":");
        buffer_append_u64(out, fields->seq);
        buffer_append_literal(out, ",\"at\":");
        buffer_append_u64(out, fields->at);
    }
    buffer_append_char(out, '}');
}
