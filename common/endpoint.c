/* Who can reach an endpoint; see endpoint.h.  Settings are checked with it before anything is opened. */
#include "common/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

bool endpoint_is_local(const char *endpoint)
{
    char host[16] = "";
    const char *end, *source_end;
    struct in_addr address;
    size_t length;

    if (strncmp(endpoint, "tcp://", 6) != 0)
        return strncmp(endpoint, "ipc://", 6) == 0;
    endpoint += 6;
    source_end = strchr(endpoint, ';');
    if (source_end)
        endpoint = source_end + 1;
    end = strrchr(endpoint, ':');
    length = end ? (size_t)(end - endpoint) : strlen(endpoint);
    if (length >= sizeof host)
        return false;
    memcpy(host, endpoint, length);
    if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
        return true;
    return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}
