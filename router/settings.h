/* The router's configuration: section `router` of the file, its options, and the event rules. */
#ifndef HUBBUB_ROUTER_SETTINGS_H
#define HUBBUB_ROUTER_SETTINGS_H

#include "common/buffer.h"
#include "common/config.h"
#include "common/key_file.h"
#include "common/log.h"
#include "proto/rules.h"

enum { ROOMS_PER_CONNECTION_MAX = 10000 }; /* what max_rooms_per_connection may be */

struct router_settings {
    char *name;
    char *listen;
    char *curve_secret_key;   /* a path; NULL: the link is not encrypted */
    char *curve_gateways;     /* a path */
    bool allow_plain;         /* other machines may come without CURVE */
    char *data;               /* a folder */
    char *stats;              /* a path; NULL: stats.sock in the data folder */
    char *admin;              /* "host:port"; "": none */
    uint32_t heartbeat, dead; /* ms */
    uint32_t max_gateways;
    uint32_t max_backends;
    uint32_t backend_wait;      /* ms */
    uint32_t max_backend_tasks; /* these two: of all backends, without an answer */
    uint64_t max_backend_bytes;
    uint32_t max_rooms_per_connection;
    uint32_t max_name; /* bytes of what clients name: membership_may_name() */
    uint32_t max_pattern_namespaces;
    uint32_t max_history;        /* messages in one answer */
    uint32_t max_history_bytes;  /* of messages in one answer */
    uint32_t max_event;          /* bytes of an event's arguments */
    uint32_t max_batch;          /* bytes of one ZeroMQ message */
    uint64_t max_unacknowledged; /* bytes on a link */
    uint64_t max_waiting;        /* bytes of messages that wait for the journal */
    uint64_t resync_max;         /* bytes */
    uint64_t recent_max;         /* bytes */
    uint32_t hot_days;           /* these two: of what the archive has; 0: no bound */
    uint64_t hot_messages;
    uint32_t retention_days; /* these two: of all, without an archive; 0: no bound */
    uint64_t retention_messages;
    uint32_t recovery_window; /* ms */
    uint32_t recovery_margin; /* ms */
    uint32_t recovery_max_messages;
    uint32_t recovery_max_bytes; /* of messages */
    uint32_t max_away_sessions;
    char *archive;          /* a MongoDB connection string, and so a secret; empty: no archive */
    char *archive_password; /* a path; NULL: archive has the password, or none is needed */
    char *archive_database; /* NULL: see archive_client.h */
    char *archive_collection;
    uint32_t archive_timeout;     /* ms */
    uint32_t archive_retry_max;   /* ms */
    uint32_t archive_batch;       /* messages */
    uint32_t archive_batch_bytes; /* of messages */
    uint32_t archive_pages;       /* that may wait for it */
    enum log_level log_level;
    char **value_origins; /* of the values, by the rows of the table: config_describe() */
    bool examine;         /* an option only: look at what there is, and exit */
    bool backup, restore; /* the same: copy the journal, and exit */
    struct namespace_list namespaces;
    bool tokens_required; /* of the file's group tokens: unless a namespace says otherwise */
    /* What stands in the files of keys. */
    struct key secret_key; /* empty: no CURVE */
    struct key_list gateway_keys;
    struct buffer password; /* of archive_password, with its terminator; empty: none */
};

extern const struct config_program router_config;

/* Where the archive is, borrowed from the settings; false when there is none. */
struct archive_place;
bool router_settings_archive(const struct router_settings *settings, struct archive_place *out);

/* Frees what the loading put there. */
void router_settings_done(struct router_settings *settings);

#endif
