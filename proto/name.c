/*
 * What is a name, and what a pattern stands for; see name.h.  Owns nothing; rules.c and whoever takes names
 * from peers call it.  Surprising: the matcher only ever goes back to the newest '*', which is enough for
 * stars that may not stand for every character too: text that an earlier star could still be moved past can't
 * hold a '/' or '?'.
 */
#include "proto/name.h"

#include "proto/socketio.h"
#include "proto/utf8.h"

bool name_valid(struct bytes name, size_t limit)
{
    if (name.length == 0 || name.length > limit || !utf8_valid(name))
        return false;
    for (size_t i = 0; i < name.length; i++) {
        unsigned char c = (unsigned char)name.data[i];

        if (c < 0x20 || c == 0x7f)
            return false;
        /* U+0080 to U+009F are C2 80 to C2 9F; the text is valid, so there is a byte behind C2. */
        if (c == 0xc2 && (unsigned char)name.data[i + 1] < 0xa0)
            return false;
    }
    return true;
}

bool room_name_valid(struct bytes name)
{
    return name_valid(name, ROOM_NAME_MAX);
}

struct bytes room_name_decode(struct json_value value, char space[ROOM_NAME_MAX])
{
    size_t length;

    if (value.kind != JSON_STRING || json_string_decode(value, space, ROOM_NAME_MAX, &length) < 0 ||
        !room_name_valid(bytes_make(space, length)))
        return (struct bytes){0};
    return bytes_make(space, length);
}

bool namespace_name_valid(struct bytes name)
{
    return name_valid(name, SOCKETIO_NAMESPACE_MAX) && name.data[0] == '/' &&
           !memchr(name.data, ',', name.length);
}

bool namespace_pattern_valid(struct bytes pattern)
{
    return namespace_name_valid(pattern) && memchr(pattern.data, '*', pattern.length) &&
           !memmem(pattern.data, pattern.length, "**", 2);
}

static bool star_takes(char c)
{
    return c != '/' && c != '?';
}

bool namespace_pattern_matches(struct bytes pattern, struct bytes name)
{
    size_t at = 0, done = 0; /* in the pattern, in the name */
    size_t behind_star = 0;  /* in the pattern; 0: no star so far */
    size_t run_end = 0;      /* of what that star stands for */

    if (!namespace_name_valid(name))
        return false;
    while (done < name.length) {
        if (at < pattern.length && pattern.data[at] == '*' && star_takes(name.data[done])) {
            behind_star = ++at;
            run_end = ++done;
        } else if (at < pattern.length && pattern.data[at] == name.data[done]) {
            at++;
            done++;
        } else if (behind_star && star_takes(name.data[run_end])) {
            at = behind_star;
            done = ++run_end;
        } else {
            return false;
        }
    }
    return at == pattern.length;
}
