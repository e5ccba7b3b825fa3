/*
 * Addresses of peers, IPv6 and IPv4 alike, and lists of ranges of them.
 *
 * An IPv4 address is held as the IPv6 one that stands for it (::ffff:a.b.c.d, RFC 4291 2.5.5.2), so that a
 * client that comes over a dual-stack socket and one that comes over IPv4 are the same.
 */
#ifndef HUBBUB_COMMON_IP_ADDRESS_H
#define HUBBUB_COMMON_IP_ADDRESS_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

enum {
    IP_ADDRESS_BYTES = 16,
    IP_ADDRESS_TEXT = 46, /* bytes of an address as text, with its terminator */
};

/* All zero (::) is no address of a peer, and stands for an unknown one. */
struct ip_address {
    uint8_t bytes[IP_ADDRESS_BYTES]; /* in network order */
};

/* Of an AF_INET or AF_INET6 address; unknown for any other, such as a Unix socket's. */
struct ip_address ip_address_of(const struct sockaddr *address);

/* Of the 4 bytes of an IPv4 address in network order. */
struct ip_address ip_address_from_ipv4(const void *bytes);

/* Reads "192.0.2.1" or "2001:db8::1", and nothing besides: no port, brackets or zone.  0 or ERROR_MALFORMED.
 */
int ip_address_parse(struct bytes text, struct ip_address *out) MUST_CHECK;

/* Writes it as text, IPv4 in its own way; "" for an unknown one.  Returns the text. */
struct bytes ip_address_text(const struct ip_address *address, char out[static IP_ADDRESS_TEXT]);

bool ip_address_is_known(const struct ip_address *address);
bool ip_address_equal(const struct ip_address *a, const struct ip_address *b);

struct ip_range;

/* Zero-initialised has none. */
struct ip_ranges {
    struct ip_range *ranges; /* owned */
    size_t count;
};

/*
 * Reads addresses and ranges in CIDR notation (RFC 4632), separated by blanks or commas:
 * "127.0.0.1 10.0.0.0/8, fd00::/8".  0, or ERROR_CONFIG with what is wrong appended to error, on one line
 * without a newline: one that is none, a prefix that is too long, bits behind the prefix.
 */
int ip_ranges_parse(const char *text, struct ip_ranges *out, struct buffer *error) MUST_CHECK;

/* Whether it is in one of them; an unknown address never is. */
bool ip_ranges_have(const struct ip_ranges *ranges, const struct ip_address *address);

/* Frees them; an empty list stays. */
void ip_ranges_done(struct ip_ranges *ranges);

#endif
