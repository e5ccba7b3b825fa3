/*
 * Base64; see base64.h.  It owns nothing; the codec of polling payloads calls it.
 * Surprising: reading never fails, since the reference takes whatever it is given.
 */
#include "common/base64.h"

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const uint8_t base64_digits[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['-'] = 63,
    ['/'] = 64, ['_'] = 64,
};

static void write_group(char *out, uint32_t bits)
{
    out[0] = alphabet[bits >> 18];
    out[1] = alphabet[bits >> 12 & 63];
    out[2] = alphabet[bits >> 6 & 63];
    out[3] = alphabet[bits & 63];
}

void base64_write(char *out, struct bytes bytes)
{
    const uint8_t *at = (const uint8_t *)bytes.data;
    size_t left = bytes.length;

    for (; left >= 3; left -= 3, at += 3, out += 4)
        write_group(out, (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2]);
    if (left == 0)
        return;
    write_group(out, (uint32_t)at[0] << 16 | (left == 2 ? (uint32_t)at[1] << 8 : 0));
    out[3] = '=';
    if (left == 1)
        out[2] = '=';
}

size_t base64_read(char *out, struct bytes text)
{
    uint32_t bits = 0;
    unsigned count = 0;
    size_t length = 0;

    for (size_t i = 0; i < text.length && text.data[i] != '='; i++) {
        int digit = base64_digit(text.data[i]);
        if (digit < 0)
            continue;
        bits = bits << 6 | (uint32_t)digit;
        if (++count < 4)
            continue;
        out[length++] = (char)(bits >> 16);
        out[length++] = (char)(bits >> 8);
        out[length++] = (char)bits;
        count = 0;
    }
    bits <<= 6 * (4 - count);
    if (count > 1)
        out[length++] = (char)(bits >> 16);
    if (count > 2)
        out[length++] = (char)(bits >> 8);
    return length;
}
