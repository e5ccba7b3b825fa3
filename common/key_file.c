/*
 * Reading and writing of key files; see key_file.h.  The programs read them while they load their
 * configuration, and `hubbub keygen` writes them.  Its one surprising rule: what was read is wiped before its
 * memory is freed, also of public keys, as one reader serves both.
 */
#include "common/key_file.h"

#include "common/memory.h"
#include "common/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { GROUP_LENGTH = 5 };

static const char digits[] =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

static bool is_key(struct bytes text)
{
    uint64_t value = 0;

    if (text.length != KEY_LENGTH)
        return false;
    for (size_t i = 0; i < KEY_LENGTH; i++) {
        const char *digit = text.data[i] ? strchr(digits, text.data[i]) : NULL;

        if (!digit)
            return false;
        value = value * 85 + (uint64_t)(digit - digits);
        if (i % GROUP_LENGTH == GROUP_LENGTH - 1) {
            if (value > UINT32_MAX)
                return false;
            value = 0;
        }
    }
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void add(struct key_list *list, struct bytes text)
{
    struct key *keys = memory_zero(list->count + 1, sizeof *keys);

    if (list->count) {
        memcpy(keys, list->keys, list->count * sizeof *keys);
        explicit_bzero(list->keys, list->count * sizeof *keys);
    }
    free(list->keys);
    memcpy(keys[list->count++].text, text.data, KEY_LENGTH);
    list->keys = keys;
}

/* One line without its end: takes the key of it, if there is one. */
static int parse_line(struct key_list *list, struct bytes line)
{
    size_t start = 0, end, rest;

    while (start < line.length && is_blank(line.data[start]))
        start++;
    if (start == line.length || line.data[start] == '#')
        return 0;
    end = start;
    while (end < line.length && !is_blank(line.data[end]))
        end++;
    rest = end;
    while (rest < line.length && is_blank(line.data[rest]))
        rest++;
    if ((rest < line.length && line.data[rest] != '#') || !is_key(bytes_make(line.data + start, end - start)))
        return ERROR_MALFORMED;
    add(list, bytes_make(line.data + start, end - start));
    return 0;
}

static int parse(const char *path, const struct buffer *text, struct key_list *list, struct buffer *error)
{
    unsigned number = 1;
    size_t at = 0;

    while (at < text->length) {
        const char *line = text->data + at;
        const char *newline = memchr(line, '\n', text->length - at);
        size_t length = newline ? (size_t)(newline - line) : text->length - at;

        if (parse_line(list, bytes_make(line, length)) < 0) {
            buffer_printf(error, "%s:%u: not a key; expected %u characters of Z85", path, number,
                          (unsigned)KEY_LENGTH);
            return ERROR_CONFIG;
        }
        at += length + 1;
        number++;
    }
    return 0;
}

static int read_keys(const char *path, bool secret, bool single, struct key_list *out, struct buffer *error)
{
    struct key_list list = {0};
    struct buffer text = {0};
    int result = secret_file_read(path, secret, "the key", &text, error);

    if (!result)
        result = parse(path, &text, &list, error);
    if (!result && (list.count == 0 || (single && list.count > 1))) {
        buffer_printf(error, "%s: %zu keys; expected %s", path, list.count, single ? "one" : "at least one");
        result = ERROR_CONFIG;
    }
    secret_file_wipe(&text);
    if (result)
        key_list_done(&list);
    else
        *out = list;
    return result;
}

static int read_one(const char *path, bool secret, struct key *out, struct buffer *error)
{
    struct key_list list = {0};
    int result = read_keys(path, secret, true, &list, error);

    if (result)
        return result;
    *out = list.keys[0];
    key_list_done(&list);
    return 0;
}

int key_file_read_secret(const char *path, struct key *out, struct buffer *error)
{
    return read_one(path, true, out, error);
}

int key_file_read_public(const char *path, struct key *out, struct buffer *error)
{
    return read_one(path, false, out, error);
}

int key_file_read_list(const char *path, struct key_list *out, struct buffer *error)
{
    return read_keys(path, false, false, out, error);
}

void key_list_done(struct key_list *list)
{
    if (list->count)
        explicit_bzero(list->keys, list->count * sizeof *list->keys);
    free(list->keys);
    *list = (struct key_list){0};
}

bool key_list_has(const struct key_list *list, const struct key *key)
{
    for (size_t i = 0; i < list->count; i++)
        if (memcmp(list->keys[i].text, key->text, KEY_LENGTH) == 0)
            return true;
    return false;
}

int key_file_create(const char *path, const struct key *key, bool secret, struct buffer *error)
{
    char line[KEY_LENGTH + 2];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, secret ? 0600 : 0644);
    bool written;
    int reason;

    if (fd < 0) {
        reason = errno;
        buffer_printf(error, "%s: %s", path, strerror(reason));
        return reason == EEXIST ? ERROR_EXISTS : ERROR_SYSTEM;
    }
    snprintf(line, sizeof line, "%s\n", key->text);
    written = write(fd, line, KEY_LENGTH + 1) == KEY_LENGTH + 1 && fsync(fd) == 0;
    reason = errno;
    explicit_bzero(line, sizeof line);
    close(fd);
    if (written)
        return 0;
    unlink(path);
    buffer_printf(error, "%s: %s", path, strerror(reason));
    return ERROR_SYSTEM;
}
