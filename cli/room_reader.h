/*
 * A room's history, asked for page by page at the router's stats socket (router/transcript.h).
 *
 * It connects when it must and keeps the connection until room_reader_close().
 */
#ifndef HUBBUB_CLI_ROOM_READER_H
#define HUBBUB_CLI_ROOM_READER_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { ROOM_PAGE_MAX = 200 };

enum { ROOM_READER_SLOW_MS = 1000 };

/* Zero but for path, namespace and room, which are borrowed, and slow(), which may be NULL: it is called when
   an answer takes longer than ROOM_READER_SLOW_MS. */
struct room_reader {
    const char *path, *namespace, *room;
    void (*slow)(void *argument);
    void *slow_argument;
    struct buffer answer;
    bool connected;
    int fd;
};

/* Bounds are exclusive: the oldest messages above `after` with has_after, else the newest below `before` (0:
 * of all). */
struct room_question {
    bool has_after;
    uint64_t after, before;
    unsigned limit; /* 1 to ROOM_PAGE_MAX */
};

/* Valid until the next question. */
struct room_page {
    struct bytes lines; /* one JSON object a message, ascending, each with its line break */
    unsigned count;
    uint64_t first, last; /* seq; 0 for none */
    bool more;
};

/*
 * 0, or
 *   ERROR_CLOSED     nobody answers, or not to the end; errno says more, 0 for a connection that was closed
 *   ERROR_AGAIN      a signal came
 *   ERROR_BUSY       the router can't at the moment: room_reader_refusal()
 *   ERROR_NOT_FOUND  no such room
 *   ERROR_USAGE      the names are no UTF-8, or the router finds something wrong: room_reader_refusal()
 * After the first three the next question connects anew.
 */
int room_reader_ask(struct room_reader *reader, const struct room_question *question,
                    struct room_page *page) MUST_CHECK;

/* What the router said instead of a page, without a line break. */
struct bytes room_reader_refusal(const struct room_reader *reader);

/* Hangs up; the reader stays usable. */
void room_reader_close(struct room_reader *reader);

/* Hangs up and frees the answer. */
void room_reader_done(struct room_reader *reader);

#endif
