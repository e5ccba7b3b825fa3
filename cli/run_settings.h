/* What `hubbub run` is told: section `run` of the configuration, and its options; `hubbub doctor` reads them, too. */
#ifndef HUBBUB_CLI_RUN_SETTINGS_H
#define HUBBUB_CLI_RUN_SETTINGS_H

#include "common/config.h"

#include <stdbool.h>
#include <stdint.h>

#define RUN_DATA_DEFAULT "./data"
#define RUN_PORT_DEFAULT "3000"

enum { RUN_GATEWAYS_MAX = 64, RUN_SETTINGS_KEYS = 11 };

/* A command's settings begin with it. */
struct run_settings {
    uint16_t port;
    char *ports;
    unsigned gateways;
    char *data;
    char *stats;
    char *host;
    uint16_t admin_port;        /* of the first gateway; 0: none */
    uint16_t router_admin_port; /* 0: none */
    char *publish_key;
    char *tls_certificate, *tls_key;
    bool tls;                             /* here, or in the file: made by finish() */
    bool publishes;                       /* there are keys for the HTTP API, as above */
    uint16_t port_list[RUN_GATEWAYS_MAX]; /* of each gateway, made by finish() */
    uint32_t drain_delay, drain_time;     /* ms: the gateways', as the file has them, by finish() */
};

extern const struct config_key run_settings_keys[RUN_SETTINGS_KEYS];

/* A configuration file's sections that are for other programs. */
extern const char *const run_settings_others[];

/* For config_program.finish: makes port_list and checks what keys alone can't.  0 or ERROR_CONFIG. */
int run_settings_finish(const config_t *file, void *settings, struct buffer *error) MUST_CHECK;

#endif
