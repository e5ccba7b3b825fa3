/*
 * The router's part of hubbub doctor; see examine.h.  main.c calls it, and no router runs then.
 *
 * The surprise: nothing is written to MongoDB.  Whether its user may write shows only when the router does.
 */
#include "router/examine.h"

#include "common/finding.h"
#include "proto/wire.h"
#include "router/archive_client.h"
#include "router/journal_file.h"

#include <event2/event.h>
#include <sqlite3.h>
#include <string.h>
#include <zmq.h>

enum { WORDS_MAX = 300 };

static void examine_versions(struct buffer *out)
{
    int major, minor, patch;

    zmq_version(&major, &minor, &patch);
    finding_append(
        out, FINDING_OK, "versions", NULL,
        "hubbub-router %s, link protocol %d.%d; ZeroMQ %d.%d.%d, SQLite %s, libmongoc %s, libevent %s",
        HUBBUB_VERSION, WIRE_MAJOR, WIRE_MINOR, major, minor, patch, sqlite3_libversion(),
        mongoc_get_version(), event_get_version());
    if (!zmq_has("curve"))
        finding_append(out, FINDING_WARNING, "versions",
                       "install a libzmq with CURVE before gateways stand on other machines",
                       "this ZeroMQ can't encrypt");
}

/* What there is to do about a failure of MongoDB's. */
static const char *mend_failure(const bson_error_t *reason)
{
    if (reason->domain == MONGOC_ERROR_SERVER_SELECTION || reason->domain == MONGOC_ERROR_STREAM)
        return "start MongoDB, or mend the host, the port or the TLS options of router.archive; chat goes on "
               "meanwhile, except that a new data folder waits for it";
    if (reason->domain == MONGOC_ERROR_CLIENT || reason->code == 18)
        return "mend the user, the password or the authSource of router.archive";
    if (reason->code == 13)
        return "give the user readWrite on the archive's database";
    return "see MongoDB's log";
}

static void report_failure(struct buffer *out, const char *what, const bson_error_t *reason)
{
    char words[WORDS_MAX];

    archive_copy_words(words, sizeof words, reason->message);
    finding_append(out, FINDING_ERROR, "archive", mend_failure(reason), "%s: %s", what, words);
}

/* Whether MongoDB answers; says which one it is. */
static bool examine_server(struct buffer *out, struct archive_client *client, const char *hosts)
{
    bson_t *ask = BCON_NEW("buildInfo", BCON_INT32(1));
    bson_t answer;
    bson_error_t reason = {0};
    bson_iter_t version;
    bool answered = mongoc_client_command_simple(client->client, "admin", ask, NULL, &answer, &reason);

    if (!answered) {
        struct buffer what = {0};

        buffer_printf(&what, "MongoDB at %s does not answer%c", hosts, '\0');
        report_failure(out, what.data, &reason);
        buffer_done(&what);
    } else {
        bool known = bson_iter_init_find(&version, &answer, "version") && BSON_ITER_HOLDS_UTF8(&version);
        char words[WORDS_MAX];

        archive_copy_words(words, sizeof words, known ? bson_iter_utf8(&version, NULL) : "of no version");
        finding_append(out, FINDING_OK, "archive", NULL, "MongoDB %s answers at %s", words, hosts);
    }
    bson_destroy(&answer);
    bson_destroy(ask);
    return answered;
}

static bool is_index(const bson_t *description, const char *const *fields)
{
    bson_iter_t iterator, key;

    if (!bson_iter_init_find(&iterator, description, "key") || !bson_iter_recurse(&iterator, &key))
        return false;
    for (; *fields; fields++)
        if (!bson_iter_next(&key) || strcmp(bson_iter_key(&key), *fields) != 0)
            return false;
    return true;
}

/* Whether there is no message yet; false when that can't be found out. */
static bool is_empty(struct archive_client *client)
{
    bson_t all = BSON_INITIALIZER;
    bson_t *one = BCON_NEW("limit", BCON_INT64(1));
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(client->collection, &all, one, NULL);
    const bson_t *found;
    bool empty = !mongoc_cursor_next(cursor, &found) && !mongoc_cursor_error(cursor, NULL);

    mongoc_cursor_destroy(cursor);
    bson_destroy(one);
    bson_destroy(&all);
    return empty;
}

static void examine_indexes(struct buffer *out, struct archive_client *client)
{
    static const char *const by_room[] = {"namespace", "room", "seq", NULL};
    static const char *const by_time[] = {"at", NULL};
    mongoc_cursor_t *cursor = mongoc_collection_find_indexes_with_opts(client->collection, NULL);
    bool has_room = false, has_time = false;
    const bson_t *description;
    bson_error_t reason = {0};

    while (mongoc_cursor_next(cursor, &description)) {
        has_room = has_room || is_index(description, by_room);
        has_time = has_time || is_index(description, by_time);
    }
    if (mongoc_cursor_error(cursor, &reason) && reason.code != 26 /* NamespaceNotFound */)
        report_failure(out, "the indexes can't be read", &reason);
    else if (has_room && has_time)
        finding_append(out, FINDING_OK, "archive", NULL, "the collection %s has its indexes",
                       mongoc_collection_get_name(client->collection));
    else if (is_empty(client))
        finding_append(out, FINDING_OK, "archive", NULL,
                       "the collection %s is empty; the router makes its indexes when it starts",
                       mongoc_collection_get_name(client->collection));
    else
        finding_append(out, FINDING_ERROR, "archive",
                       "start the router, which makes them, with a user who may, or make them in mongosh: "
                       "createIndex({namespace: 1, room: 1, seq: 1}), createIndex({at: 1})",
                       "the collection %s lacks %s%s%s", mongoc_collection_get_name(client->collection),
                       has_room ? "" : "the index on namespace, room, seq (history would scan it all)",
                       has_room || has_time ? "" : ", and ", has_time ? "" : "the index on at");
    mongoc_cursor_destroy(cursor);
}

static void examine_write_concern(struct buffer *out, struct archive_client *client)
{
    const mongoc_write_concern_t *concern = mongoc_client_get_write_concern(client->client);
    bool majority = mongoc_write_concern_get_wmajority(concern);
    bool journaled = mongoc_write_concern_get_journal(concern);
    char w[16];

    snprintf(w, sizeof w, "%d", mongoc_write_concern_get_w(concern));
    if (majority && journaled)
        finding_append(out, FINDING_OK, "archive", NULL, "writes are answered by a majority, journaled");
    else
        finding_append(out, FINDING_WARNING, "archive",
                       "leave w and journal out of the connection string of router.archive: majority and "
                       "journaled is what Hubbub takes then",
                       "writes are answered with w=%s%s: MongoDB may forget messages that have left the "
                       "journal",
                       majority ? "majority" : w, journaled ? "" : ", not journaled");
}

static void examine_archive(const struct router_settings *settings, struct buffer *out)
{
    struct archive_client client = {0};
    struct archive_place place;
    struct buffer hosts = {0};
    bson_error_t reason = {0};

    if (!router_settings_archive(settings, &place)) {
        finding_append(out, FINDING_OK, "archive", NULL, "none is configured: the journal keeps everything");
        return;
    }
    archive_place_append_hosts(&hosts, &place);
    buffer_append_char(&hosts, '\0');
    if (archive_client_open(&client, &place, &reason)) {
        report_failure(out, "the hosts of router.archive can't be found", &reason);
    } else if (examine_server(out, &client, hosts.data)) {
        examine_indexes(out, &client);
        examine_write_concern(out, &client);
    }
    archive_client_close(&client);
    buffer_done(&hosts);
}

static void examine_journal(const struct router_settings *settings, struct buffer *out)
{
    struct buffer path = {0};
    char message[512] = "";
    int result;

    buffer_printf(&path, "%s/journal.sqlite%c", settings->data, '\0');
    result = journal_file_look(path.data, message, sizeof message);
    if (!result)
        finding_append(out, FINDING_OK, "journal", NULL, "%s is whole, as far as its start looks", path.data);
    else if (result == ERROR_CORRUPT || result == ERROR_FOREIGN)
        finding_append(
            out, FINDING_ERROR, "journal",
            "move it away, with its -wal and -shm, and make it again from a backup: hubbub restore", "%s",
            message);
    else if (result != ERROR_NOT_FOUND)
        finding_append(out, FINDING_ERROR, "journal", "ask as the user that the router runs as, or as root",
                       "%s", message);
    buffer_done(&path);
}

void router_examine(const struct router_settings *settings, struct buffer *out)
{
    examine_versions(out);
    examine_journal(settings, out);
    examine_archive(settings, out);
}
