/*
 * The PROXY protocol; see proxy_protocol.h.  The gateway's entrance reads it.  Its one surprising rule: a
 * header is read anew from its first byte with each piece that comes, since nearly all come in one.
 */
#include "proto/proxy_protocol.h"

enum {
    V1_MAX = 107, /* bytes of the line with its CRLF (section 2.1) */
    V1_PARTS = 6,
    V2_HEAD = 16,
    V2_VERSION = 2,
    V2_LOCAL = 0,
    V2_PROXY = 1,
    V2_INET = 1,
    V2_INET6 = 2,
    V2_FAMILY_MAX = 3, /* AF_UNIX */
    V2_TRANSPORT_MAX = 2,
    TLV_HEAD = 3,
    TLV_SSL = 0x20,
    TLV_CLIENT_SSL = 0x01, /* a bit of the first byte of TLV_SSL */
};

static const char v1_prefix[] = "PROXY ";
static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

/* Whether data, as far as it goes, begins like the prefix. */
static bool may_become(struct bytes data, struct bytes prefix)
{
    return data.length >= prefix.length ? bytes_starts_with(data, prefix) : bytes_starts_with(prefix, data);
}

/* -- version 1 -------------------------------------------------------------------------------- */

/* Splits at single blanks into at most V1_PARTS parts.  How many there are, or one more. */
static unsigned split(struct bytes line, struct bytes parts[static V1_PARTS])
{
    unsigned count = 0;

    for (;;) {
        const char *blank = memchr(line.data, ' ', line.length);
        size_t length = blank ? (size_t)(blank - line.data) : line.length;

        if (count == V1_PARTS)
            return V1_PARTS + 1;
        parts[count++] = bytes_make(line.data, length);
        if (!blank)
            return count;
        line = bytes_make(blank + 1, line.length - length - 1);
    }
}

static bool is_port(struct bytes text)
{
    unsigned long long port;

    return bytes_parse_u64(text, &port) == 0 && port <= UINT16_MAX &&
           (text.length == 1 || text.data[0] != '0');
}

static bool is_address(struct bytes text, bool six, struct ip_address *out)
{
    return six == (memchr(text.data, ':', text.length) != NULL) && ip_address_parse(text, out) == 0;
}

static int read_line(struct bytes line, struct proxy_header *out)
{
    struct bytes parts[V1_PARTS];
    struct ip_address source, destination;
    unsigned count = split(line, parts);
    bool six;

    *out = (struct proxy_header){0};
    if (count >= 2 && bytes_equal_text(parts[1], "UNKNOWN"))
        return 0; /* what follows it is passed over */
    six = count == V1_PARTS && bytes_equal_text(parts[1], "TCP6");
    if (count != V1_PARTS || (!six && !bytes_equal_text(parts[1], "TCP4")) ||
        !is_address(parts[2], six, &source) || !is_address(parts[3], six, &destination) ||
        !is_port(parts[4]) || !is_port(parts[5]))
        return ERROR_MALFORMED;
    out->client = source;
    return 0;
}

static int read_v1(struct bytes data, struct proxy_header *out)
{
    size_t seen = data.length < V1_MAX ? data.length : V1_MAX;
    const char *end = memchr(data.data, '\r', seen);
    struct proxy_header header;
    size_t length = end ? (size_t)(end - data.data) : 0;

    if (!end || (length + 1 == data.length && data.length < V1_MAX))
        return data.length < V1_MAX ? 0 : ERROR_MALFORMED;
    if (length + 1 == seen || end[1] != '\n' || read_line(bytes_make(data.data, length), &header) < 0)
        return ERROR_MALFORMED;
    *out = header;
    return (int)length + 2;
}

/* -- version 2 -------------------------------------------------------------------------------- */

static unsigned byte_at(struct bytes data, size_t at)
{
    return (unsigned char)data.data[at];
}

/* Reads the TLVs; all of them must fit. */
static int read_tlvs(struct bytes tlvs, struct proxy_header *out)
{
    for (size_t at = 0; at < tlvs.length;) {
        size_t length;

        if (tlvs.length - at < TLV_HEAD)
            return ERROR_MALFORMED;
        length = byte_at(tlvs, at + 1) << 8 | byte_at(tlvs, at + 2);
        if (tlvs.length - at - TLV_HEAD < length)
            return ERROR_MALFORMED;
        if (byte_at(tlvs, at) == TLV_SSL && length > 0)
            out->secure = byte_at(tlvs, at + TLV_HEAD) & TLV_CLIENT_SSL;
        at += TLV_HEAD + length;
    }
    return 0;
}

/* What follows the head: addresses of that family, then TLVs. */
static int read_block(unsigned family, struct bytes block, struct proxy_header *out)
{
    /* Source, destination and two ports; of a Unix socket two paths. */
    static const size_t lengths[] = {0, 4 + 4 + 4, 16 + 16 + 4, 108 + 108};

    if (block.length < lengths[family])
        return ERROR_MALFORMED;
    if (family == V2_INET)
        out->client = ip_address_from_ipv4(block.data);
    else if (family == V2_INET6)
        memcpy(out->client.bytes, block.data, sizeof out->client.bytes);
    return read_tlvs(bytes_make(block.data + lengths[family], block.length - lengths[family]), out);
}

static int read_v2(struct bytes data, struct proxy_header *out)
{
    struct proxy_header header = {0};
    unsigned command, family, transport;
    size_t length;

    if (data.length < V2_HEAD)
        return 0;
    command = byte_at(data, 12) & 15;
    family = byte_at(data, 13) >> 4;
    transport = byte_at(data, 13) & 15;
    length = V2_HEAD + (byte_at(data, 14) << 8 | byte_at(data, 15));
    if (byte_at(data, 12) >> 4 != V2_VERSION || command > V2_PROXY || family > V2_FAMILY_MAX ||
        transport > V2_TRANSPORT_MAX)
        return ERROR_MALFORMED;
    if (length > PROXY_PROTOCOL_MAX)
        return ERROR_TOO_LARGE;
    if (data.length < length)
        return 0;
    if (command == V2_PROXY &&
        read_block(family, bytes_make(data.data + V2_HEAD, length - V2_HEAD), &header) < 0)
        return ERROR_MALFORMED;
    *out = header;
    return (int)length;
}

int proxy_protocol_read(struct bytes data, struct proxy_header *out)
{
    struct bytes signature = BYTES(v2_signature), prefix = BYTES(v1_prefix);

    if (data.length == 0)
        return 0;
    if (may_become(data, signature))
        return data.length < signature.length ? 0 : read_v2(data, out);
    if (may_become(data, prefix))
        return data.length < prefix.length ? 0 : read_v1(data, out);
    return ERROR_MALFORMED;
}
