/* The addresses behind the name of a host, to listen on. */
#ifndef HUBBUB_COMMON_HOST_ADDRESSES_H
#define HUBBUB_COMMON_HOST_ADDRESSES_H

#include "common/error.h"

#include <stdint.h>
#include <sys/socket.h>

enum { HOST_ADDRESSES_MAX = 8 };

struct host_address {
    struct sockaddr_storage address;
    socklen_t length;
};

/*
 * Fills in the addresses of a name, or of an address as text, each once, with that port.  localhost is ::1 and
 * 127.0.0.1, whatever the system's files say of it, if anything (RFC 6761 6.3).  Returns how many, at least one; or
 * ERROR_NOT_FOUND with the reason, a static text.
 */
int host_addresses(const char *host, uint16_t port, struct host_address out[HOST_ADDRESSES_MAX],
                   const char **reason) MUST_CHECK;

#endif
