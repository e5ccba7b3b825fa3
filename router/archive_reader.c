/*
 * The thread that reads pages from MongoDB; see archive_reader.h.  It owns the queues, a client and the
 * documents of results; page.c asks.  Its one surprising rule: the thread works on copies of what is asked
 * for and takes the read itself only under the lock, so that it can be left behind when MongoDB holds it up.
 */
#include "router/archive_reader.h"

#include "common/log.h"
#include "common/memory.h"
#include "common/thread.h"
#include "proto/json_scan.h"
#include "proto/utf8.h"
#include "router/archive_document.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { STOP_SECONDS = 1 };

struct archive_row {
    bson_t *document;
    struct wire_list attachments;
    struct archive_document read;
};

struct archive_reader {
    struct archive_place place;
    struct archive_client client; /* the thread's, like the next */
    bool away;                    /* MongoDB did not answer the last time */
    pthread_t thread;
    int event;
    unsigned waiting_max;
    unsigned waiting; /* handed in and not yet collected; the loop thread's */

    /* Guarded by mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct archive_read *queue, **queue_end;
    struct archive_read *current; /* the thread reads its copy */
    struct archive_read *done, **done_end;
    bool stop, ended, left_behind;
};

/* -- results ---------------------------------------------------------------------------------- */

const struct journal_message *archive_read_message(const struct archive_read *read, size_t row)
{
    return &read->rows[row].read.message;
}

void archive_read_free(struct archive_read *read)
{
    for (size_t i = 0; i < read->count; i++) {
        bson_destroy(read->rows[i].document);
        wire_list_done(&read->rows[i].attachments);
    }
    free(read->rows);
    read->rows = NULL;
    read->count = 0;
}

static void reverse(struct archive_row *rows, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct archive_row swapped = rows[i];

        rows[i] = rows[count - 1 - i];
        rows[count - 1 - i] = swapped;
    }
}

static uint64_t message_bytes(const struct journal_message *message)
{
    return message->arguments.length + message->attachments.length + message->event.length +
           message->publish_id.length + message->sender_name.length;
}

/* Whether it can stand in an answer as it is: others may have written to the collection. */
static bool can_be_shown(const struct journal_message *message)
{
    const struct bytes texts[] = {message->publish_id, message->event, message->sender_name,
                                  message->arguments};
    struct json_value value;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!utf8_valid(texts[i]))
            return false;
    /* With the brackets, as archive_document_read() has found them around it. */
    return json_scan(bytes_make(message->arguments.data - 1, message->arguments.length + 2), &value) == 0;
}

/* Adds a copy of the document.  0 or ERROR_MALFORMED. */
static int add_row(struct archive_read *read, const bson_t *document, uint64_t *bytes)
{
    struct archive_row row = {.document = bson_copy(document)};
    int result = archive_document_read(row.document, &row.attachments, &row.read);

    if (!result && !can_be_shown(&row.read.message))
        result = ERROR_MALFORMED;
    if (result) {
        bson_destroy(row.document);
        wire_list_done(&row.attachments);
        return result;
    }
    *bytes += message_bytes(&row.read.message);
    read->rows[read->count++] = row;
    return 0;
}

/* -- questions -------------------------------------------------------------------------------- */

/* The exclusive bounds of one question. */
struct window {
    uint64_t after, before;
};

/*
 * Where the page lies if the room's numbers have no holes: then the server need not put in order all that
 * lies beyond it, however it goes about that.
 */
static struct window likely_window(const struct archive_read *read)
{
    struct window window = {read->after, read->before};
    uint64_t width = (uint64_t)read->limit + 2; /* the page and one more */

    if (!read->newest && read->after < INT64_MAX - width &&
        (!read->before || read->before > read->after + width))
        window.before = read->after + width;
    else if (read->newest && read->before > width && read->before - width > read->after)
        window.after = read->before - width;
    return window;
}

static bson_t *make_filter(const struct archive_read *read, struct window window)
{
    bson_t *filter = bson_new();
    bson_t bounds;

    bson_append_utf8(filter, ARCHIVE_FIELD_NAMESPACE, -1, read->namespace.data, (int)read->namespace.length);
    bson_append_utf8(filter, ARCHIVE_FIELD_ROOM, -1, read->room.data, (int)read->room.length);
    if (window.after || window.before) {
        BSON_APPEND_DOCUMENT_BEGIN(filter, ARCHIVE_FIELD_SEQ, &bounds);
        if (window.after)
            BSON_APPEND_INT64(&bounds, "$gt", (int64_t)window.after);
        if (window.before)
            BSON_APPEND_INT64(&bounds, "$lt", (int64_t)window.before);
        bson_append_document_end(filter, &bounds);
    }
    return filter;
}

static bson_t *make_options(const struct archive_read *read, uint32_t timeout)
{
    return BCON_NEW("sort", "{", ARCHIVE_FIELD_SEQ, BCON_INT32(read->newest ? -1 : 1), "}", "limit",
                    BCON_INT64((int64_t)read->limit + 1), "batchSize", BCON_INT64((int64_t)read->limit + 1),
                    "projection", "{", "args", BCON_INT32(0), "}", "maxTimeMS", BCON_INT64(timeout));
}

static void take_documents(mongoc_cursor_t *cursor, struct archive_read *read)
{
    const bson_t *document;
    uint64_t bytes = 0;

    while (!read->result && mongoc_cursor_next(cursor, &document)) {
        if (read->count == read->limit || (read->count && bytes > read->max_bytes)) {
            read->more = true;
            return;
        }
        read->result = add_row(read, document, &bytes);
    }
}

static void log_failure(const struct archive_reader *reader, const char *reason)
{
    struct buffer hosts = {0};

    archive_place_append_hosts(&hosts, &reader->place);
    log_warn("the archive can't be read", "archive=%.*s error=%s", BYTES_PRINTF(buffer_bytes(&hosts)),
             reason);
    buffer_done(&hosts);
}

/* Once an outage, however many pages fail in it. */
static void note_answer(struct archive_reader *reader, const char *failure)
{
    if (failure && !reader->away)
        log_failure(reader, failure);
    else if (!failure && reader->away)
        log_info("the archive can be read again");
    reader->away = failure != NULL;
}

/* Sets what comes back of that window. */
static void ask(struct archive_reader *reader, struct archive_read *read, struct window window)
{
    bson_t *filter = make_filter(read, window);
    bson_t *options = make_options(read, reader->place.timeout);
    mongoc_cursor_t *cursor =
        mongoc_collection_find_with_opts(reader->client.collection, filter, options, NULL);
    bson_error_t reason;

    read->rows = memory_new(((size_t)read->limit + 1) * sizeof *read->rows);
    take_documents(cursor, read);
    if (mongoc_cursor_error(cursor, &reason)) {
        note_answer(reader, reason.message);
        read->result = ERROR_AGAIN;
    } else {
        note_answer(reader, NULL);
        if (read->result) {
            log_failure(reader, "a document is not one of ours");
            read->result = ERROR_AGAIN;
        }
    }
    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);
    bson_destroy(options);
}

/* False, with the read's result, when its name can't be resolved. */
static bool need_client(struct archive_reader *reader, struct archive_read *read)
{
    bson_error_t reason;

    if (reader->client.client)
        return true;
    read->result = archive_client_open(&reader->client, &reader->place, &reason);
    if (read->result)
        log_failure(reader, reason.message);
    return !read->result;
}

/* Sets what comes back. */
static void query(struct archive_reader *reader, struct archive_read *read)
{
    struct window window = likely_window(read);

    if (need_client(reader, read))
        ask(reader, read, window);
    if (!read->result && !read->more && (window.after != read->after || window.before != read->before)) {
        archive_read_free(read);
        ask(reader, read, (struct window){read->after, read->before});
    }
    if (read->result) {
        archive_read_free(read);
        read->more = false;
        archive_client_close(&reader->client);
    } else if (read->newest) {
        reverse(read->rows, read->count);
    }
}

/* -- the thread ------------------------------------------------------------------------------- */

static struct archive_read *take_first(struct archive_reader *reader)
{
    struct archive_read *read = reader->queue;

    reader->queue = read->next;
    if (!reader->queue)
        reader->queue_end = &reader->queue;
    read->next = NULL;
    return read;
}

static void hand_back(struct archive_reader *reader, struct archive_read *read)
{
    *reader->done_end = read;
    reader->done_end = &read->next;
}

/* What was asked for, without its texts' owner, and nothing come back yet. */
static struct archive_read copy_question(const struct archive_read *read, struct buffer *names)
{
    struct archive_read copy = *read;

    buffer_clear(names);
    buffer_append_bytes(names, read->namespace);
    buffer_append_bytes(names, read->room);
    copy.namespace = bytes_make(names->data, read->namespace.length);
    copy.room = bytes_make(names->data + read->namespace.length, read->room.length);
    return copy;
}

static void finish(struct archive_reader *reader, const struct archive_read *copy)
{
    struct archive_read *read = reader->current;

    reader->current = NULL;
    read->result = copy->result;
    read->rows = copy->rows;
    read->count = copy->count;
    read->more = copy->more;
    hand_back(reader, read);
    while (copy->result && reader->queue) {
        read = take_first(reader);
        read->result = copy->result;
        hand_back(reader, read);
    }
    eventfd_write(reader->event, 1);
}

static void reader_free(struct archive_reader *reader)
{
    archive_client_close(&reader->client);
    archive_place_done(&reader->place);
    pthread_mutex_destroy(&reader->mutex);
    pthread_cond_destroy(&reader->wake);
    if (reader->event >= 0)
        close(reader->event);
    free(reader);
}

static void *run(void *argument)
{
    struct archive_reader *reader = argument;
    struct buffer names = {0};
    bool left_behind;

    pthread_setname_np(pthread_self(), "archive-read");
    pthread_mutex_lock(&reader->mutex);
    while (!reader->stop) {
        struct archive_read copy;

        if (!reader->queue) {
            pthread_cond_wait(&reader->wake, &reader->mutex);
            continue;
        }
        reader->current = take_first(reader);
        copy = copy_question(reader->current, &names);
        pthread_mutex_unlock(&reader->mutex);
        query(reader, &copy);
        pthread_mutex_lock(&reader->mutex);
        if (reader->left_behind)
            archive_read_free(&copy);
        else
            finish(reader, &copy);
    }
    reader->ended = true;
    left_behind = reader->left_behind;
    pthread_mutex_unlock(&reader->mutex);
    buffer_done(&names);
    if (left_behind)
        reader_free(reader);
    return NULL;
}

/* -- the loop's side -------------------------------------------------------------------------- */

int archive_reader_start(const struct archive_place *place, unsigned waiting_max, struct archive_reader **out)
{
    struct archive_reader *reader = memory_zero(1, sizeof *reader);

    reader->place = archive_place_copy(place);
    reader->waiting_max = waiting_max;
    reader->queue_end = &reader->queue;
    reader->done_end = &reader->done;
    pthread_mutex_init(&reader->mutex, NULL);
    pthread_cond_init(&reader->wake, NULL);
    reader->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (reader->event < 0) {
        reader_free(reader);
        return ERROR_SYSTEM;
    }
    thread_start(&reader->thread, run, reader);
    *out = reader;
    return 0;
}

/* The thread is done within a second, or is on its own from now on. */
static bool join(struct archive_reader *reader)
{
    struct timespec end;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += STOP_SECONDS;
    return pthread_timedjoin_np(reader->thread, NULL, &end) == 0;
}

static void call_back(struct archive_read *read)
{
    while (read) {
        struct archive_read *next = read->next;

        read->done(read, read->argument);
        read = next;
    }
}

void archive_reader_stop(struct archive_reader *reader)
{
    struct archive_read *left;
    bool joined;

    if (!reader)
        return;
    pthread_mutex_lock(&reader->mutex);
    reader->stop = true;
    pthread_cond_signal(&reader->wake);
    pthread_mutex_unlock(&reader->mutex);
    joined = join(reader);

    pthread_mutex_lock(&reader->mutex);
    if (!joined && reader->ended) { /* just now */
        pthread_mutex_unlock(&reader->mutex);
        joined = pthread_join(reader->thread, NULL) == 0;
        pthread_mutex_lock(&reader->mutex);
    }
    if (reader->current) {
        reader->current->result = ERROR_CLOSED;
        hand_back(reader, reader->current);
    }
    for (struct archive_read *read = reader->queue; read; read = read->next)
        read->result = ERROR_CLOSED;
    *reader->done_end = reader->queue;
    left = reader->done;
    reader->left_behind = !joined;
    if (!joined)
        pthread_detach(reader->thread);
    pthread_mutex_unlock(&reader->mutex);
    if (joined)
        reader_free(reader);
    call_back(left);
}

int archive_reader_fd(const struct archive_reader *reader)
{
    return reader->event;
}

void archive_reader_collect(struct archive_reader *reader)
{
    struct archive_read *done;
    eventfd_t count;

    (void)!eventfd_read(reader->event, &count);
    pthread_mutex_lock(&reader->mutex);
    done = reader->done;
    reader->done = NULL;
    reader->done_end = &reader->done;
    pthread_mutex_unlock(&reader->mutex);
    for (struct archive_read *read = done; read; read = read->next)
        reader->waiting--;
    call_back(done);
}

int archive_read(struct archive_reader *reader, struct archive_read *read)
{
    if (reader->waiting >= reader->waiting_max)
        return ERROR_BUSY;
    reader->waiting++;
    read->next = NULL;
    read->result = 0;
    read->rows = NULL;
    read->count = 0;
    read->more = false;
    pthread_mutex_lock(&reader->mutex);
    *reader->queue_end = read;
    reader->queue_end = &read->next;
    pthread_cond_signal(&reader->wake);
    pthread_mutex_unlock(&reader->mutex);
    return 0;
}
