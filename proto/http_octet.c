/*
 * The table of octets.  It owns nothing; http.c, http_body.c and
 * deflate_offer.c read it.  The one surprise: targets and hosts take more and less
 * than RFC 3986 has, as clients do.
 */
#include "proto/http_octet.h"

#define TOKEN  HTTP_OCTET_TOKEN
#define TARGET HTTP_OCTET_TARGET
#define VALUE  HTTP_OCTET_VALUE
#define HOST   HTTP_OCTET_HOST
#define BASE64 HTTP_OCTET_BASE64

const uint8_t http_octets[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = TOKEN | TARGET | VALUE | HOST,
    ['"'] = TARGET | VALUE,
    ['#'] = TOKEN | VALUE,
    ['$'] = TOKEN | TARGET | VALUE | HOST,
    ['%'] = TOKEN | TARGET | VALUE,
    ['&' ... '\''] = TOKEN | TARGET | VALUE | HOST,
    ['(' ... ')'] = TARGET | VALUE | HOST,
    ['*'] = TOKEN | TARGET | VALUE | HOST,
    ['+'] = TOKEN | TARGET | VALUE | HOST | BASE64,
    [','] = TARGET | VALUE | HOST,
    ['-' ... '.'] = TOKEN | TARGET | VALUE | HOST,
    ['/'] = TARGET | VALUE | BASE64,
    ['0' ... '9'] = TOKEN | TARGET | VALUE | HOST | BASE64,
    [':'] = TARGET | VALUE,
    [';'] = TARGET | VALUE | HOST,
    ['<'] = TARGET | VALUE,
    ['='] = TARGET | VALUE | HOST,
    ['>' ... '@'] = TARGET | VALUE,
    ['A' ... 'Z'] = TOKEN | TARGET | VALUE | HOST | BASE64,
    ['[' ... ']'] = TARGET | VALUE,
    ['^'] = TOKEN | TARGET | VALUE,
    ['_'] = TOKEN | TARGET | VALUE | HOST,
    ['`'] = TOKEN | TARGET | VALUE,
    ['a' ... 'z'] = TOKEN | TARGET | VALUE | HOST | BASE64,
    ['{'] = TARGET | VALUE,
    ['|'] = TOKEN | TARGET | VALUE,
    ['}'] = TARGET | VALUE,
    ['~'] = TOKEN | TARGET | VALUE | HOST,
    [0x80 ... 0xff] = VALUE,
};

bool http_octets_are(struct bytes text, enum http_octet class)
{
    for (size_t i = 0; i < text.length; i++)
        if (!http_octet_is(text.data[i], class))
            return false;
    return true;
}

struct bytes http_trim(struct bytes text)
{
    while (text.length && http_octet_is_blank(text.data[0])) {
        text.data++;
        text.length--;
    }
    while (text.length && http_octet_is_blank(text.data[text.length - 1]))
        text.length--;
    return text;
}
