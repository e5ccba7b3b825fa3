/*
 * Where the archive is, and how a thread comes to a client for it.
 *
 * libmongoc's clients block and belong to one thread each.  Ours look for a server only once a call, wait for
 * at most `timeout`, and do not retry by themselves beyond what the connection string asks for: whoever calls
 * decides when to try again.  Close a client after a failure that has to do with the connection and open a
 * new one: an old one would wait before it looked at the same server again.
 */
#ifndef HUBBUB_ROUTER_ARCHIVE_CLIENT_H
#define HUBBUB_ROUTER_ARCHIVE_CLIENT_H

#include "common/buffer.h"
#include "common/error.h"

#include <mongoc/mongoc.h>

struct archive_place {
    const char *uri;        /* a MongoDB connection string */
    const char *password;   /* of the user that it names; NULL: what it says itself */
    const char *database;   /* NULL: the connection string's, else "hubbub" */
    const char *collection; /* of the messages */
    uint32_t timeout;       /* ms, for a connection and for an answer; the connection string's own win */
    uint32_t patience;      /* ms, for an answer, whatever the connection string says; 0: as above */
};

struct archive_client {
    mongoc_client_t *client;
    mongoc_collection_t *collection;
};

/*
 * To be called at once by a program that links libmongoc, with an archive or without.  The library makes a
 * segment of shared memory for its counters before main(), and takes the name away when the process ends in
 * order: a killed one would leave it behind, and a later process of the same number would complain about it.
 */
void archive_client_hide_counters(void);

/*
 * Checks all but whether a server, or the SRV record of its name, is there.  0, or ERROR_CONFIG with one line
 * appended to error, which tells what is wrong and nothing that may be secret.
 */
int archive_place_check(const struct archive_place *place, struct buffer *error) MUST_CHECK;

/*
 * Opens a client of a checked place.  Nothing goes over the network yet but, with mongodb+srv://, the
 * questions for the name's records, which may block: ERROR_AGAIN, with a reason, when they are not answered,
 * and client is untouched.  What the connection string leaves open is: write concern majority and journaled
 * (with half the timeout as wtimeoutMS), the timeout for connectTimeoutMS, socketTimeoutMS and
 * serverSelectionTimeoutMS, appName hubbub-router.  Reads prefer what it says.
 */
int archive_client_open(struct archive_client *client, const struct archive_place *place,
                        bson_error_t *reason) MUST_CHECK;

/* A copy with texts of its own, and the end of it; a zeroed one is fine. */
struct archive_place archive_place_copy(const struct archive_place *place);
void archive_place_done(struct archive_place *place);

/* Makes the indexes that are missing: (namespace, room, seq) and (at).  ERROR_AGAIN, with a reason. */
int archive_client_make_indexes(struct archive_client *client, bson_error_t *reason) MUST_CHECK;

/* A zeroed one is fine. */
void archive_client_close(struct archive_client *client);

/* Copies what libmongoc or a server says, cut to size (the terminator counted) and with ? for what is not
 * ASCII. */
void archive_copy_words(char *out, size_t size, const char *words);

/* The hosts of a checked place, for log lines: "a:27017,b:27017", or the name of an SRV record; no secrets.
 */
void archive_place_append_hosts(struct buffer *out, const struct archive_place *place);

#endif
