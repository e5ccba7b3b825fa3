/*
 * Clients of MongoDB from our settings; see archive_client.h.  It owns libmongoc's start; the
 * archive thread, the archive's reader and the settings call it.  Its one surprising rule: libmongoc quotes
 * parts of a bad connection string, passwords too, so whatever it quotes is only repeated when it is the name
 * of an option.
 */
#include "router/archive_client.h"

#include "common/memory.h"
#include "router/archive_document.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#define DATABASE_DEFAULT "hubbub"

void archive_client_hide_counters(void)
{
    char name[32];

    /* As src/libmongoc/src/mongoc/mongoc-counters.c names it. */
    snprintf(name, sizeof name, "/mongoc-%u", (unsigned)getpid());
    shm_unlink(name);
}

static void start_library(void)
{
    mongoc_init();
    /* Its log lines quote as its errors do, and tell nothing that those do not. */
    mongoc_log_set_handler(NULL, NULL);
}

static void need_library(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, start_library);
}

/* Whether the text is the name of an option of the connection string. */
static bool names_option(const char *uri, struct bytes text)
{
    for (size_t i = 0; i < text.length; i++)
        if (!((text.data[i] | 0x20) >= 'a' && (text.data[i] | 0x20) <= 'z'))
            return false;
    for (const char *at = strpbrk(uri, "?&"); at; at = strpbrk(at + 1, "?&"))
        if (text.length && strncasecmp(at + 1, text.data, text.length) == 0 && at[1 + text.length] == '=')
            return true;
    return false;
}

/* The library's message without what it quotes of the connection string. */
static void append_redacted(struct buffer *out, const char *uri, const char *message)
{
    while (*message) {
        size_t plain = strcspn(message, "\"'");
        const char *close;

        buffer_append(out, message, plain);
        message += plain;
        if (!*message)
            return;
        /* The last one that it may be: what is quoted may hold quotes. */
        close = strrchr(message + 1, *message);
        if (!close)
            close = message + strlen(message);
        if (names_option(uri, bytes_make(message + 1, strcspn(message + 1, "\"'")))) {
            close = message + 1 + strcspn(message + 1, "\"'");
            buffer_append(out, message, (size_t)(close - message) + 1);
        } else {
            buffer_append_literal(out, "\"...\"");
        }
        message = *close ? close + 1 : close;
    }
}

/* NULL after one line in error. */
static mongoc_uri_t *parse(const struct archive_place *place, struct buffer *error)
{
    bson_error_t reason = {0};
    mongoc_uri_t *uri;

    need_library();
    if (strncmp(place->uri, "mongodb://", 10) != 0 && strncmp(place->uri, "mongodb+srv://", 14) != 0) {
        if (error)
            buffer_append_literal(error, "key archive is no MongoDB connection string: it must begin with "
                                         "mongodb:// or mongodb+srv://");
        return NULL;
    }
    uri = mongoc_uri_new_with_error(place->uri, &reason);
    if (!uri && error) {
        buffer_append_literal(error, "key archive is no MongoDB connection string: ");
        append_redacted(error, place->uri, reason.message);
    }
    if (uri && place->password)
        mongoc_uri_set_password(uri, place->password);
    return uri;
}

static const char *database(const struct archive_place *place, const mongoc_uri_t *uri)
{
    if (place->database)
        return place->database;
    return mongoc_uri_get_database(uri) ? mongoc_uri_get_database(uri) : DATABASE_DEFAULT;
}

/* What MongoDB refuses in the names of databases and collections. */
static int check_names(const struct archive_place *place, const mongoc_uri_t *uri, struct buffer *error)
{
    const char *name = database(place, uri);

    if (!*name || strlen(name) > 63 || strpbrk(name, "/\\. \"$*<>:|?")) {
        buffer_append_literal(error, "key archive_database: no name that a MongoDB database can have");
        return ERROR_CONFIG;
    }
    if (!*place->collection || strchr(place->collection, '$') ||
        strncmp(place->collection, "system.", 7) == 0) {
        buffer_append_literal(error, "key archive_collection: no name that a MongoDB collection can have");
        return ERROR_CONFIG;
    }
    return 0;
}

/* Without these no connection could ever be made. */
static int check_files(const mongoc_uri_t *uri, struct buffer *error)
{
    static const char *const options[] = {MONGOC_URI_TLSCAFILE, MONGOC_URI_TLSCERTIFICATEKEYFILE};

    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        const char *path = mongoc_uri_get_option_as_utf8(uri, options[i], NULL);

        if (path && access(path, R_OK)) {
            buffer_printf(error, "key archive: its %s %s can't be read: %s", options[i], path,
                          strerror(errno));
            return ERROR_CONFIG;
        }
    }
    return 0;
}

static bool is_acknowledged(const mongoc_uri_t *uri)
{
    const mongoc_write_concern_t *concern = mongoc_uri_get_write_concern(uri);

    return mongoc_write_concern_get_w(concern) != MONGOC_WRITE_CONCERN_W_UNACKNOWLEDGED &&
           mongoc_write_concern_get_w(concern) != MONGOC_WRITE_CONCERN_W_ERRORS_IGNORED;
}

int archive_place_check(const struct archive_place *place, struct buffer *error)
{
    mongoc_uri_t *uri = parse(place, error);
    mongoc_client_t *client;
    bson_error_t reason = {0};
    int result;

    if (!uri)
        return ERROR_CONFIG;
    result = check_names(place, uri, error);
    if (!result && place->password && !mongoc_uri_get_username(uri)) {
        buffer_append_literal(error, "key archive_password: key archive names no user whose password it is");
        result = ERROR_CONFIG;
    }
    if (!result)
        result = check_files(uri, error);
    if (!result && !is_acknowledged(uri)) {
        buffer_append_literal(error,
                              "key archive: w=0 means that MongoDB answers nothing, so nobody would know "
                              "what is archived");
        result = ERROR_CONFIG;
    }
    if (!result) {
        /* Finds what only a client finds, such as a build without TLS; names may be resolved later. */
        client = mongoc_client_new_from_uri_with_error(uri, &reason);
        if (!client && reason.domain != MONGOC_ERROR_STREAM) {
            buffer_append_literal(error, "key archive: ");
            append_redacted(error, place->uri, reason.message);
            result = ERROR_CONFIG;
        }
        mongoc_client_destroy(client);
    }
    mongoc_uri_destroy(uri);
    return result;
}

static void set_number(mongoc_uri_t *uri, const char *option, uint32_t value)
{
    if (!mongoc_uri_has_option(uri, option))
        mongoc_uri_set_option_as_int32(uri, option, (int32_t)value);
}

static void set_write_concern(mongoc_uri_t *uri, uint32_t timeout)
{
    mongoc_write_concern_t *concern = mongoc_write_concern_copy(mongoc_uri_get_write_concern(uri));

    if (mongoc_write_concern_get_w(concern) == MONGOC_WRITE_CONCERN_W_DEFAULT)
        mongoc_write_concern_set_w(concern, MONGOC_WRITE_CONCERN_W_MAJORITY);
    if (!mongoc_write_concern_journal_is_set(concern))
        mongoc_write_concern_set_journal(concern, true);
    if (mongoc_write_concern_get_wtimeout_int64(concern) == 0)
        mongoc_write_concern_set_wtimeout_int64(concern, timeout / 2); /* so that its answer comes in time */
    mongoc_uri_set_write_concern(uri, concern);
    mongoc_write_concern_destroy(concern);
}

int archive_client_open(struct archive_client *client, const struct archive_place *place,
                        bson_error_t *reason)
{
    mongoc_uri_t *uri = parse(place, NULL);
    mongoc_client_t *opened;

    if (!uri)
        abort(); /* it was checked */
    if (place->patience)
        mongoc_uri_set_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS, (int32_t)place->patience);
    set_number(uri, MONGOC_URI_CONNECTTIMEOUTMS, place->timeout);
    set_number(uri, MONGOC_URI_SOCKETTIMEOUTMS, place->timeout);
    set_number(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, place->timeout);
    if (!mongoc_uri_get_appname(uri))
        mongoc_uri_set_appname(uri, "hubbub-router");
    set_write_concern(uri, place->timeout);
    opened = mongoc_client_new_from_uri_with_error(uri, reason);
    if (opened) {
        (void)mongoc_client_set_error_api(opened, MONGOC_ERROR_API_VERSION_2);
        client->client = opened;
        client->collection = mongoc_client_get_collection(opened, database(place, uri), place->collection);
    }
    mongoc_uri_destroy(uri);
    return opened ? 0 : ERROR_AGAIN;
}

static char *copy_text(const char *text)
{
    return text ? memory_text(text, strlen(text)) : NULL;
}

struct archive_place archive_place_copy(const struct archive_place *place)
{
    struct archive_place copy = *place;

    copy.uri = copy_text(place->uri);
    copy.password = copy_text(place->password);
    copy.database = copy_text(place->database);
    copy.collection = copy_text(place->collection);
    return copy;
}

void archive_place_done(struct archive_place *place)
{
    if (place->password)
        explicit_bzero((char *)place->password, strlen(place->password));
    free((char *)place->uri);
    free((char *)place->password);
    free((char *)place->database);
    free((char *)place->collection);
    *place = (struct archive_place){0};
}

int archive_client_make_indexes(struct archive_client *client, bson_error_t *reason)
{
    /* Named as the shells name them, so that an index made by hand is the same. */
    bson_t *command =
        BCON_NEW("createIndexes", BCON_UTF8(mongoc_collection_get_name(client->collection)), "indexes", "[",
                 "{", "key", "{", ARCHIVE_FIELD_NAMESPACE, BCON_INT32(1), ARCHIVE_FIELD_ROOM, BCON_INT32(1),
                 ARCHIVE_FIELD_SEQ, BCON_INT32(1), "}", "name", BCON_UTF8("namespace_1_room_1_seq_1"), "}",
                 "{", "key", "{", ARCHIVE_FIELD_AT, BCON_INT32(1), "}", "name", BCON_UTF8("at_1"), "}", "]");
    bool made = mongoc_collection_write_command_with_opts(client->collection, command, NULL, NULL, reason);

    bson_destroy(command);
    return made ? 0 : ERROR_AGAIN;
}

void archive_client_close(struct archive_client *client)
{
    if (client->collection)
        mongoc_collection_destroy(client->collection);
    if (client->client)
        mongoc_client_destroy(client->client);
    *client = (struct archive_client){0};
}

void archive_place_append_hosts(struct buffer *out, const struct archive_place *place)
{
    mongoc_uri_t *uri = parse(place, NULL);

    if (!uri)
        return;
    if (mongoc_uri_get_srv_hostname(uri))
        buffer_append_text(out, mongoc_uri_get_srv_hostname(uri));
    for (const mongoc_host_list_t *host = mongoc_uri_get_hosts(uri); host; host = host->next) {
        if (out->length)
            buffer_append_char(out, ',');
        buffer_append_text(out, host->host_and_port);
    }
    mongoc_uri_destroy(uri);
}

void archive_copy_words(char *out, size_t size, const char *words)
{
    size_t i;

    for (i = 0; i + 1 < size && words[i]; i++)
        out[i] = words[i] >= ' ' && words[i] <= '~' ? words[i] : '?';
    out[i] = 0;
}
