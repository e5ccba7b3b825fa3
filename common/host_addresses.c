/*
 * Names to addresses; see host_addresses.h.  Whoever listens, or looks whether one could, calls it.  Its one
 * surprising rule: a resolver gives an address twice when files name it twice, and we do not.
 */
#include "common/host_addresses.h"

#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool have(const struct host_address *all, int count, const struct addrinfo *one)
{
    for (int i = 0; i < count; i++)
        if (all[i].length == one->ai_addrlen && memcmp(&all[i].address, one->ai_addr, one->ai_addrlen) == 0)
            return true;
    return false;
}

/* Appends those of one name.  0, or ERROR_NOT_FOUND. */
static int append(const char *host, uint16_t port, struct host_address out[HOST_ADDRESSES_MAX], int *count,
                  const char **reason)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    char service[8];
    int failure;

    snprintf(service, sizeof service, "%u", port);
    failure = getaddrinfo(host, service, &hints, &found);
    if (failure) {
        *reason = gai_strerror(failure);
        return ERROR_NOT_FOUND;
    }
    for (const struct addrinfo *at = found; at && *count < HOST_ADDRESSES_MAX; at = at->ai_next) {
        if (have(out, *count, at))
            continue;
        memcpy(&out[*count].address, at->ai_addr, at->ai_addrlen);
        out[(*count)++].length = at->ai_addrlen;
    }
    freeaddrinfo(found);
    return 0;
}

int host_addresses(const char *host, uint16_t port, struct host_address out[HOST_ADDRESSES_MAX],
                   const char **reason)
{
    int count = 0, result;

    if (strcmp(host, "localhost") == 0) {
        result = append("::1", port, out, &count, reason);
        if (!result)
            result = append("127.0.0.1", port, out, &count, reason);
    } else
        result = append(host, port, out, &count, reason);
    return result ? result : count;
}
