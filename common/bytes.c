/* The few operations on borrowed bytes that are not worth inlining. */
#include "common/bytes.h"

#include "common/error.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool bytes_equal_nocase(struct bytes a, struct bytes b)
{
    if (a.length != b.length)
        return false;
    for (size_t i = 0; i < a.length; i++)
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    return true;
}

int bytes_parse_u64(struct bytes text, unsigned long long *out)
{
    unsigned long long value = 0;

    if (text.length == 0)
        return ERROR_MALFORMED;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return ERROR_MALFORMED;
        if (__builtin_mul_overflow(value, 10ULL, &value) ||
            __builtin_add_overflow(value, (unsigned long long)(text.data[i] - '0'), &value))
            return ERROR_MALFORMED;
    }
    *out = value;
    return 0;
}
