/*
 * The keys of `hubbub run`, and what they have to be to each other; see run_settings.h.
 *
 * The surprise: the ports are always a list in the end, one for each gateway, also when they share one.
 */
#include "cli/run_settings.h"

#include "common/bearer.h"
#include "common/config_value.h"
#include "common/memory.h"

#include <stdlib.h>

enum {
    GATEWAYS_DEFAULT = 2,
    DRAIN_TIME_MS = 10000, /* as long as gateways take when the file does not say */
};

#define KEY(key, kind)                                                                                       \
    .section = "run", .name = #key, .type = CONFIG_KEY_##kind, CONFIG_FIELD(struct run_settings, key)

const struct config_key run_settings_keys[RUN_SETTINGS_KEYS] = {
    {KEY(port, INTEGER), .minimum = 1, .maximum = 65535, .fallback = RUN_PORT_DEFAULT,
     .help = "the port that all gateways share (goes over gateway.port)"},
    {KEY(ports, STRING), .minimum = 1,
     .help = "P1,P2,...: a port of its own for each gateway, instead of --port"},
    {KEY(gateways, INTEGER), .maximum = RUN_GATEWAYS_MAX, .unit = "gateways", .fallback = "0",
     .help = "how many gateways; 0 for 2, or for one on each of --ports"},
    {KEY(data, PATH), .minimum = 1, .fallback = RUN_DATA_DEFAULT,
     .help = "the folder of the journal; created if missing"},
    {KEY(stats, PATH), .minimum = 1, .help = "the stats socket; stats.sock in the data folder if not given"},
    {KEY(host, STRING), .maximum = 255, .fallback = "",
     .help = "the address to listen on, :: for all; empty for gateway.host, or else localhost"},
    {KEY(admin_port, INTEGER), .maximum = 65535 - RUN_GATEWAYS_MAX, .fallback = "0",
     .help = "the port of the first gateway's HTTP API on 127.0.0.1; the next one has the next; 0 for none"},
    {KEY(router_admin_port, INTEGER), .maximum = 65535, .fallback = "0",
     .help = "the port of the router's /metrics and /healthz on 127.0.0.1; 0 for none"},
    {KEY(publish_key, PATH), .minimum = 1,
     .help = "the file of the bearer keys for it (goes over gateway.publish_key)"},
    {KEY(tls_certificate, PATH), .minimum = 1,
     .help = "the file of the certificate with which clients are served over TLS (goes over "
             "gateway.tls_certificate)"},
    {KEY(tls_key, PATH), .minimum = 1, .help = "the file of its key (goes over gateway.tls_key)"},
};

const char *const run_settings_others[] = {"router",       "gateway", "events", "namespaces",
                                           "certificates", "tokens",  NULL};

/* Reads "P1,P2,..."; 0, or ERROR_MALFORMED. */
static int read_ports(const char *text, uint16_t ports[static RUN_GATEWAYS_MAX], unsigned *count)
{
    *count = 0;
    while (*count < RUN_GATEWAYS_MAX) {
        size_t length = strcspn(text, ",");
        unsigned long long port;

        if (bytes_parse_u64(bytes_make(text, length), &port) || port < 1 || port > 65535)
            return ERROR_MALFORMED;
        for (unsigned i = 0; i < *count; i++)
            if (ports[i] == port)
                return ERROR_MALFORMED;
        ports[(*count)++] = (uint16_t)port;
        if (!text[length])
            return 0;
        text += length + 1;
    }
    return ERROR_MALFORMED;
}

/* Whether the gateways will take this file of keys. */
static int check_keys(const char *path, struct buffer *error)
{
    struct bearer_keys read = {0};
    int status = bearer_keys_load(path, &read, error);

    bearer_keys_done(&read);
    return status;
}

/* What the gateways will read there; wrong values they refuse themselves. */
static uint32_t gateway_duration(const config_t *file, const char *path, uint32_t fallback)
{
    const struct config_key key = {.type = CONFIG_KEY_DURATION, .size = sizeof fallback};
    const char *text;
    int number;

    if (config_lookup_string(file, path, &text))
        return config_value_store(&key, text, &fallback) < 0 ? 0 : fallback;
    return config_lookup_int(file, path, &number) && number >= 0 ? (uint32_t)number : fallback;
}

int run_settings_finish(const config_t *file, void *settings, struct buffer *error)
{
    struct run_settings *run = settings;
    unsigned count;

    /* Without tokens whoever reaches the port may do everything, so others are asked in and not let in. */
    if (!*run->host && !config_lookup(file, "gateway.host")) {
        free(run->host);
        run->host = memory_text("localhost", 9);
    }
    run->drain_delay = gateway_duration(file, "gateway.drain_delay", 0);
    run->drain_time = gateway_duration(file, "gateway.drain_time", DRAIN_TIME_MS);
    run->tls = run->tls_certificate || config_lookup(file, "gateway.tls_certificate") ||
               config_lookup(file, "certificates");
    run->publishes = run->publish_key || config_lookup(file, "gateway.publish_key");
    if (run->publish_key && check_keys(run->publish_key, error))
        return ERROR_CONFIG;
    if (run->publish_key && !run->admin_port && !config_lookup(file, "gateway.admin")) {
        buffer_append_literal(error, "hubbub run: publish_key without admin_port: there is no HTTP API that "
                                     "would ask for the key; --admin-port opens one");
        return ERROR_CONFIG;
    }
    if (!run->ports) {
        if (!run->gateways)
            run->gateways = GATEWAYS_DEFAULT;
        for (unsigned i = 0; i < run->gateways; i++)
            run->port_list[i] = run->port;
        return 0;
    }
    if (read_ports(run->ports, run->port_list, &count)) {
        buffer_printf(
            error, "hubbub run: '%.64s' is no list of ports; expected up to %d different numbers, P1,P2,...",
            run->ports, RUN_GATEWAYS_MAX);
        return ERROR_CONFIG;
    }
    if (run->gateways && run->gateways != count) {
        buffer_printf(error, "hubbub run: %u ports for %u gateways; expected one for each", count,
                      run->gateways);
        return ERROR_CONFIG;
    }
    run->gateways = count;
    return 0;
}
