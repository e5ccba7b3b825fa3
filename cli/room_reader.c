/*
 * Questions and answers of `history {...}`; see room_reader.h.  The commands history and export use it.
 *
 * The surprise: no message is parsed here.  A line begins with its seq, and that is all it takes to page.
 */
#include "cli/room_reader.h"

#include "cli/stats_client.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

void room_reader_close(struct room_reader *reader)
{
    if (reader->connected)
        close(reader->fd);
    reader->connected = false;
}

void room_reader_done(struct room_reader *reader)
{
    room_reader_close(reader);
    buffer_done(&reader->answer);
}

/* Appends the command.  ERROR_USAGE when a name is no UTF-8. */
static int append_question(struct buffer *out, const struct room_reader *reader,
                           const struct room_question *question)
{
    json_t *json = json_pack("{s:s, s:s, s:I}", "namespace", reader->namespace, "room", reader->room, "limit",
                             (json_int_t)question->limit);
    char *text;

    if (!json)
        return ERROR_USAGE;
    if (question->has_after)
        json_object_set_new(json, "after", json_integer((json_int_t)question->after));
    else if (question->before)
        json_object_set_new(json, "before", json_integer((json_int_t)question->before));
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (!text)
        return ERROR_USAGE;
    buffer_append_literal(out, "history ");
    buffer_append_text(out, text);
    buffer_append_char(out, '\n');
    free(text);
    return 0;
}

static int fail(struct room_reader *reader, int result)
{
    int reason = result == ERROR_CLOSED ? 0 : errno;

    room_reader_close(reader);
    errno = reason;
    return reason == EINTR ? ERROR_AGAIN : ERROR_CLOSED;
}

/* Until the answer begins; what goes wrong is for the read to say, but for a signal. */
static int wait_for_answer(struct room_reader *reader)
{
    struct pollfd socket = {.fd = reader->fd, .events = POLLIN};
    int ready;

    do
        ready = poll(&socket, 1, ROOM_READER_SLOW_MS);
    while (ready < 0 && stats_client_goes_on(errno));
    if (ready < 0)
        return ERROR_SYSTEM;
    if (ready == 0 && reader->slow)
        reader->slow(reader->slow_argument);
    return 0;
}

static int exchange(struct room_reader *reader, struct bytes question)
{
    int result = 0;

    if (!reader->connected) {
        result = stats_client_connect(reader->path, &reader->fd);
        if (result)
            return fail(reader, result);
        reader->connected = true;
    }
    result = stats_client_send(reader->fd, question);
    if (!result)
        result = wait_for_answer(reader);
    if (!result)
        result = stats_client_read(reader->fd, &reader->answer);
    return result ? fail(reader, result) : 0;
}

struct bytes room_reader_refusal(const struct room_reader *reader)
{
    struct bytes text = buffer_bytes(&reader->answer);
    struct bytes mark = BYTES("error ");

    if (!bytes_starts_with(text, mark))
        return BYTES("the answer makes no sense");
    return bytes_make(text.data + mark.length, text.length - mark.length - 1);
}

/* Whom it has no place for the router hangs up on, too. */
static int read_refusal(struct room_reader *reader)
{
    struct bytes text = room_reader_refusal(reader);

    if (bytes_equal(text, BYTES("no such room")))
        return ERROR_NOT_FOUND;
    if (bytes_starts_with(text, BYTES("busy")) || bytes_starts_with(text, BYTES("unavailable"))) {
        room_reader_close(reader);
        return ERROR_BUSY;
    }
    return ERROR_USAGE;
}

/* The number that a line begins with. */
static uint64_t line_seq(const char *line)
{
    return strtoull(line + sizeof "{\"seq\":" - 1, NULL, 10);
}

int room_reader_ask(struct room_reader *reader, const struct room_question *question, struct room_page *page)
{
    struct bytes end = BYTES("{\"more\":");
    struct buffer text = {0};
    struct room_page read = {0};
    const char *line, *last = NULL, *after;
    int result = append_question(&text, reader, question);

    buffer_clear(&reader->answer);
    if (!result)
        result = exchange(reader, buffer_bytes(&text));
    buffer_done(&text);
    if (result)
        return result;
    line = reader->answer.data;
    after = line + reader->answer.length;
    while (line < after && !bytes_starts_with(bytes_make(line, (size_t)(after - line)), end)) {
        if (!bytes_starts_with(bytes_make(line, (size_t)(after - line)), BYTES("{\"seq\":")))
            return read_refusal(reader);
        last = line;
        read.count++;
        line = (const char *)memchr(line, '\n', (size_t)(after - line)) + 1;
    }
    if (line == after)
        return read_refusal(reader);
    read.lines = bytes_make(reader->answer.data, (size_t)(line - reader->answer.data));
    read.more = line[end.length] == 't';
    if (last) {
        read.first = line_seq(reader->answer.data);
        read.last = line_seq(last);
    }
    *page = read;
    return 0;
}
