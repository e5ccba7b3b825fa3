/*
 * Fuzzes proto/proxy_protocol.h: a header is the same however much stands behind it, is never read before its
 * last byte, and a refusal stays one with more bytes.
 */
#include "fuzz.h"
#include "proto/proxy_protocol.h"

static int read_front(const uint8_t *data, size_t length, struct proxy_header *out)
{
    char *copy = copy_of(bytes_make((const char *)data, length));
    int result = proxy_protocol_read(bytes_make(copy, length), out);

    free(copy);
    require(result >= ERROR_TOO_LARGE && result <= (int)length && result <= PROXY_PROTOCOL_MAX);
    require(result >= 0 || result == ERROR_MALFORMED || result == ERROR_TOO_LARGE);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header whole = {0}, part = {0};
    int result;

    if (size > PROXY_PROTOCOL_MAX + 64)
        return 0;
    result = read_front(data, size, &whole);
    for (size_t length = 0; length < size && length < 300; length++) {
        int front = read_front(data, length, &part);

        require(front == 0 || front == result);
        if (front > 0)
            require(ip_address_equal(&part.client, &whole.client) && part.secure == whole.secure);
        if (front == 0)
            require(result <= 0 || length < (size_t)result);
    }
    return 0;
}
