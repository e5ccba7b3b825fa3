/*
 * Addresses and ranges; see ip_address.h.  Whoever trusts, limits or logs peers uses it.  The surprising
 * rule: 0.0.0.0/0 is all of IPv4 and nothing of IPv6, as ::ffff:0:0/96 is.
 */
#include "common/ip_address.h"

#include "common/memory.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    IPV4_BYTES = 4,
    IPV4_AT = IP_ADDRESS_BYTES - IPV4_BYTES, /* where an IPv4 address stands */
    RANGE_TEXT_MAX = IP_ADDRESS_TEXT - 1 + 4,
};

static const struct ip_address unknown;

struct ip_range {
    struct ip_address first;
    unsigned prefix; /* bits, 0 to 128 */
};

static bool is_ipv4(const struct ip_address *address)
{
    return IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)address->bytes);
}

struct ip_address ip_address_from_ipv4(const void *bytes)
{
    struct ip_address address = {{[10] = 0xff, [11] = 0xff}};

    memcpy(address.bytes + IPV4_AT, bytes, IPV4_BYTES);
    return address;
}

struct ip_address ip_address_of(const struct sockaddr *address)
{
    struct ip_address ip = unknown;

    if (address->sa_family == AF_INET)
        return ip_address_from_ipv4(&((const struct sockaddr_in *)address)->sin_addr);
    if (address->sa_family == AF_INET6)
        memcpy(ip.bytes, &((const struct sockaddr_in6 *)address)->sin6_addr, sizeof ip.bytes);
    return ip;
}

int ip_address_parse(struct bytes text, struct ip_address *out)
{
    char copy[IP_ADDRESS_TEXT];
    uint8_t four[IPV4_BYTES];
    struct ip_address six;

    if (text.length == 0 || text.length >= sizeof copy || memchr(text.data, '\0', text.length))
        return ERROR_MALFORMED;
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    if (inet_pton(AF_INET, copy, four) == 1)
        *out = ip_address_from_ipv4(four);
    else if (inet_pton(AF_INET6, copy, six.bytes) == 1)
        *out = six;
    else
        return ERROR_MALFORMED;
    return 0;
}

struct bytes ip_address_text(const struct ip_address *address, char out[static IP_ADDRESS_TEXT])
{
    out[0] = '\0';
    if (is_ipv4(address))
        inet_ntop(AF_INET, address->bytes + IPV4_AT, out, IP_ADDRESS_TEXT);
    else if (ip_address_is_known(address))
        inet_ntop(AF_INET6, address->bytes, out, IP_ADDRESS_TEXT);
    return bytes_from_text(out);
}

bool ip_address_is_known(const struct ip_address *address)
{
    return !ip_address_equal(address, &unknown);
}

bool ip_address_equal(const struct ip_address *a, const struct ip_address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* -- ranges ----------------------------------------------------------------------------------- */

/* Whether the first bits of both are the same. */
static bool agree(const struct ip_address *a, const struct ip_address *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    return memcmp(a->bytes, b->bytes, whole) == 0 &&
           (rest == 0 || (a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest) == 0);
}

static bool has_bits_behind(const struct ip_range *range)
{
    for (unsigned bit = range->prefix; bit < IP_ADDRESS_BYTES * 8; bit++)
        if (range->first.bytes[bit / 8] & 0x80 >> bit % 8)
            return true;
    return false;
}

static int parse_range(struct bytes text, struct ip_range *out)
{
    const char *slash = memchr(text.data, '/', text.length);
    struct bytes address = bytes_make(text.data, slash ? (size_t)(slash - text.data) : text.length);
    unsigned long long prefix, most;

    if (text.length > RANGE_TEXT_MAX || ip_address_parse(address, &out->first) < 0)
        return ERROR_MALFORMED;
    /* What is written with dots counts its bits so, whatever stands for it. */
    most = memchr(address.data, ':', address.length) ? IP_ADDRESS_BYTES * 8 : IPV4_BYTES * 8;
    prefix = most;
    if (slash && bytes_parse_u64(bytes_make(slash + 1, text.length - address.length - 1), &prefix) < 0)
        return ERROR_MALFORMED;
    if (prefix > most)
        return ERROR_MALFORMED;
    out->prefix = (unsigned)(prefix + IP_ADDRESS_BYTES * 8 - most);
    return has_bits_behind(out) ? ERROR_MALFORMED : 0;
}

int ip_ranges_parse(const char *text, struct ip_ranges *out, struct buffer *error)
{
    static const char separators[] = ", ";
    struct ip_ranges list = {0};

    for (text += strspn(text, separators); *text; text += strspn(text, separators)) {
        size_t length = strcspn(text, separators);

        list.ranges = memory_resize(list.ranges, (list.count + 1) * sizeof *list.ranges);
        if (parse_range(bytes_make(text, length), &list.ranges[list.count]) < 0) {
            buffer_printf(error,
                          "'%.*s' is no address or range of addresses; expected 192.0.2.1, 10.0.0.0/8 "
                          "or fd00::/8",
                          (int)(length < RANGE_TEXT_MAX ? length : RANGE_TEXT_MAX), text);
            ip_ranges_done(&list);
            return ERROR_CONFIG;
        }
        list.count++;
        text += length;
    }
    *out = list;
    return 0;
}

bool ip_ranges_have(const struct ip_ranges *ranges, const struct ip_address *address)
{
    if (!ip_address_is_known(address))
        return false;
    for (size_t i = 0; i < ranges->count; i++)
        if (agree(&ranges->ranges[i].first, address, ranges->ranges[i].prefix))
            return true;
    return false;
}

void ip_ranges_done(struct ip_ranges *ranges)
{
    free(ranges->ranges);
    *ranges = (struct ip_ranges){0};
}
