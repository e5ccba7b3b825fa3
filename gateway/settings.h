/* The gateway's configuration: section `gateway` of the file, and its options. */
#ifndef HUBBUB_GATEWAY_SETTINGS_H
#define HUBBUB_GATEWAY_SETTINGS_H

#include "common/bearer.h"
#include "common/config.h"
#include "common/ip_address.h"
#include "common/key_file.h"
#include "common/log.h"
#include "gateway/tls_store.h"
#include "gateway/token_policy.h"
#include "proto/rules.h"

enum proxy_protocol_use { PROXY_PROTOCOL_OFF, PROXY_PROTOCOL_REQUIRED };

struct gateway_settings {
    char *name;
    char *host;
    uint16_t port;
    bool reuse_port;
    enum proxy_protocol_use proxy_protocol;
    char *trusted_proxies; /* "": none */
    char *tls_certificate, *tls_key;
    char *tls_ticket_key;
    enum tls_minimum tls_minimum;
    uint32_t tls_handshake_timeout; /* ms */
    char *admin;                    /* "host:port"; "": none */
    char *publish_key;              /* path; NULL: nobody may publish over HTTP */
    char *router;
    char *curve_secret_key, *curve_router_key;             /* paths; NULL: the link is not encrypted */
    bool allow_plain;                                      /* also to another machine */
    uint32_t ping_interval, ping_timeout, connect_timeout; /* ms */
    uint32_t upgrade_timeout;                              /* ms */
    uint32_t http_head_timeout, http_body_timeout, http_idle_timeout; /* ms */
    uint32_t http_compression_threshold;                              /* bytes; 0: polls are not compressed */
    char *origins;                                                    /* "": any */
    char *cors_origins;                                               /* "": CORS is off */
    bool cors_credentials;
    char *cookie; /* its name; "": none */
    bool echo;
    char *msgpack_path;            /* "": none */
    uint32_t max_payload;          /* bytes */
    uint32_t max_attachments;      /* bytes: of a binary packet, its text included */
    uint32_t max_attachment_count; /* of an event or an acknowledgement */
    uint32_t max_depth;            /* containers in each other */
    uint32_t max_http_head;        /* bytes */
    uint32_t max_auth;             /* bytes */
    uint32_t max_connections;      /* 0: what the file limit allows */
    uint32_t max_admin_connections;
    uint32_t events_per_second, events_burst;     /* of a connection; 0: no limit */
    uint32_t connects_per_second, connects_burst; /* of an address; 0: no limit */
    uint32_t max_connections_per_address;         /* 0: no limit */
    uint32_t max_idle_addresses;
    uint32_t max_namespaces;
    uint32_t max_pattern_namespaces;
    uint32_t max_unanswered;
    uint32_t outbound_queue; /* bytes */
    bool compression;
    uint32_t compression_threshold;   /* bytes */
    uint32_t heartbeat, dead;         /* ms */
    uint32_t request_timeout;         /* ms */
    uint32_t drain_delay, drain_time; /* ms */
    uint64_t pending_bytes;           /* bytes */
    uint64_t max_unacknowledged;      /* bytes */
    enum log_level log_level;
    char **value_origins; /* of the values, by the rows of the table: config_describe() */
    bool examine;         /* an option only: look at what there is, and exit */
    struct namespace_list namespaces;
    struct token_policy *tokens;       /* NULL: tokens mean nothing */
    struct tls_plan tls;               /* what the keys tls_* say; without files there is no TLS */
    struct ip_ranges trusted_ranges;   /* what trusted_proxies says */
    struct bearer_keys publish_keys;   /* what stands in the file */
    struct key secret_key, router_key; /* what stands in the files; empty: no CURVE */
};

extern const struct config_program gateway_config;

/* Frees what the loading put there. */
void gateway_settings_done(struct gateway_settings *settings);

#endif
