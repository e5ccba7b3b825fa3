/* Bearer keys; see bearer.h.  The gateway's admin port asks it about each request. */
#include "common/bearer.h"

#include "common/memory.h"
#include "common/secret_file.h"

#include <stdlib.h>
#include <strings.h>

static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~+/", c));
}

/* RFC 6750: b64token. */
static bool is_key(struct bytes text)
{
    size_t end = text.length;

    if (text.length < BEARER_KEY_MIN || text.length > BEARER_KEY_MAX)
        return false;
    while (end > 0 && text.data[end - 1] == '=')
        end--;
    for (size_t i = 0; i < end; i++)
        if (!is_key_char(text.data[i]))
            return false;
    return end > 0;
}

static void add(struct bearer_keys *keys, struct bytes key)
{
    struct bytes *grown = memory_resize(keys->keys, (keys->count + 1) * sizeof *grown);

    grown[keys->count++] = key;
    keys->keys = grown;
}

static int parse(const char *path, struct bearer_keys *keys, struct buffer *error)
{
    unsigned number = 1;

    for (size_t at = 0; at < keys->text.length; number++) {
        const char *line = keys->text.data + at;
        const char *newline = memchr(line, '\n', keys->text.length - at);
        size_t length = newline ? (size_t)(newline - line) : keys->text.length - at;
        struct bytes text = bytes_make(line, length);

        at += length + 1;
        while (text.length && strchr(" \t\r", text.data[text.length - 1]) && text.data[text.length - 1])
            text.length--;
        if (text.length == 0 || text.data[0] == '#')
            continue;
        if (!is_key(text)) {
            buffer_printf(
                error, "%s:%u: not a bearer key; expected %d to %d letters, digits and - . _ ~ + / =", path,
                number, BEARER_KEY_MIN, BEARER_KEY_MAX);
            return ERROR_CONFIG;
        }
        add(keys, text);
    }
    if (keys->count)
        return 0;
    buffer_printf(error, "%s: no keys; expected at least one", path);
    return ERROR_CONFIG;
}

int bearer_keys_load(const char *path, struct bearer_keys *out, struct buffer *error)
{
    struct bearer_keys keys = {0};
    int result = secret_file_read(path, true, "the keys", &keys.text, error);

    if (!result)
        result = parse(path, &keys, error);
    if (result)
        bearer_keys_done(&keys);
    else
        *out = keys;
    return result;
}

void bearer_keys_done(struct bearer_keys *keys)
{
    secret_file_wipe(&keys->text);
    free(keys->keys);
    *keys = (struct bearer_keys){0};
}

/* All bytes are looked at, whatever they are; only the length may show. */
static bool same(struct bytes key, struct bytes shown)
{
    unsigned char difference = 0;

    if (key.length != shown.length)
        return false;
    for (size_t i = 0; i < key.length; i++)
        difference |= (unsigned char)(key.data[i] ^ shown.data[i]);
    return difference == 0;
}

bool bearer_keys_admit(const struct bearer_keys *keys, const char *authorization)
{
    static const char scheme[] = "Bearer ";
    struct bytes shown;
    bool admitted = false;

    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return false;
    authorization += sizeof scheme - 1;
    authorization += strspn(authorization, " ");
    shown = bytes_from_text(authorization);
    for (size_t i = 0; i < keys->count; i++)
        admitted |= same(keys->keys[i], shown);
    return admitted;
}
