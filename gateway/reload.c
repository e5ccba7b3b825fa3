/*
 * SIGHUP; see reload.h.  main.c calls it.  Its one surprising rule: what was read with a key (certificates,
 * ranges of addresses, keys) changes places together with the key, because it may point into its text.
 */
#include "gateway/reload.h"

#include "gateway/gateway.h"
#include "gateway/listener.h"
#include "gateway/tls_store.h"
#include "proto/rules_reload.h"

#define EXCHANGE(one, other)                                                                                 \
    do {                                                                                                     \
        __typeof__(one) kept = (one);                                                                        \
                                                                                                             \
        (one) = (other);                                                                                     \
        (other) = kept;                                                                                      \
    } while (0)

/* A file that lost its group must not open the rooms to everybody. */
static int check_tokens(const struct gateway *gateway, const struct gateway_settings *fresh,
                        struct buffer *error)
{
    if (!gateway->tokens == !fresh->tokens)
        return 0;
    buffer_append_literal(error, "to turn tokens on or off takes a restart");
    return ERROR_CONFIG;
}

static int reload_tls(struct gateway *gateway, const struct gateway_settings *fresh, struct buffer *error)
{
    if (!gateway->tls != !fresh->tls.files.count) {
        buffer_append_literal(error, "to turn TLS on or off takes a restart");
        return ERROR_CONFIG;
    }
    return gateway->tls ? tls_store_reload(gateway->tls, &fresh->tls, error) : 0;
}

static void take_namespaces(struct gateway_settings *settings, struct gateway_settings *fresh,
                            struct config_changes *changes)
{
    enum namespaces_change change = namespaces_compare(&settings->namespaces, &fresh->namespaces);

    if (change == NAMESPACES_OTHER) {
        log_warn("changed namespaces, and events beside them, take a restart", "gateway=%s", settings->name);
        changes->waiting++;
        return;
    }
    namespaces_exchange_rules(&settings->namespaces, &fresh->namespaces);
    if (change == NAMESPACES_RULES) {
        log_info("event rules changed", "gateway=%s", settings->name);
        changes->taken++;
    }
}

/* What does not stand in the table. */
static void take_rest(struct gateway_settings *settings, struct gateway_settings *fresh,
                      struct config_changes *changes)
{
    EXCHANGE(settings->tls, fresh->tls);
    EXCHANGE(settings->trusted_ranges, fresh->trusted_ranges);
    EXCHANGE(settings->publish_keys, fresh->publish_keys);
    EXCHANGE(settings->tokens, fresh->tokens);
    EXCHANGE(settings->secret_key, fresh->secret_key);
    EXCHANGE(settings->router_key, fresh->router_key);
    take_namespaces(settings, fresh, changes);
}

static void take(struct gateway *gateway, struct gateway_settings *settings, struct gateway_settings *fresh)
{
    enum log_level level = settings->log_level;
    struct config_changes changes;

    changes = config_reload_take(&gateway_config, settings, fresh, config_reload_log);
    take_rest(settings, fresh, &changes);
    gateway->tokens = settings->tokens; /* the former ones are freed with fresh */
    if (settings->log_level != level)   /* else an operator's word holds */
        log_set_level(settings->log_level);
    listener_limit_again(gateway->listener);
    gateway->counters.reloads++;
    log_info("configuration reloaded", "changed=%u wait_for_restart=%u certificates=%zu", changes.taken,
             changes.waiting, settings->tls.files.count);
    if (gateway->tls)
        tls_store_warn_of_time(gateway->tls, &settings->tls);
}

void gateway_reload(struct gateway *gateway, struct gateway_settings *settings,
                    const struct config_command *command)
{
    struct gateway_settings fresh = {0};
    struct buffer error = {0};

    if (config_reload_read(&gateway_config, command, &fresh, &error) < 0 ||
        check_tokens(gateway, &fresh, &error) < 0 || reload_tls(gateway, &fresh, &error) < 0) {
        gateway->counters.reloads_failed++;
        log_error("configuration not reloaded, nothing has changed", "error=%.*s",
                  BYTES_PRINTF(buffer_bytes(&error)));
    } else
        take(gateway, settings, &fresh);
    gateway_settings_done(&fresh);
    buffer_done(&error);
}
