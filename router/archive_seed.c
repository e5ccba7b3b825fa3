/*
 * The first start of a journal beside an archive; see archive_seed.h.  It owns nothing; router.c calls it
 * before it opens the journal.  Its one surprising rule: the rooms' times are not asked for one by one (that
 * would read every document, where the numbers stand in the index): none begins before the newest message of
 * all.
 */
#include "router/archive_seed.h"

#include "common/log.h"
#include "router/archive_document.h"
#include "router/journal_seed.h"

#include <unistd.h>

enum {
    RETRY_SECONDS = 1,
    QUIET_RETRIES = 15,          /* of those that follow a log line without one */
    PATIENCE_MS = 60 * 60 * 1000 /* for an answer: it may have to look at every room */
};

struct reading {
    struct archive_client client;
    mongoc_read_prefs_t *primary;
    struct journal_seed *seed;
    uint64_t newest; /* at of the newest message */
    uint64_t rooms;
    int failure; /* of the journal's file */
};

static bool read_text(const bson_t *document, const char *field, struct bytes *out)
{
    bson_iter_t iter;

    return bson_iter_init_find(&iter, document, field) && archive_value_text(&iter, out);
}

/* A number or a date; 0 for anything else. */
static uint64_t read_number(const bson_t *document, const char *field)
{
    uint64_t number = 0;
    bson_iter_t iter;

    if (bson_iter_init_find(&iter, document, field) && !archive_value_date(&iter, &number))
        (void)!archive_value_number(&iter, &number);
    return number;
}

/* Walks what an aggregation gives.  0, ERROR_AGAIN with a reason, or what the callback returned. */
static int walk(struct reading *reading, const bson_t *pipeline,
                int (*take)(struct reading *reading, const bson_t *document, bson_error_t *reason,
                            void *argument),
                void *argument, bson_error_t *reason)
{
    bson_t *options = BCON_NEW("allowDiskUse", BCON_BOOL(true));
    mongoc_cursor_t *cursor = mongoc_collection_aggregate(reading->client.collection, MONGOC_QUERY_NONE,
                                                          pipeline, options, reading->primary);
    const bson_t *document;
    int result = 0;

    while (!result && mongoc_cursor_next(cursor, &document))
        result = take(reading, document, reason, argument);
    if (!result && mongoc_cursor_error(cursor, reason))
        result = ERROR_AGAIN;
    mongoc_cursor_destroy(cursor);
    bson_destroy(options);
    return result;
}

static int take_room(struct reading *reading, const bson_t *document, bson_error_t *reason, void *argument)
{
    const struct bytes *namespace = argument;
    uint64_t seq = read_number(document, ARCHIVE_FIELD_SEQ);
    struct bytes room;

    (void)reason;
    if (!read_text(document, "_id", &room) || seq == 0)
        return 0; /* nothing of ours */
    reading->rooms++;
    reading->failure = journal_seed_room(reading->seed, *namespace, room, seq, reading->newest);
    return reading->failure;
}

static int take_namespace(struct reading *reading, const bson_t *document, bson_error_t *reason,
                          void *argument)
{
    struct bytes namespace;
    bson_iter_t value;
    bson_t pipeline, stage, inner;
    int result;

    (void)argument;
    if (!read_text(document, "_id", &namespace) || !bson_iter_init_find(&value, document, "_id"))
        return 0;
    bson_init(&pipeline);
    bson_append_document_begin(&pipeline, "0", -1, &stage);
    bson_append_document_begin(&stage, "$match", -1, &inner);
    bson_append_iter(&inner, ARCHIVE_FIELD_NAMESPACE, -1, &value);
    bson_append_document_end(&stage, &inner);
    bson_append_document_end(&pipeline, &stage);
    BCON_APPEND(&pipeline, "1", "{", "$group", "{", "_id", BCON_UTF8("$" ARCHIVE_FIELD_ROOM),
                ARCHIVE_FIELD_SEQ, "{", "$max", BCON_UTF8("$" ARCHIVE_FIELD_SEQ), "}", "}", "}");
    result = walk(reading, &pipeline, take_room, &namespace, reason);
    bson_destroy(&pipeline);
    return result;
}

static int read_newest(struct reading *reading, bson_error_t *reason)
{
    bson_t filter = BSON_INITIALIZER;
    bson_t *options = BCON_NEW("projection", "{", ARCHIVE_FIELD_AT, BCON_INT32(1), "}", "sort", "{",
                               ARCHIVE_FIELD_AT, BCON_INT32(-1), "}", "limit", BCON_INT64(1));
    mongoc_cursor_t *cursor =
        mongoc_collection_find_with_opts(reading->client.collection, &filter, options, reading->primary);
    const bson_t *document;
    int result;

    reading->newest = mongoc_cursor_next(cursor, &document) ? read_number(document, ARCHIVE_FIELD_AT) : 0;
    result = mongoc_cursor_error(cursor, reason) ? ERROR_AGAIN : 0;
    mongoc_cursor_destroy(cursor);
    bson_destroy(options);
    bson_destroy(&filter);
    return result;
}

static int read_all(struct reading *reading, bson_error_t *reason)
{
    bson_t *namespaces =
        BCON_NEW("0", "{", "$group", "{", "_id", BCON_UTF8("$" ARCHIVE_FIELD_NAMESPACE), "}", "}");
    bson_error_t ignored;
    int result;

    /* What can't be indexed is read slowly. */
    (void)!archive_client_make_indexes(&reading->client, &ignored);
    result = read_newest(reading, reason);
    if (!result)
        result = walk(reading, namespaces, take_namespace, NULL, reason);
    bson_destroy(namespaces);
    return result;
}

static void say_that_it_waits(const struct archive_place *place, const char *error)
{
    struct buffer hosts = {0};

    archive_place_append_hosts(&hosts, place);
    log_warn("waiting for MongoDB: a new journal needs the last numbers of the archive",
             "hosts=%.*s error=%s", BYTES_PRINTF(hosts), error);
    buffer_done(&hosts);
}

int archive_seed(const struct archive_place *place, const char *path, char *message, size_t message_size)
{
    struct archive_place patient = *place;
    struct journal_seed seed;
    struct reading reading;
    bson_error_t reason = {0};
    int result = journal_seed_begin(&seed, path, message, message_size);

    if (result)
        return result == ERROR_EXISTS ? 0 : result;
    patient.patience = PATIENCE_MS;
    for (unsigned tries = 0;; tries++) {
        reading = (struct reading){.seed = &seed, .primary = mongoc_read_prefs_new(MONGOC_READ_PRIMARY)};
        result = archive_client_open(&reading.client, &patient, &reason);
        if (!result)
            result = read_all(&reading, &reason);
        archive_client_close(&reading.client);
        mongoc_read_prefs_destroy(reading.primary);
        if (result != ERROR_AGAIN)
            break;
        if (tries % (QUIET_RETRIES + 1) == 0)
            say_that_it_waits(place, reason.message);
        sleep(RETRY_SECONDS);
        reading.failure = journal_seed_restart(&seed);
        if (reading.failure)
            break;
    }
    if (reading.failure) {
        result = journal_error_describe(seed.file.db, path, "the archive's numbers could not be written",
                                        message, message_size);
        journal_seed_abandon(&seed);
        return result;
    }
    result = journal_seed_end(&seed, message, message_size);
    if (!result && reading.rooms)
        log_info("the new journal goes on above the archive's numbers", "rooms=%llu",
                 (unsigned long long)reading.rooms);
    return result;
}
