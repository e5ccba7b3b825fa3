/*
 * SIGHUP; see reload.h.  main.c calls it.  Its one surprising rule: a gateway whose key has left the list keeps
 * its link; it is its next one that is refused.
 */
#include "router/reload.h"

#include "common/clock.h"
#include "proto/rules_reload.h"
#include "router/router.h"

#include <string.h>
#include <time.h>

enum { TIME_MAX = 32 };

static void note(struct router *router, const char *result, const struct config_changes *changes)
{
    time_t seconds = (time_t)(clock_wall_ms() / 1000);
    char when[TIME_MAX] = "";
    struct tm parts;

    if (gmtime_r(&seconds, &parts))
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &parts);
    snprintf(router->reloaded, sizeof router->reloaded, "%s %s changed=%u wait_for_restart=%u", when, result,
             changes->taken, changes->waiting);
}

static void take_namespaces(struct router_settings *settings, struct router_settings *fresh,
                            struct config_changes *changes)
{
    enum namespaces_change change = namespaces_compare(&settings->namespaces, &fresh->namespaces);

    if (change == NAMESPACES_OTHER) {
        log_warn("changed namespaces, and events beside them, take a restart", "router=%s", settings->name);
        changes->waiting++;
        return;
    }
    namespaces_exchange_rules(&settings->namespaces, &fresh->namespaces);
    if (change == NAMESPACES_RULES) {
        log_info("event rules changed", "router=%s", settings->name);
        changes->taken++;
    }
}

static void take_rest(struct router_settings *settings, struct router_settings *fresh,
                      struct config_changes *changes)
{
    struct key_list keys = settings->gateway_keys;

    settings->gateway_keys = fresh->gateway_keys;
    fresh->gateway_keys = keys;
    if (strcmp(settings->secret_key.text, fresh->secret_key.text) != 0) {
        log_warn("another secret key takes a restart", "router=%s", settings->name);
        changes->waiting++;
    }
    take_namespaces(settings, fresh, changes);
}

static void take(struct router *router, struct router_settings *settings, struct router_settings *fresh)
{
    enum log_level level = settings->log_level;
    struct config_changes changes;

    changes = config_reload_take(&router_config, settings, fresh, config_reload_log);
    take_rest(settings, fresh, &changes);
    if (settings->log_level != level) /* else an operator's word holds */
        log_set_level(settings->log_level);
    router->counters.reloads++;
    note(router, "ok", &changes);
    log_info("configuration reloaded", "changed=%u wait_for_restart=%u", changes.taken, changes.waiting);
}

void router_reload(struct router *router, struct router_settings *settings,
                   const struct config_command *command)
{
    struct router_settings fresh = {0};
    struct buffer error = {0};

    if (config_reload_read(&router_config, command, &fresh, &error) < 0) {
        router->counters.reloads_failed++;
        note(router, "failed", &(struct config_changes){0});
        log_error("configuration not reloaded, nothing has changed", "error=%.*s",
                  BYTES_PRINTF(buffer_bytes(&error)));
    } else
        take(router, settings, &fresh);
    router_settings_done(&fresh);
    buffer_done(&error);
}
