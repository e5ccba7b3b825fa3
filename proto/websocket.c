/*
 * The WebSocket codec.  It owns the bytes of a message that came in parts; the
 * gateway's connections call it with what one read gave.  The one surprising
 * rule: stored holds the unfinished message and, behind it, the part of a
 * control frame that came between its fragments, so that both can wait
 * for the next read in one piece of memory.
 */
/* SHA1_Init() and the rest compute and nothing else.  What is not deprecated looks SHA-1 up among the
   providers for each digest, and loads all of them for the first: a millisecond, and 400 KB that stay. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "proto/websocket.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#define RSV_BITS     0x70
#define OPCODE_BITS  0x0f
#define CONTROL_BIT  0x08
#define MASK_BIT     0x80
#define LENGTH_BITS  0x7f
#define LENGTH_16    126
#define LENGTH_64    127
#define STORED_FIRST 256

enum state {
    STATE_HEADER,
    STATE_PAYLOAD,
    STATE_CLOSED,
};

/* What a header says. */
struct frame {
    unsigned first;
    uint32_t length;
    uint8_t mask[4];
};

static bool is_control(unsigned first)
{
    return first & CONTROL_BIT;
}

static bool is_data(unsigned first)
{
    return !is_control(first);
}

static uint64_t read_big_endian(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static void write_big_endian(char *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (char)(value >> 8 * (bytes - 1 - i));
}

/* Applies the mask and turns it to where the frame's next byte goes on. */
static void unmask(char *data, size_t length, uint8_t mask[4])
{
    uint64_t pattern;
    uint64_t word;
    size_t at = 0;

    memcpy(&pattern, mask, 4);
    memcpy((char *)&pattern + 4, mask, 4);
    for (; length - at >= sizeof word; at += sizeof word) {
        memcpy(&word, data + at, sizeof word);
        word ^= pattern;
        memcpy(data + at, &word, sizeof word);
    }
    for (; at < length; at++)
        data[at] = (char)(data[at] ^ mask[at & 3]);
    for (unsigned i = 0; i < 4; i++)
        mask[i] = ((uint8_t *)&pattern)[(length + i) & 3];
}

/* RFC 6455 5.2 to 5.5, as far as the first byte goes. */
static int check_first(const struct websocket_decoder *decoder, const struct websocket_limits *limits,
                       unsigned first)
{
    unsigned reserved = first & RSV_BITS;
    switch (first & OPCODE_BITS) {
    case WEBSOCKET_OPCODE_TEXT:
    case WEBSOCKET_OPCODE_BINARY:
        if (decoder->message)
            return ERROR_PROTOCOL;
        if (limits->allowed_rsv1)
            reserved &= ~(unsigned)WEBSOCKET_RSV1;
        break;
    case WEBSOCKET_OPCODE_CONTINUATION:
        if (!decoder->message)
            return ERROR_PROTOCOL;
        break;
    case WEBSOCKET_OPCODE_CLOSE:
    case WEBSOCKET_OPCODE_PING:
    case WEBSOCKET_OPCODE_PONG:
        if (!(first & WEBSOCKET_FIN))
            return ERROR_PROTOCOL;
        break;
    default:
        return ERROR_PROTOCOL;
    }
    return reserved ? ERROR_PROTOCOL : 0;
}

/*
 * The most that the unfinished message, or the one that this frame begins, may have come to.  The limit
 * is on what a message holds; DEFLATE makes noise longer by less than the eighth that it gets on top.
 */
static uint64_t message_max(const struct websocket_decoder *decoder, const struct websocket_limits *limits,
                            unsigned first)
{
    uint64_t most = limits->max_payload;
    if ((decoder->message ? decoder->message : first) & WEBSOCKET_RSV1)
        most += most / 8 + 64;
    return most < UINT32_MAX ? most : UINT32_MAX;
}

/* Reads a header: its length, 0 while it is not whole, or an error as soon as the bytes show one. */
static int read_header(const struct websocket_decoder *decoder, const struct websocket_limits *limits,
                       const uint8_t *at, size_t available, struct frame *frame)
{
    if (available < 1)
        return 0;
    int rc = check_first(decoder, limits, at[0]);
    if (rc || available < 2)
        return rc;
    if (!(at[1] & MASK_BIT))
        return ERROR_PROTOCOL;

    uint64_t length = at[1] & LENGTH_BITS;
    unsigned extra = length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0;
    if (is_control(at[0]) && length > WEBSOCKET_CONTROL_MAX)
        return ERROR_PROTOCOL;
    if ((at[0] & OPCODE_BITS) == WEBSOCKET_OPCODE_CLOSE && length == 1)
        return ERROR_PROTOCOL;
    if (available < 2 + extra)
        return 0;
    if (extra) {
        length = read_big_endian(at + 2, extra);
        if (length < LENGTH_16 || (extra == 8 && (length <= UINT16_MAX || length > INT64_MAX)))
            return ERROR_PROTOCOL;
    }
    /* What is stored never exceeds the limit, unless the caller lowered it in between. */
    if (is_data(at[0])) {
        uint64_t most = message_max(decoder, limits, at[0]);
        if (length > most || decoder->length > most - length)
            return ERROR_TOO_LARGE;
    }
    if (available < 2 + extra + 4)
        return 0;

    frame->first = at[0];
    frame->length = (uint32_t)length;
    memcpy(frame->mask, at + 2 + extra, sizeof frame->mask);
    return (int)(2 + extra + 4);
}

/*
 * Takes a header from the data, by way of the decoder's own bytes only when it
 * is cut by the data's end.  Returns its length in the data, 0 when
 * all of the data went into an unfinished one, or an error.
 */
static int take_header(struct websocket_decoder *decoder, const struct websocket_limits *limits,
                       const char *data, size_t length, struct frame *frame)
{
    if (decoder->header_length == 0) {
        int rc = read_header(decoder, limits, (const uint8_t *)data, length, frame);
        if (rc == 0 && length) {
            memcpy(decoder->header, data, length);
            decoder->header_length = (uint8_t)length;
        }
        return rc;
    }
    for (size_t i = 0; i < length; i++) {
        decoder->header[decoder->header_length++] = (uint8_t)data[i];
        int rc = read_header(decoder, limits, decoder->header, decoder->header_length, frame);
        if (rc < 0)
            return rc;
        if (rc > 0) {
            decoder->header_length = 0;
            return (int)i + 1;
        }
    }
    return 0;
}

static void begin_frame(struct websocket_decoder *decoder, const struct frame *frame)
{
    decoder->state = STATE_PAYLOAD;
    decoder->frame = (uint8_t)frame->first;
    decoder->remaining = frame->length;
    memcpy(decoder->mask, frame->mask, sizeof decoder->mask);
    if (is_data(frame->first) && !decoder->message) {
        decoder->message = (uint8_t)frame->first;
        decoder->utf8 = (struct utf8_state){0};
    }
}

/* Whether the unfinished message is text whose bytes are to be checked as they come. */
static bool is_plain_text(const struct websocket_decoder *decoder)
{
    return (decoder->message & (OPCODE_BITS | WEBSOCKET_RSV1)) == WEBSOCKET_OPCODE_TEXT;
}

/*
 * Puts a part of the current frame behind what is stored.  Memory doubles with
 * what has come, up to what the message is known to need, and never follows an
 * announced length ahead of its bytes.
 */
static int store(struct websocket_decoder *decoder, struct bytes part)
{
    size_t used = decoder->length + decoder->control_length;
    if (part.length > decoder->capacity - used) {
        size_t known = used + part.length + decoder->remaining;
        size_t wanted = decoder->capacity ? 2 * (size_t)decoder->capacity : STORED_FIRST;
        if ((decoder->frame & WEBSOCKET_FIN) && is_data(decoder->frame) && wanted > known)
            wanted = known;
        if (wanted < used + part.length)
            wanted = used + part.length;
        if (wanted > UINT32_MAX)
            return ERROR_NO_SPACE;
        char *stored = realloc(decoder->stored, wanted);
        if (!stored)
            return ERROR_NO_SPACE;
        decoder->stored = stored;
        decoder->capacity = (uint32_t)wanted;
    }
    memcpy(decoder->stored + used, part.data, part.length);
    if (is_control(decoder->frame))
        decoder->control_length = (uint8_t)(decoder->control_length + part.length);
    else
        decoder->length += (uint32_t)part.length;
    return 0;
}

/* RFC 6455 7.4: codes that a client may put into a close frame. */
static bool close_code_valid(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

static int finish_close(struct bytes payload, struct websocket_event *event)
{
    unsigned code = WEBSOCKET_CLOSE_NO_STATUS;
    if (payload.length) {
        code = (unsigned)read_big_endian((const uint8_t *)payload.data, 2);
        payload = bytes_make(payload.data + 2, payload.length - 2);
        if (!close_code_valid(code))
            return ERROR_PROTOCOL;
        if (!utf8_valid(payload))
            return ERROR_UTF8;
    }
    *event =
        (struct websocket_event){.type = WEBSOCKET_CLOSE, .close_code = (uint16_t)code, .payload = payload};
    return 0;
}

/* A control frame is whole.  Its stored part is given up here and stays readable until the next store(). */
static int finish_control(struct websocket_decoder *decoder, struct bytes payload,
                          struct websocket_event *event)
{
    unsigned opcode = decoder->frame & OPCODE_BITS;
    decoder->control_length = 0;
    if (opcode == WEBSOCKET_OPCODE_CLOSE) {
        decoder->state = STATE_CLOSED;
        return finish_close(payload, event);
    }
    *event = (struct websocket_event){
        .type = opcode == WEBSOCKET_OPCODE_PING ? WEBSOCKET_PING : WEBSOCKET_PONG, .payload = payload};
    return 0;
}

static int finish_message(struct websocket_decoder *decoder, struct bytes payload,
                          struct websocket_event *event)
{
    if (is_plain_text(decoder) && !utf8_complete(&decoder->utf8))
        return ERROR_UTF8;
    bool text = (decoder->message & OPCODE_BITS) == WEBSOCKET_OPCODE_TEXT;
    *event = (struct websocket_event){.type = text ? WEBSOCKET_TEXT : WEBSOCKET_BINARY,
                                      .compressed = decoder->message & WEBSOCKET_RSV1,
                                      .payload = payload};
    decoder->message = 0;
    decoder->length = 0;
    return 0;
}

/* Takes what the data has of the current frame's payload; the event stays NONE unless something is whole. */
static int take_payload(struct websocket_decoder *decoder, char *data, size_t length,
                        struct websocket_event *event)
{
    bool control = is_control(decoder->frame);
    struct bytes part = {data, length};

    unmask(data, length, decoder->mask);
    decoder->remaining -= (uint32_t)length;
    if (!control && is_plain_text(decoder)) {
        int rc = utf8_feed(&decoder->utf8, part);
        if (rc)
            return rc;
    }
    bool whole = decoder->remaining == 0 && (decoder->frame & WEBSOCKET_FIN);
    if (decoder->remaining == 0)
        decoder->state = STATE_HEADER;

    uint32_t before = control ? decoder->control_length : decoder->length;
    if (length && (!whole || before)) {
        int rc = store(decoder, part);
        if (rc)
            return rc;
    }
    if (!whole)
        return 0;
    if (before)
        part = control ? bytes_make(decoder->stored + decoder->length, decoder->control_length)
                       : bytes_make(decoder->stored, decoder->length);
    return control ? finish_control(decoder, part, event) : finish_message(decoder, part, event);
}

static void drop_stored(struct websocket_decoder *decoder)
{
    free(decoder->stored);
    decoder->stored = NULL;
    decoder->capacity = 0;
    decoder->length = 0;
    decoder->control_length = 0;
}

void websocket_decoder_done(struct websocket_decoder *decoder)
{
    drop_stored(decoder);
    *decoder = (struct websocket_decoder){0};
}

bool websocket_decoder_is_empty(const struct websocket_decoder *decoder)
{
    return decoder->state == STATE_HEADER && decoder->header_length == 0 && decoder->message == 0 &&
           decoder->control_length == 0;
}

static int fail(struct websocket_decoder *decoder, int error)
{
    decoder->state = STATE_CLOSED;
    return error;
}

int websocket_decode(struct websocket_decoder *decoder, const struct websocket_limits *limits, char *data,
                     size_t length, size_t *consumed, struct websocket_event *event)
{
    struct websocket_event found = {.type = WEBSOCKET_NONE};
    size_t at = 0;

    /* Nothing unfinished is in there: it is what the last event showed. */
    if (decoder->stored && decoder->length + decoder->control_length == 0)
        drop_stored(decoder);

    while (decoder->state != STATE_CLOSED && found.type == WEBSOCKET_NONE) {
        if (decoder->state == STATE_HEADER) {
            struct frame frame;
            int rc = take_header(decoder, limits, data + at, length - at, &frame);
            if (rc < 0)
                return fail(decoder, rc);
            if (rc == 0) {
                at = length;
                break;
            }
            at += (size_t)rc;
            begin_frame(decoder, &frame);
        }
        size_t part = length - at < decoder->remaining ? length - at : decoder->remaining;
        if (part == 0 && decoder->remaining)
            break;
        int rc = take_payload(decoder, data + at, part, &found);
        if (rc)
            return fail(decoder, rc);
        at += part;
    }
    *consumed = decoder->state == STATE_CLOSED ? length : at;
    *event = found;
    return 0;
}

size_t websocket_frame_header(char out[WEBSOCKET_HEADER_MAX], unsigned first, uint64_t payload_length)
{
    out[0] = (char)first;
    if (payload_length < LENGTH_16) {
        out[1] = (char)payload_length;
        return 2;
    }
    if (payload_length <= UINT16_MAX) {
        out[1] = LENGTH_16;
        write_big_endian(out + 2, payload_length, 2);
        return 4;
    }
    out[1] = LENGTH_64;
    write_big_endian(out + 2, payload_length, 8);
    return 10;
}

size_t websocket_close_frame(char out[WEBSOCKET_CLOSE_MAX], unsigned code, struct bytes reason)
{
    unsigned first = WEBSOCKET_FIN | WEBSOCKET_OPCODE_CLOSE;
    if (code == WEBSOCKET_CLOSE_NO_STATUS)
        return websocket_frame_header(out, first, 0);

    size_t length = reason.length;
    if (length > WEBSOCKET_CONTROL_MAX - 2) {
        length = WEBSOCKET_CONTROL_MAX - 2;
        while (length && ((unsigned char)reason.data[length] & 0xc0) == 0x80)
            length--;
    }
    size_t at = websocket_frame_header(out, first, 2 + length);
    write_big_endian(out + at, code, 2);
    if (length)
        memcpy(out + at + 2, reason.data, length);
    return at + 2 + length;
}

void websocket_accept_key(struct bytes key, char out[WEBSOCKET_ACCEPT_SIZE])
{
    static const char identifier[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA_CTX context;
    unsigned char text[WEBSOCKET_ACCEPT_SIZE + 1];

    assert(key.length == 24);
    SHA1_Init(&context);
    SHA1_Update(&context, key.data, key.length);
    SHA1_Update(&context, identifier, sizeof identifier - 1);
    SHA1_Final(digest, &context);
    EVP_EncodeBlock(text, digest, sizeof digest);
    memcpy(out, text, WEBSOCKET_ACCEPT_SIZE);
}
