/*
 * Batches of documents and MongoDB's answers to them; see archive_batch.h.  It owns the documents until they
 * are settled; the archive's thread calls it.  Its one surprising rule: what says nothing about a message
 * itself is never held against it, so only codes that are known to blame a document, or that a document gets
 * many times over, lead to a dead letter; and before that it is tried without args, the only part that a
 * server could object to.
 */
#include "router/archive_batch.h"

#include "common/clock.h"
#include "common/memory.h"
#include "router/archive_document.h"

#include <stdlib.h>

enum {
    QUICK_PART = 4,           /* an answer within this part of the timeout is quick */
    UNKNOWN_ATTEMPTS_MAX = 8, /* answers with a code that is in no table, before it counts as for good */
    CODE_TOO_LARGE = 10334,   /* BSONObjectTooLarge */
    CODE_INVALID_BSON = 22,
    CODE_DUPLICATE_KEY = 11000, /* of letters, too: another message is stored in its place */
};

enum item_state {
    ITEM_WAITING,
    ITEM_STORED_BEFORE, /* says MongoDB; to be looked up */
    ITEM_SETTLED,
    ITEM_REFUSED,
};

struct archive_item {
    uint64_t pos;
    bson_t *document;
    enum item_state state;
    unsigned attempts; /* that got an unknown code */
    int code;
    char error[JOURNAL_LETTER_ERROR_MAX + 1]; /* set when refused */
};

/* MongoDB's error codes (src/mongo/base/error_codes.yml), by name there. */
static const uint32_t passing_codes[] = {
    6,     /* HostUnreachable */
    7,     /* HostNotFound */
    13,    /* Unauthorized */
    18,    /* AuthenticationFailed */
    24,    /* LockTimeout */
    46,    /* LockBusy */
    50,    /* MaxTimeMSExpired */
    63,    /* StaleShardVersion */
    64,    /* WriteConcernFailed */
    79,    /* UnknownReplWriteConcern */
    89,    /* NetworkTimeout */
    91,    /* ShutdownInProgress */
    100,   /* UnsatisfiableWriteConcern */
    112,   /* WriteConflict */
    133,   /* FailedToSatisfyReadPreference */
    146,   /* ExceededMemoryLimit */
    150,   /* StaleEpoch */
    189,   /* PrimarySteppedDown */
    202,   /* NetworkInterfaceExceededTimeLimit */
    234,   /* RetryChangeStream */
    262,   /* ExceededTimeLimit */
    358,   /* InternalTransactionNotSupported */
    391,   /* ReauthenticationRequired */
    9001,  /* SocketException */
    10058, /* LegacyNotPrimary */
    10107, /* NotWritablePrimary */
    11600, /* InterruptedAtShutdown */
    11602, /* InterruptedDueToReplStateChange */
    13388, /* StaleConfig */
    13435, /* NotPrimaryNoSecondaryOk */
    13436, /* NotPrimaryOrSecondary */
    14031, /* OutOfDiskSpace */
    16500, /* request rate too large, of servers that speak the protocol */
};

/* In the answer for one document. */
static const uint32_t blaming_codes[] = {
    2,     /* BadValue */
    9,     /* FailedToParse */
    14,    /* TypeMismatch */
    15,    /* Overflow */
    22,    /* InvalidBSON */
    52,    /* DollarPrefixedFieldName */
    53,    /* InvalidIdField */
    55,    /* InvalidDBRef */
    56,    /* EmptyFieldName */
    57,    /* DottedFieldName */
    121,   /* DocumentValidationFailure */
    10334, /* BSONObjectTooLarge */
    16755, /* a geo index can't take it */
    17280, /* KeyTooLong */
};

#define IN(table, code) contains(table, sizeof(table) / sizeof *(table), code)

static bool contains(const uint32_t *codes, size_t count, uint32_t code)
{
    for (size_t i = 0; i < count; i++)
        if (codes[i] == code)
            return true;
    return false;
}

bool archive_code_passes(uint32_t code)
{
    return IN(passing_codes, code);
}

void archive_batch_clear(struct archive_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        bson_destroy(batch->items[i].document);
    batch->count = batch->refused = 0;
    batch->first_at = batch->stored = batch->known = 0;
}

void archive_batch_done(struct archive_batch *batch)
{
    archive_batch_clear(batch);
    free(batch->items);
    *batch = (struct archive_batch){0};
}

static void refuse(struct archive_batch *batch, struct archive_item *item, uint32_t code, const char *error)
{
    item->state = ITEM_REFUSED;
    item->code = (int)code;
    archive_copy_words(item->error, sizeof item->error, error);
    batch->refused++;
}

static void settle(struct archive_item *item, uint64_t *count)
{
    item->state = ITEM_SETTLED;
    ++*count;
}

void archive_batch_add(struct archive_batch *batch, const struct journal_message *message, struct bytes epoch)
{
    struct archive_item *item;
    int result;

    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity ? batch->capacity * 2 : 64;
        batch->items = memory_resize(batch->items, batch->capacity * sizeof *batch->items);
    }
    if (batch->count == 0)
        batch->first_at = message->at;
    item = &batch->items[batch->count++];
    item->pos = message->pos;
    item->state = ITEM_WAITING;
    item->attempts = 0;
    item->document = bson_sized_new(256 + 2 * message->arguments.length + message->attachments.length);
    result = archive_document_write(message, epoch, true, item->document);
    if (result == ERROR_TOO_LARGE)
        refuse(batch, item, CODE_TOO_LARGE, "larger than a document may be");
    else if (result)
        refuse(batch, item, CODE_INVALID_BSON, "its attachments can't be read");
}

void archive_batch_letters(const struct archive_batch *batch, struct journal_letter *out)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct archive_item *item = &batch->items[i];

        if (item->state == ITEM_REFUSED)
            *out++ = (struct journal_letter){item->pos, item->code, item->error};
    }
}

/* Takes args out of a document; false when it has none. */
static bool take_args_out(struct archive_item *item)
{
    bson_t *bare;

    if (!bson_has_field(item->document, "args"))
        return false;
    bare = bson_new();
    bson_copy_to_excluding_noinit(item->document, bare, "args", NULL);
    bson_destroy(item->document);
    item->document = bare;
    return true;
}

/* A document is to blame. */
static void blame(struct archive_batch *batch, struct archive_item *item, uint32_t code, const char *error)
{
    if (take_args_out(item))
        batch->lightened = true;
    else
        refuse(batch, item, code, error);
}

/* -- what is stored already ------------------------------------------------------------------- */

static bool same_field(const bson_t *a, const bson_t *b, const char *field)
{
    bson_iter_t left, right;
    uint32_t left_length = 0, right_length = 0;
    const char *left_data = NULL, *right_data = NULL;

    if (!bson_iter_init_find(&left, a, field) || !bson_iter_init_find(&right, b, field) ||
        bson_iter_type(&left) != bson_iter_type(&right))
        return false;
    if (BSON_ITER_HOLDS_BINARY(&left)) {
        bson_iter_binary(&left, NULL, &left_length, (const uint8_t **)&left_data);
        bson_iter_binary(&right, NULL, &right_length, (const uint8_t **)&right_data);
    } else if (BSON_ITER_HOLDS_UTF8(&left)) {
        left_data = bson_iter_utf8(&left, &left_length);
        right_data = bson_iter_utf8(&right, &right_length);
    } else {
        return false;
    }
    return bytes_equal(bytes_make(left_data, left_length), bytes_make(right_data, right_length));
}

static int64_t seq_of(const bson_t *document)
{
    bson_iter_t iter;

    return bson_iter_init_find(&iter, document, ARCHIVE_FIELD_SEQ) ? bson_iter_as_int64(&iter) : -1;
}

static bool in_room_of(const struct archive_item *item, const bson_t *document)
{
    return item->state == ITEM_STORED_BEFORE &&
           same_field(item->document, document, ARCHIVE_FIELD_NAMESPACE) &&
           same_field(item->document, document, ARCHIVE_FIELD_ROOM);
}

static void append_field(bson_t *out, const bson_t *document, const char *field)
{
    bson_iter_t iter;

    if (bson_iter_init_find(&iter, document, field))
        bson_append_iter(out, field, -1, &iter);
}

/* The stored documents of all that are to be looked up in the room of one of them. */
static void append_filter(bson_t *filter, const struct archive_batch *batch, const bson_t *document)
{
    bson_t seq, in;
    uint32_t count = 0;

    append_field(filter, document, ARCHIVE_FIELD_NAMESPACE);
    append_field(filter, document, ARCHIVE_FIELD_ROOM);
    append_field(filter, document, ARCHIVE_FIELD_EPOCH);
    bson_append_document_begin(filter, ARCHIVE_FIELD_SEQ, -1, &seq);
    bson_append_array_begin(&seq, "$in", -1, &in);
    for (size_t i = 0; i < batch->count; i++) {
        char digits[16];
        const char *key;

        if (!in_room_of(&batch->items[i], document))
            continue;
        bson_uint32_to_string(count++, &key, digits, sizeof digits);
        bson_append_int64(&in, key, -1, seq_of(batch->items[i].document));
    }
    bson_append_array_end(&seq, &in);
    bson_append_document_end(filter, &seq);
}

/* Settles those of a room; what is not found with the same publish id is refused. */
static int look_up_room(struct archive_batch *batch, struct archive_client *client, const bson_t *document,
                        bson_error_t *reason)
{
    mongoc_read_prefs_t *primary = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);
    bson_t *options = BCON_NEW("projection", "{", ARCHIVE_FIELD_SEQ, BCON_INT32(1), ARCHIVE_FIELD_PUBLISH_ID,
                               BCON_INT32(1), "}");
    bson_t filter = BSON_INITIALIZER;
    mongoc_cursor_t *cursor;
    const bson_t *found;
    bool failed;

    append_filter(&filter, batch, document);
    cursor = mongoc_collection_find_with_opts(client->collection, &filter, options, primary);
    while (mongoc_cursor_next(cursor, &found))
        for (size_t i = 0; i < batch->count; i++)
            if (in_room_of(&batch->items[i], document) && seq_of(found) == seq_of(batch->items[i].document) &&
                same_field(found, batch->items[i].document, ARCHIVE_FIELD_PUBLISH_ID)) {
                settle(&batch->items[i], &batch->known);
                break;
            }
    failed = mongoc_cursor_error(cursor, reason);
    for (size_t i = 0; i < batch->count && !failed; i++)
        if (in_room_of(&batch->items[i], document))
            refuse(batch, &batch->items[i], CODE_DUPLICATE_KEY, "another message is stored under its _id");
    mongoc_cursor_destroy(cursor);
    bson_destroy(&filter);
    bson_destroy(options);
    mongoc_read_prefs_destroy(primary);
    return failed ? ERROR_AGAIN : 0;
}

static int look_up(struct archive_batch *batch, struct archive_client *client, bson_error_t *reason)
{
    int result = 0;

    for (size_t i = 0; i < batch->count && !result; i++)
        if (batch->items[i].state == ITEM_STORED_BEFORE) {
            bson_t *document = bson_copy(batch->items[i].document);

            result = look_up_room(batch, client, document, reason);
            bson_destroy(document);
        }
    return result;
}

/* -- sending ---------------------------------------------------------------------------------- */

/* What one document got. */
static void take_error(struct archive_batch *batch, struct archive_item *item, uint32_t code,
                       const char *error)
{
    if (code == CODE_DUPLICATE_KEY)
        item->state = ITEM_STORED_BEFORE;
    else if (IN(blaming_codes, code) ||
             (!archive_code_passes(code) && ++item->attempts >= UNKNOWN_ATTEMPTS_MAX))
        blame(batch, item, code, error);
}

/* Goes through writeErrors; gives how many there were, and the code of the first. */
static uint32_t take_errors(struct archive_batch *batch, struct archive_item *const *sent, uint32_t count,
                            const bson_t *reply, bool *answered, uint32_t *first_code)
{
    uint32_t errors = 0;
    bson_iter_t iter, element;

    if (!bson_iter_init_find(&iter, reply, "writeErrors") || !bson_iter_recurse(&iter, &element))
        return 0;
    while (bson_iter_next(&element)) {
        bson_iter_t field;
        uint32_t index = count, code = 0;
        const char *error = "";

        if (!bson_iter_recurse(&element, &field))
            continue;
        while (bson_iter_next(&field)) {
            const char *key = bson_iter_key(&field);

            if (strcmp(key, "index") == 0)
                index = (uint32_t)bson_iter_as_int64(&field);
            else if (strcmp(key, "code") == 0)
                code = (uint32_t)bson_iter_as_int64(&field);
            else if (strcmp(key, "errmsg") == 0 && BSON_ITER_HOLDS_UTF8(&field))
                error = bson_iter_utf8(&field, NULL);
        }
        if (index >= count || answered[index])
            continue;
        answered[index] = true;
        if (errors++ == 0)
            *first_code = code;
        take_error(batch, sent[index], code, error);
    }
    return errors;
}

static bool has_elements(const bson_t *reply, const char *field)
{
    bson_iter_t iter, element;

    return bson_iter_init_find(&iter, reply, field) && bson_iter_recurse(&iter, &element) &&
           bson_iter_next(&element);
}

/* Whether an answer to the whole write says that some document in it is to blame. */
static bool blames_documents(const bson_error_t *error)
{
    if (error->domain == MONGOC_ERROR_BSON)
        return true;
    return error->domain == MONGOC_ERROR_SERVER &&
           (error->code == CODE_TOO_LARGE || error->code == CODE_INVALID_BSON);
}

static int send_some(struct archive_batch *batch, struct archive_client *client,
                     struct archive_item *const *items, uint32_t count, bson_error_t *reason);

/* Finds the document that is to blame by sending halves. */
static int narrow_down(struct archive_batch *batch, struct archive_client *client,
                       struct archive_item *const *items, uint32_t count, bson_error_t *reason)
{
    int result;

    if (count == 1) {
        blame(batch, items[0], reason->domain == MONGOC_ERROR_SERVER ? reason->code : CODE_TOO_LARGE,
              reason->message);
        return 0;
    }
    result = send_some(batch, client, items, count / 2, reason);
    return result ? result : send_some(batch, client, items + count / 2, count - count / 2, reason);
}

/* One write of waiting documents. */
static int send_some(struct archive_batch *batch, struct archive_client *client,
                     struct archive_item *const *items, uint32_t count, bson_error_t *reason)
{
    bson_t *unordered = BCON_NEW("ordered", BCON_BOOL(false));
    bson_t *unchecked = BCON_NEW("validate", BCON_BOOL(false)); /* empty keys are fine */
    mongoc_bulk_operation_t *bulk =
        mongoc_collection_create_bulk_operation_with_opts(client->collection, unordered);
    bool *answered = memory_zero(count, sizeof *answered);
    uint32_t errors, first_code = 0;
    bson_t reply;
    int result = 0;

    for (uint32_t i = 0; i < count; i++)
        (void)mongoc_bulk_operation_insert_with_opts(bulk, items[i]->document, unchecked, NULL);
    if (mongoc_bulk_operation_execute(bulk, &reply, reason)) {
        for (uint32_t i = 0; i < count; i++)
            settle(items[i], &batch->stored);
    } else {
        errors = take_errors(batch, items, count, &reply, answered, &first_code);
        /* Those without an error are stored, unless there is more to complain of than those errors: the way
           to the server, a majority. */
        if (errors && reason->domain == MONGOC_ERROR_SERVER && reason->code == first_code &&
            !has_elements(&reply, "writeConcernErrors")) {
            for (uint32_t i = 0; i < count; i++)
                if (!answered[i])
                    settle(items[i], &batch->stored);
        } else if (errors == 0 && blames_documents(reason)) {
            result = narrow_down(batch, client, items, count, reason);
        } else {
            result = ERROR_AGAIN;
        }
        /* The server's words about a document may quote it. */
        if (errors)
            bson_set_error(reason, MONGOC_ERROR_SERVER, reason->code, "%u of %u messages got code %u", errors,
                           count, reason->code);
    }
    bson_destroy(&reply);
    free(answered);
    mongoc_bulk_operation_destroy(bulk);
    bson_destroy(unordered);
    bson_destroy(unchecked);
    return result;
}

/* One write of so many, and what it takes to settle them. */
static int send_piece(struct archive_batch *batch, struct archive_client *client,
                      struct archive_item *const *items, uint32_t count, struct archive_pace *pace,
                      bson_error_t *reason)
{
    uint64_t started = clock_monotonic_ms();
    int result = send_some(batch, client, items, count, reason);

    if (!result)
        result = look_up(batch, client, reason);
    if (result) {
        pace->now = pace->now / 2 > ARCHIVE_PACE_MIN ? pace->now / 2 : ARCHIVE_PACE_MIN;
        /* Whether a majority has what is said to be stored, only an answer without complaint says. */
        for (uint32_t i = 0; i < count; i++)
            if (items[i]->state == ITEM_STORED_BEFORE)
                items[i]->state = ITEM_WAITING;
    } else if (clock_monotonic_ms() - started <= pace->timeout / QUICK_PART) {
        pace->now *= 2;
    }
    if (pace->now > pace->most)
        pace->now = pace->most;
    return result;
}

/* All that wait, some at a time. */
static int send_waiting(struct archive_batch *batch, struct archive_client *client,
                        struct archive_item *const *items, uint32_t count, struct archive_pace *pace,
                        bson_error_t *reason)
{
    int result = 0;

    for (uint32_t sent = 0, some; sent < count && !result; sent += some) {
        some = pace->now < count - sent ? pace->now : count - sent;
        result = send_piece(batch, client, items + sent, some, pace, reason);
    }
    return result;
}

int archive_batch_send(struct archive_batch *batch, struct archive_client *client, struct archive_pace *pace,
                       bson_error_t *reason)
{
    struct archive_item **waiting = memory_new((batch->count + 1) * sizeof *waiting);
    int result = 0;

    /* More than one round is for those that are sent without args then. */
    do {
        uint32_t count = 0;

        batch->lightened = false;
        for (size_t i = 0; i < batch->count; i++)
            if (batch->items[i].state == ITEM_WAITING)
                waiting[count++] = &batch->items[i];
        result = send_waiting(batch, client, waiting, count, pace, reason);
    } while (!result && batch->lightened);
    for (size_t i = 0; i < batch->count && !result; i++)
        if (batch->items[i].state == ITEM_WAITING)
            result = ERROR_AGAIN;
    free(waiting);
    return result;
}
