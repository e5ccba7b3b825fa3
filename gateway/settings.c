/*
 * The gateway's table of keys; read by main.c through common/config.  Its one surprising rule: no message may
 * be so large that a router refuses the batch it comes in, or it would be sent for ever.
 */
#include "gateway/settings.h"

#include "common/endpoint.h"
#include "common/http_port.h"
#include "gateway/origin.h"
#include "proto/json_scan.h"
#include "proto/socketio.h"
#include "proto/wire.h"

#include <string.h>

enum { ORIGIN_SHOWN_MAX = 64 }; /* bytes of a wrong entry */

#define KEY(key, kind)                                                                                       \
    .section = "gateway", .name = #key, .type = CONFIG_KEY_##kind, CONFIG_FIELD(struct gateway_settings, key)

static const char *const proxy_protocol_names[] = {"off", "required", NULL};

static const struct config_key keys[] = {
    {KEY(name, STRING), .minimum = 1, .maximum = 64, .fallback = "gateway",
     .help = "the name that the router knows this gateway by; unique among its gateways"},
    {KEY(host, STRING), .maximum = 255, .fallback = "",
     .help = "the address to listen on; empty for all, IPv6 and IPv4"},
    {KEY(port, INTEGER), .minimum = 1, .maximum = 65535, .fallback = "3000", .help = "the port to listen on"},
    {KEY(reuse_port, BOOL), .fallback = "false", .help = "share the port with other gateways (SO_REUSEPORT)"},
    {KEY(tls_certificate, PATH), .reloadable = true, .minimum = 1,
     .help =
         "the file of the certificate (PEM, with those that lead to its root); clients are served over TLS "
         "then, and in no other way"},
    {KEY(tls_key, PATH), .reloadable = true, .minimum = 1,
     .help = "the file of its key (PEM); none: it stands in the certificate's file"},
    {KEY(tls_minimum, CHOICE), .reloadable = true, .choices = tls_minimum_names, .fallback = "1.2",
     .help = "the least version of TLS that a client may speak"},
    {KEY(tls_ticket_key, PATH), .reloadable = true, .minimum = 1,
     .help =
         "the file of 1 to 3 keys of session tickets, 80 random bytes each, the newest first, for gateways "
         "that resume each other's sessions; none: each has a random one"},
    {KEY(tls_handshake_timeout, DURATION), .reloadable = true, .minimum = 20, .maximum = 600000,
     .fallback = "10 s", .help = "how long a client's TLS handshake may take"},
    {KEY(proxy_protocol, CHOICE), .choices = proxy_protocol_names, .fallback = "off",
     .help = "whether every connection begins with a PROXY header (version 1 or 2) of a balancer: off, "
             "required"},
    {KEY(trusted_proxies, STRING), .reloadable = true, .maximum = 4096, .fallback = "",
     .help = "the addresses of balancers, 192.0.2.1 or 10.0.0.0/8, separated by blanks: what they say of the "
             "client's address counts (PROXY, X-Forwarded-For, X-Forwarded-Proto); empty for none"},
    {KEY(admin, STRING), .maximum = 255, .fallback = "",
     .help = "the address and port (127.0.0.1:3020) of /metrics, /healthz and the HTTP API; empty for none"},
    {KEY(publish_key, PATH), .reloadable = true, .minimum = 1,
     .help = "the file of the bearer keys of those who may use the HTTP API, one a line; none: nobody may"},
    {KEY(router, STRING), .minimum = 1, .maximum = 255, .fallback = "tcp://127.0.0.1:3010",
     .help = "the router's ZeroMQ endpoint"},
    {KEY(curve_secret_key, PATH), .reloadable = true, .minimum = 1,
     .help = "the file of this gateway's secret key, for a router that encrypts (CURVE)"},
    {KEY(curve_router_key, PATH), .reloadable = true, .minimum = 1,
     .help = "the file of the router's public key"},
    {KEY(allow_plain, BOOL), .fallback = "false",
     .help = "connect to a router on another machine without CURVE: whoever is between can read and do "
             "everything"},
    {KEY(ping_interval, DURATION), .minimum = 20, .maximum = 3600000, .fallback = "25 s",
     .help = "the time between Engine.IO pings"},
    {KEY(ping_timeout, DURATION), .minimum = 20, .maximum = 3600000, .fallback = "20 s",
     .help = "how long a pong may take"},
    {KEY(connect_timeout, DURATION), .reloadable = true, .minimum = 20, .maximum = 3600000,
     .fallback = "45 s", .help = "how long a client may take to join a namespace"},
    {KEY(upgrade_timeout, DURATION), .reloadable = true, .minimum = 20, .maximum = 600000, .fallback = "10 s",
     .help = "how long the upgrade from polling to a WebSocket may take"},
    {KEY(http_head_timeout, DURATION), .reloadable = true, .minimum = 20, .maximum = 600000,
     .fallback = "10 s", .help = "how long the head of a request may take"},
    {KEY(http_body_timeout, DURATION), .reloadable = true, .minimum = 20, .maximum = 600000,
     .fallback = "30 s", .help = "how long the body of a request may take"},
    {KEY(http_idle_timeout, DURATION), .reloadable = true, .minimum = 20, .maximum = 600000,
     .fallback = "5 s", .help = "how long a kept-alive connection may wait between requests"},
    {KEY(http_compression_threshold, SIZE), .reloadable = true, .maximum = 1 << 30, .fallback = "1024",
     .help =
         "the answers to polls that are compressed (gzip) for clients that take it, from that size; 0 for "
         "none"},
    {KEY(origins, STRING), .reloadable = true, .maximum = 4096, .fallback = "",
     .help = "the origins whose pages may connect, separated by blanks; self for the page's own host, "
             "a star for the first part of a host for any subdomain; empty for any"},
    {KEY(cors_origins, STRING), .reloadable = true, .maximum = 4096, .fallback = "",
     .help =
         "the origins whose pages may read answers (CORS), separated by blanks; * for all, empty for none"},
    {KEY(cors_credentials, BOOL), .reloadable = true, .fallback = "false",
     .help = "let pages of these origins send cookies along"},
    {KEY(cookie, STRING), .reloadable = true, .maximum = 64, .fallback = "",
     .help = "the name of a cookie with the session's id, for balancers; empty for none"},
    {KEY(echo, BOOL), .fallback = "false",
     .help = "serve the diagnostic echo: bare WebSocket frames at /echo, Engine.IO messages at /engine.io/"},
    {KEY(msgpack_path, STRING), .maximum = 255, .fallback = "",
     .help = "the path of clients with socket.io-msgpack-parser, such as /msgpack/; empty for none"},
    {KEY(max_payload, SIZE), .minimum = 128, .maximum = WIRE_TEXT_MAX, .fallback = "1000000",
     .help = "the largest message of a client"},
    {KEY(max_attachments, SIZE), .reloadable = true, .minimum = 128, .maximum = WIRE_TEXT_MAX,
     .fallback = "1 MB", .help = "the largest event with attachments, its text and all of them together"},
    {KEY(max_attachment_count, INTEGER), .reloadable = true, .maximum = SOCKETIO_ATTACHMENTS_MAX,
     .unit = "attachments", .fallback = "10",
     .help = "how many attachments an event of a client may have; stock clients take no more than 10"},
    {KEY(max_depth, INTEGER), .reloadable = true, .minimum = 2, .maximum = JSON_DEPTH_MAX, .unit = "levels",
     .fallback = "128",
     .help = "how deep what a client sends may be nested, JSON and msgpack, the event's own array counted"},
    {KEY(max_http_head, SIZE), .reloadable = true, .minimum = 256, .maximum = 1 << 20, .fallback = "8 KB",
     .help = "the largest head of a request"},
    {KEY(max_auth, SIZE), .reloadable = true, .minimum = 128, .maximum = 256 << 10, .fallback = "32 KB",
     .help = "the largest auth payload of a client, which is kept as long as its socket"},
    {KEY(max_connections, INTEGER), .reloadable = true, .maximum = 10000000, .unit = "connections",
     .fallback = "0",
     .help = "how many connections at most; 0 for what the file limit allows, less a reserve"},
    {KEY(max_admin_connections, INTEGER), .minimum = 1, .maximum = 100000, .unit = "connections",
     .fallback = "256", .help = "how many connections of programs to the HTTP API; more wait until one ends"},
    {KEY(events_per_second, INTEGER), .reloadable = true, .maximum = 1000000, .unit = "events",
     .fallback = "0", .help = "how many events a second a connection may send on average; 0 for no limit"},
    {KEY(events_burst, INTEGER), .reloadable = true, .minimum = 1, .maximum = 1000000, .unit = "events",
     .fallback = "100", .help = "how many events it may send at once"},
    {KEY(connects_per_second, INTEGER), .reloadable = true, .maximum = 1000000, .unit = "connections",
     .fallback = "0",
     .help = "how many connections a second one address (of IPv6 a /64) may make on average; 0 for no limit"},
    {KEY(connects_burst, INTEGER), .reloadable = true, .minimum = 1, .maximum = 1000000,
     .unit = "connections", .fallback = "50", .help = "how many it may make at once"},
    {KEY(max_connections_per_address, INTEGER), .reloadable = true, .maximum = 10000000,
     .unit = "connections", .fallback = "0",
     .help = "how many connections one address may have; 0 for no limit"},
    {KEY(max_idle_addresses, INTEGER), .minimum = 16, .maximum = 10000000, .unit = "addresses",
     .fallback = "65536",
     .help = "how many addresses without connections are remembered for the sake of connects_per_second"},
    {KEY(max_namespaces, INTEGER), .reloadable = true, .minimum = 1, .maximum = 1024, .fallback = "16",
     .help = "how many namespaces one connection may join"},
    {KEY(max_pattern_namespaces, INTEGER), .minimum = 1, .maximum = 10000000, .unit = "namespaces",
     .fallback = "10000", .help = "how many namespaces of patterns may have sockets here"},
    {KEY(max_unanswered, INTEGER), .reloadable = true, .minimum = 64, .maximum = 1000000, .unit = "requests",
     .fallback = "256",
     .help =
         "how many unanswered requests stop the reading of a connection; a page of history counts for 64"},
    {KEY(outbound_queue, SIZE), .reloadable = true, .minimum = 4096, .maximum = 1 << 30, .fallback = "1 MB",
     .help = "how much may wait for a slow reader before it is closed"},
    {KEY(compression, BOOL), .fallback = "false",
     .help = "agree on compressed WebSocket messages with clients that offer it (permessage-deflate)"},
    {KEY(compression_threshold, SIZE), .maximum = 1 << 30, .fallback = "1024",
     .help = "the least length of a message that is compressed"},
    {KEY(heartbeat, DURATION), .minimum = 20, .maximum = 60000, .fallback = "1 s",
     .help = "the time after which a silent link is kept alive"},
    {KEY(dead, DURATION), .minimum = 100, .maximum = 600000, .fallback = "5 s",
     .help = "the silence after which the router counts as gone"},
    {KEY(request_timeout, DURATION), .reloadable = true, .minimum = 100, .maximum = 600000,
     .fallback = "10 s", .help = "how long the router may take to answer a request"},
    {KEY(drain_delay, DURATION), .reloadable = true, .maximum = 600000, .fallback = "0",
     .help =
         "how long a gateway that is to drain says so on /healthz and still serves, until its balancer has "
         "noticed"},
    {KEY(drain_time, DURATION), .reloadable = true, .maximum = 3600000, .fallback = "10 s",
     .help = "over how long the clients of a gateway that drains are told to go; at least 100 a second are"},
    {KEY(pending_bytes, SIZE), .reloadable = true, .minimum = 65536, .maximum = 1ULL << 34,
     .fallback = "64 MB", .help = "how much may wait for the router's answers before requests are refused"},
    {KEY(max_unacknowledged, SIZE), .reloadable = true, .minimum = 65536, .maximum = 1ULL << 34,
     .fallback = "16 MB", .help = "how much the router may be behind before publishing clients are not read"},
    {KEY(log_level, CHOICE), .reloadable = true, .choices = log_level_names, .fallback = "info",
     .help = "the least grave lines to log"},
    {KEY(examine, SWITCH), .help = "print what hubbub doctor wants to know, and exit"},
};

static const char *const others[] = {"router", "run", "events", "namespaces", "certificates", "tokens", NULL};

static int load_keys(struct gateway_settings *gateway, struct buffer *error)
{
    int result;

    if (!gateway->curve_secret_key != !gateway->curve_router_key) {
        buffer_append_text(error, "keys curve_secret_key and curve_router_key belong together");
        return ERROR_CONFIG;
    }
    if (!gateway->curve_secret_key && !gateway->allow_plain && !endpoint_is_local(gateway->router)) {
        buffer_printf(
            error,
            "key router: %s is another machine, which takes curve_secret_key and curve_router_key (or "
            "allow_plain, where whoever is between may do everything)",
            gateway->router);
        return ERROR_CONFIG;
    }
    if (!gateway->curve_secret_key)
        return 0;
    result = key_file_read_secret(gateway->curve_secret_key, &gateway->secret_key, error);
    return result ? result : key_file_read_public(gateway->curve_router_key, &gateway->router_key, error);
}

/* The admin port's address has a host and a port; its keys are read. */
static int check_admin(struct gateway_settings *gateway, struct buffer *error)
{
    if (*gateway->admin && http_port_check(gateway->admin, "admin", error) < 0)
        return ERROR_CONFIG;
    return gateway->publish_key ? bearer_keys_load(gateway->publish_key, &gateway->publish_keys, error) : 0;
}

/* Paths are compared by what they start with, so none may be the start of another. */
static int check_msgpack_path(const struct gateway_settings *gateway, struct buffer *error)
{
    static const char *const taken[] = {"/socket.io/", "/engine.io/"};
    struct bytes path = bytes_from_text(gateway->msgpack_path);

    if (path.length == 0)
        return 0;
    if (path.length < 3 || path.data[0] != '/' || path.data[path.length - 1] != '/' ||
        strpbrk(gateway->msgpack_path, " ?#%")) {
        buffer_append_text(error, "key msgpack_path is a path such as /msgpack/, with a slash at both ends");
        return ERROR_CONFIG;
    }
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (bytes_starts_with(path, bytes_from_text(taken[i]))) {
            buffer_printf(error, "key msgpack_path: %s is served already", taken[i]);
            return ERROR_CONFIG;
        }
    return 0;
}

/* A namespace that wants tokens must not be open because nobody has said which. */
static int check_tokens(const struct gateway_settings *gateway, struct buffer *error)
{
    for (size_t i = 0; !gateway->tokens && i < gateway->namespaces.count; i++)
        if (gateway->namespaces.namespaces[i].tokens == NAMESPACE_TOKENS_REQUIRED) {
            buffer_printf(error, "the namespace \"%.*s\" requires tokens; expected a group tokens with keys",
                          BYTES_PRINTF(gateway->namespaces.namespaces[i].entry));
            return ERROR_CONFIG;
        }
    return 0;
}

/* The balancers; whoever demands their headers must have some. */
static int check_proxies(struct gateway_settings *gateway, struct buffer *error)
{
    struct buffer wrong = {0};

    if (ip_ranges_parse(gateway->trusted_proxies, &gateway->trusted_ranges, &wrong) < 0) {
        buffer_append_literal(error, "key trusted_proxies: ");
        buffer_append_bytes(error, buffer_bytes(&wrong));
        buffer_done(&wrong);
        return ERROR_CONFIG;
    }
    if (gateway->proxy_protocol == PROXY_PROTOCOL_REQUIRED && gateway->trusted_ranges.count == 0) {
        buffer_append_text(error, "key proxy_protocol is required, and trusted_proxies names nobody");
        return ERROR_CONFIG;
    }
    return 0;
}

/* No browser's origin is like any other text, and a list with such ones refuses everybody. */
static int check_origins(const config_t *file, const char *path, const char *origins, bool patterns,
                         struct buffer *error)
{
    struct bytes wrong = origins_find_invalid(origins, patterns);
    const config_setting_t *setting = config_lookup(file, path);
    const char *text = setting ? config_setting_get_string(setting) : NULL;
    int length = wrong.length < ORIGIN_SHOWN_MAX ? (int)wrong.length : ORIGIN_SHOWN_MAX;

    if (wrong.length == 0)
        return 0;
    if (text && strcmp(text, origins) == 0) /* no option goes over it */
        config_complain(error, setting, "%s: ", path);
    else
        buffer_printf(error, "key %s: ", path);
    buffer_printf(
        error, "'%.*s' is no origin as browsers say it; expected https://app.example, in lower case, %s",
        length, wrong.data,
        patterns
            ? "with a port if it is not the usual one, without a slash at its end; https://*.app.example; "
              "self; null; or *"
            : "with a port if it is not the usual one, without a slash at its end; null; or *");
    return ERROR_CONFIG;
}

/* The files can be read, and belong together. */
static int check_tls(const config_t *file, struct gateway_settings *gateway, struct buffer *error)
{
    struct tls_store *store = NULL;
    int result;

    gateway->tls.minimum = gateway->tls_minimum;
    gateway->tls.ticket_key = gateway->tls_ticket_key;
    result = tls_files_load(file, gateway->tls_certificate, gateway->tls_key, &gateway->tls.files, error);
    if (result == 0 && gateway->tls.files.count)
        result = tls_store_open(&gateway->tls, &store, error);
    tls_store_free(store);
    return result;
}

static int finish(const config_t *file, void *settings, struct buffer *error)
{
    struct gateway_settings *gateway = settings;

    if (load_keys(gateway, error) < 0 || check_msgpack_path(gateway, error) < 0 ||
        check_admin(gateway, error) < 0 || check_proxies(gateway, error) < 0 ||
        check_origins(file, "gateway.origins", gateway->origins, true, error) < 0 ||
        check_origins(file, "gateway.cors_origins", gateway->cors_origins, false, error) < 0 ||
        check_tls(file, gateway, error) < 0)
        return ERROR_CONFIG;
    if (namespaces_load(file, &gateway->namespaces, error) < 0 ||
        token_policy_load(file, &gateway->tokens, error) < 0)
        return ERROR_CONFIG;
    return check_tokens(gateway, error);
}

const struct config_program gateway_config = {
    .name = "hubbub-gateway",
    .summary = "holds the clients' connections and forwards what they say to the router",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
    .origins = offsetof(struct gateway_settings, value_origins),
    .others = others,
    .finish = finish,
};

void gateway_settings_done(struct gateway_settings *settings)
{
    explicit_bzero(&settings->secret_key, sizeof settings->secret_key);
    bearer_keys_done(&settings->publish_keys);
    namespaces_done(&settings->namespaces);
    token_policy_free(settings->tokens);
    settings->tokens = NULL;
    ip_ranges_done(&settings->trusted_ranges);
    tls_files_done(&settings->tls.files);
    config_settings_done(&gateway_config, settings);
}
