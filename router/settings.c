/*
 * The router's table of keys; read by main.c through common/config.  Its one surprising rule: a replay must
 * fit the credit of a link, or a gateway that is behind would never catch up; finish() checks that.
 */
#include "router/settings.h"

#include "common/endpoint.h"
#include "common/http_port.h"
#include "common/secret_file.h"
#include "proto/wire.h"
#include "router/archive_client.h"
#include "router/session.h"

#include <string.h>

#define KEY(key, kind)                                                                                       \
    .section = "router", .name = #key, .type = CONFIG_KEY_##kind, CONFIG_FIELD(struct router_settings, key)

static const struct config_key keys[] = {
    {KEY(name, STRING), .minimum = 1, .maximum = 64, .fallback = "router", .help = "the name in log lines"},
    {KEY(listen, STRING), .minimum = 1, .maximum = 255, .fallback = "tcp://127.0.0.1:3010",
     .help = "the ZeroMQ endpoint that gateways connect to"},
    {KEY(curve_secret_key, PATH), .minimum = 1,
     .help = "the file of the router's secret key; with it gateways must encrypt (CURVE)"},
    {KEY(curve_gateways, PATH), .reloadable = true, .minimum = 1,
     .help = "the file with the public keys of the gateways that may connect, one a line"},
    {KEY(allow_plain, BOOL), .fallback = "false",
     .help = "listen for other machines without CURVE: whoever reaches the port can read and do everything"},
    {KEY(data, PATH), .minimum = 1, .fallback = "data",
     .help = "the folder of the journal; made when it is missing"},
    {KEY(stats, PATH), .help = "the stats socket; stats.sock in the data folder when it is not given"},
    {KEY(admin, STRING), .maximum = 255, .fallback = "",
     .help = "the address and port (127.0.0.1:3011) of /metrics and /healthz; empty for none"},
    {KEY(heartbeat, DURATION), .minimum = 20, .maximum = 60000, .fallback = "1 s",
     .help = "the time after which a silent link is kept alive"},
    {KEY(dead, DURATION), .minimum = 100, .maximum = 600000, .fallback = "5 s",
     .help = "the silence after which a gateway counts as gone"},
    {KEY(max_gateways, INTEGER), .reloadable = true, .minimum = 1, .maximum = 4096, .unit = "gateways",
     .fallback = "256", .help = "how many gateways may be linked"},
    {KEY(max_backends, INTEGER), .reloadable = true, .minimum = 1, .maximum = 1024, .unit = "backends",
     .fallback = "64", .help = "how many backends may be linked"},
    {KEY(backend_wait, DURATION), .reloadable = true, .minimum = 1, .maximum = 3600000, .fallback = "10 s",
     .help = "how long clients and their events wait for a backend when there is none"},
    {KEY(max_backend_tasks, INTEGER), .reloadable = true, .minimum = 1, .maximum = 10000000, .unit = "tasks",
     .fallback = "100000", .help = "how many events and connects may wait for backends' answers"},
    {KEY(max_backend_bytes, SIZE), .reloadable = true, .minimum = 1024, .maximum = 1ULL << 34,
     .fallback = "128 MB", .help = "how large they may be together"},
    {KEY(max_name, SIZE), .reloadable = true, .minimum = SID_LENGTH, .maximum = ROOM_NAME_MAX,
     .fallback = "255",
     .help = "the longest name of a room, and of an event without a rule, that a client may use"},
    {KEY(max_rooms_per_connection, INTEGER), .reloadable = true, .minimum = 1,
     .maximum = ROOMS_PER_CONNECTION_MAX, .unit = "rooms", .fallback = "128",
     .help = "how many rooms one socket may be in"},
    {KEY(max_pattern_namespaces, INTEGER), .minimum = 1, .maximum = 10000000, .unit = "namespaces",
     .fallback = "10000", .help = "how many namespaces of patterns may have sockets"},
    {KEY(max_history, INTEGER), .reloadable = true, .minimum = 1, .maximum = 200, .unit = "messages",
     .fallback = "200", .help = "how many messages one answer may carry"},
    {KEY(max_history_bytes, SIZE), .reloadable = true, .minimum = 1024, .maximum = 64 << 20,
     .fallback = "512 KB", .help = "how large the messages of one answer may be"},
    {KEY(max_event, SIZE), .reloadable = true, .minimum = 128, .maximum = 64 << 20, .fallback = "1 MB",
     .help = "how large an event may be, its arguments and attachments together"},
    {KEY(max_batch, SIZE), .minimum = WIRE_BATCH_LIMIT, .maximum = 256 << 20, .fallback = "16 MB",
     .help = "the largest batch that a gateway may send"},
    {KEY(max_unacknowledged, SIZE), .reloadable = true, .minimum = 65536, .maximum = 1ULL << 34,
     .fallback = "64 MB", .help = "how much a gateway may be behind before it is resynced"},
    {KEY(max_waiting, SIZE), .reloadable = true, .minimum = 1, .maximum = 1ULL << 34, .fallback = "256 MB",
     .help = "how much may wait for the journal before publishing is refused"},
    {KEY(resync_max, SIZE), .reloadable = true, .minimum = 1024, .maximum = 1ULL << 30, .fallback = "16 MB",
     .help = "how much is replayed to a gateway; beyond it clients recover by themselves"},
    {KEY(recent_max, SIZE), .minimum = 0, .maximum = 1ULL << 34, .fallback = "4 MB",
     .help = "how much of the newest messages is kept in memory"},
    {KEY(hot_days, INTEGER), .maximum = 36500, .unit = "days", .fallback = "7",
     .help = "the age beyond which a message leaves the journal once the archive has it; 0: no bound"},
    {KEY(hot_messages, INTEGER), .maximum = 1000000000000, .unit = "messages", .fallback = "1000000",
     .help = "beyond so many archived messages the oldest leave the journal once the archive has them; 0: no "
             "bound"},
    {KEY(retention_days, INTEGER), .maximum = 36500, .unit = "days", .fallback = "0",
     .help = "without an archive: the age beyond which a message is removed for good; 0: no bound"},
    {KEY(retention_messages, INTEGER), .maximum = 1000000000000, .unit = "messages", .fallback = "0",
     .help = "without an archive: beyond so many archived messages the oldest are removed for good; 0: no "
             "bound"},
    {KEY(recovery_window, DURATION), .minimum = 1, .maximum = 86400000, .fallback = "2 min",
     .help = "how long a session may come back after its socket went"},
    {KEY(recovery_margin, DURATION), .minimum = 1, .maximum = 86400000, .fallback = "2 min",
     .help =
         "how much longer logged messages stay: a loss is noticed only after the gateways' ping_interval and "
         "ping_timeout"},
    {KEY(recovery_max_messages, INTEGER), .reloadable = true, .minimum = 0, .maximum = 1000000,
     .unit = "messages", .fallback = "1000", .help = "how many missed messages a session may come back to"},
    {KEY(recovery_max_bytes, SIZE), .reloadable = true, .minimum = 1024, .maximum = 8 << 20,
     .fallback = "4 MB", .help = "how large they may be together"},
    {KEY(max_away_sessions, INTEGER), .reloadable = true, .minimum = 1, .maximum = 10000000,
     .unit = "sessions", .fallback = "200000",
     .help = "how many sessions without a socket are kept; beyond it the oldest go"},
    {KEY(archive, STRING), .fallback = "",
     .help = "the MongoDB connection string of the archive; empty: there is none", .secret = true},
    {KEY(archive_password, PATH), .minimum = 1,
     .help = "the file of the password of the user that archive names, so that the string holds no secret"},
    {KEY(archive_database, STRING), .minimum = 1, .maximum = 63,
     .help = "the archive's database; the connection string's when it is not given, else hubbub"},
    {KEY(archive_collection, STRING), .minimum = 1, .maximum = 200, .fallback = "messages",
     .help = "the archive's collection of messages"},
    {KEY(archive_timeout, DURATION), .minimum = 100, .maximum = 600000, .fallback = "5 s",
     .help = "how long MongoDB may take to answer before it counts as away"},
    {KEY(archive_retry_max, DURATION), .minimum = 10, .maximum = 600000, .fallback = "10 s",
     .help = "the longest pause before MongoDB is tried again"},
    {KEY(archive_batch, INTEGER), .minimum = 1, .maximum = 10000, .unit = "messages", .fallback = "1000",
     .help = "how many messages one write to MongoDB may carry"},
    {KEY(archive_batch_bytes, SIZE), .minimum = 1024, .maximum = 32 << 20, .fallback = "4 MB",
     .help = "how large the messages of one write to MongoDB may be, but for a single one"},
    {KEY(archive_pages, INTEGER), .minimum = 1, .maximum = 10000, .unit = "pages", .fallback = "64",
     .help = "how many pages of history may wait for MongoDB before others are refused"},
    {KEY(log_level, CHOICE), .reloadable = true, .choices = log_level_names, .fallback = "info",
     .help = "the least grave lines to log"},
    {KEY(backup, SWITCH),
     .help = "copy the journal into the new file FILE, and exit; a router may have it open"},
    {KEY(restore, SWITCH),
     .help = "make the journal, which must not be there, from the backup FILE, and exit"},
    {KEY(examine, SWITCH), .help = "print what hubbub doctor wants to know, and exit"},
};

static const char *const others[] = {"gateway", "run", "events", "namespaces", "certificates", "tokens", NULL};

static int load_keys(struct router_settings *router, struct buffer *error)
{
    int result;

    if (!router->curve_secret_key != !router->curve_gateways) {
        buffer_append_text(error, "keys curve_secret_key and curve_gateways belong together");
        return ERROR_CONFIG;
    }
    if (!router->curve_secret_key && !router->allow_plain && !endpoint_is_local(router->listen)) {
        buffer_printf(
            error,
            "key listen: other machines can reach %s, which takes curve_secret_key (or allow_plain, "
            "where whoever can reach it may do everything)",
            router->listen);
        return ERROR_CONFIG;
    }
    if (!router->curve_secret_key)
        return 0;
    result = key_file_read_secret(router->curve_secret_key, &router->secret_key, error);
    return result ? result : key_file_read_list(router->curve_gateways, &router->gateway_keys, error);
}

bool router_settings_archive(const struct router_settings *settings, struct archive_place *out)
{
    if (!settings->archive || !*settings->archive)
        return false;
    *out = (struct archive_place){.uri = settings->archive,
                                  .password = settings->password.data,
                                  .database = settings->archive_database,
                                  .collection = settings->archive_collection,
                                  .timeout = settings->archive_timeout};
    return true;
}

/* The key's place in the file; NULL when its value is from elsewhere. */
static const config_setting_t *find_key(const config_t *file, const char *path, const char *value)
{
    const config_setting_t *setting = config_lookup(file, path);
    const char *text = setting ? config_setting_get_string(setting) : NULL;

    return text && value && strcmp(text, value) == 0 ? setting : NULL;
}

/* A file of one line, whose end does not belong to it. */
static int load_password(struct router_settings *router, struct buffer *error)
{
    struct buffer *password = &router->password;

    if (!router->archive_password)
        return 0;
    if (secret_file_read(router->archive_password, true, "the password", password, error) < 0)
        return ERROR_CONFIG;
    while (password->length && strchr("\r\n", password->data[password->length - 1]))
        password->length--;
    if (password->length == 0 || memchr(password->data, '\n', password->length) ||
        memchr(password->data, 0, password->length)) {
        buffer_printf(error, "%s: expected one line, the password", router->archive_password);
        return ERROR_CONFIG;
    }
    buffer_append_char(password, 0);
    return 0;
}

static int check_archive(const config_t *file, const struct router_settings *router, struct buffer *error)
{
    struct archive_place place;
    struct buffer reason = {0};
    const config_setting_t *setting;
    int result;

    if (!router_settings_archive(router, &place))
        return 0;
    result = archive_place_check(&place, &reason);
    if (result) {
        if (bytes_starts_with(buffer_bytes(&reason), BYTES("key archive_database")))
            setting = find_key(file, "router.archive_database", place.database);
        else if (bytes_starts_with(buffer_bytes(&reason), BYTES("key archive_collection")))
            setting = find_key(file, "router.archive_collection", place.collection);
        else
            setting = find_key(file, "router.archive", place.uri);
        if (setting)
            config_complain(error, setting, "%.*s", BYTES_PRINTF(buffer_bytes(&reason)));
        else
            buffer_append_bytes(error, buffer_bytes(&reason));
    }
    buffer_done(&reason);
    return result;
}

/* Whoever wants messages gone must not believe that they are. */
static int check_retention(const config_t *file, const struct router_settings *router, struct buffer *error)
{
    const char *key = router->retention_days ? "retention_days" : "retention_messages";
    struct archive_place place;
    const config_setting_t *section = config_lookup(file, "router");
    const config_setting_t *setting = section ? config_setting_get_member(section, key) : NULL;
    static const char text[] =
        "key %s: messages stay in the archive for good; with the key archive, hot_days "
        "and hot_messages say how long they stay here";

    if (!router_settings_archive(router, &place) || !(router->retention_days || router->retention_messages))
        return 0;
    if (setting)
        config_complain(error, setting, text, key);
    else
        buffer_printf(error, text, key);
    return ERROR_CONFIG;
}

static int finish(const config_t *file, void *settings, struct buffer *error)
{
    struct router_settings *router = settings;
    int required;

    if (router->dead < router->heartbeat * 2) {
        buffer_append_text(error, "key dead must be at least twice heartbeat");
        return ERROR_CONFIG;
    }
    if (router->resync_max > router->max_unacknowledged) {
        buffer_append_text(error, "key resync_max must not be larger than max_unacknowledged");
        return ERROR_CONFIG;
    }
    if (*router->admin && http_port_check(router->admin, "admin", error) < 0)
        return ERROR_CONFIG;
    if (load_keys(router, error) < 0 || load_password(router, error) < 0 ||
        check_archive(file, router, error) < 0 || check_retention(file, router, error) < 0)
        return ERROR_CONFIG;
    if (config_lookup_bool(file, "tokens.required", &required))
        router->tokens_required = required;
    return namespaces_load(file, &router->namespaces, error);
}

const struct config_program router_config = {
    .name = "hubbub-router",
    .summary = "owns rooms and their order, and keeps every message in its journal",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
    .origins = offsetof(struct router_settings, value_origins),
    .others = others,
    .positional_maximum = 1,
    .positional_help = "[FILE]",
    .finish = finish,
};

void router_settings_done(struct router_settings *settings)
{
    explicit_bzero(&settings->secret_key, sizeof settings->secret_key);
    key_list_done(&settings->gateway_keys);
    secret_file_wipe(&settings->password);
    namespaces_done(&settings->namespaces);
    config_settings_done(&router_config, settings);
}
