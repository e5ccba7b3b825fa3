/*
 * `hubbub doctor`: looks at what a stack on this machine needs, and says what to mend.  The findings come
 * from the modules doctor_*.c and from the programs themselves.
 *
 * The surprise: a configuration that is wrong is a finding like others, and the rest is looked at all the
 * same, with the defaults.
 */
#include "cli/commands.h"
#include "cli/doctor_checks.h"
#include "cli/doctor_program.h"
#include "cli/doctor_stack.h"
#include "cli/run_settings.h"
#include "common/exit_code.h"
#include "common/finding.h"
#include "common/memory.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXIT_ERRORS = 1, /* something has to be mended; the codes for failures of ours are higher */
    CHECK_WIDTH = 14,
};

struct doctor_settings {
    struct run_settings run; /* must stay first */
    bool json;
    bool has_password; /* in the file, made by finish() */
    char *router;      /* where gateways look for it, if the file says so; made by finish(), ours */
};

static void take_text(const config_t *file, const char *path, char **field)
{
    const char *text = NULL;

    if (!config_lookup_string(file, path, &text))
        return;
    free(*field);
    *field = memory_text(text, strlen(text));
}

/* A file that has no section `run` is for programs that are started by themselves: what it says to them goes
 * over the defaults of hubbub run, but not over the options. */
static void take_from_programs(const config_t *file, struct run_settings *run)
{
    int port = 0;

    if (config_lookup(file, "run"))
        return;
    if (strcmp(run->data, RUN_DATA_DEFAULT) == 0)
        take_text(file, "router.data", &run->data);
    if (!run->stats)
        take_text(file, "router.stats", &run->stats);
    if (!*run->host)
        take_text(file, "gateway.host", &run->host);
    if (run->port == strtoul(RUN_PORT_DEFAULT, NULL, 10) && config_lookup_int(file, "gateway.port", &port) &&
        port > 0 && port <= 65535)
        run->port = (uint16_t)port;
}

/* Whether that connection string has a password: "://user:password@" and so on. */
static bool holds_password(const char *uri)
{
    const char *user = strstr(uri, "://"), *at, *colon;

    if (!user)
        return false;
    user += 3;
    at = memrchr(user, '@', strcspn(user, "/?"));
    colon = at ? memchr(user, ':', (size_t)(at - user)) : NULL;
    return colon && colon + 1 < at;
}

static int finish(const config_t *file, void *settings, struct buffer *error)
{
    struct doctor_settings *doctor = settings;
    const char *archive = NULL;

    if (config_lookup_string(file, "router.archive", &archive))
        doctor->has_password = holds_password(archive);
    take_text(file, "gateway.router", &doctor->router);
    take_from_programs(file, &doctor->run);
    return run_settings_finish(file, settings, error);
}

/* -- output ----------------------------------------------------------------------------------- */

static void print_text(struct bytes lines)
{
    unsigned counts[FINDING_LEVELS] = {0};
    struct finding finding;

    while (lines.length) {
        if (finding_read(&lines, &finding))
            continue;
        counts[finding.level]++;
        printf("%-8s %-*.*s %.*s\n", finding_level_text(finding.level), CHECK_WIDTH,
               BYTES_PRINTF(finding.check), BYTES_PRINTF(finding.found));
        if (finding.mend.length)
            printf("%-8s %-*s -> %.*s\n", "", CHECK_WIDTH, "", BYTES_PRINTF(finding.mend));
    }
    printf("%u errors, %u warnings, %u in order\n", counts[FINDING_ERROR], counts[FINDING_WARNING],
           counts[FINDING_OK]);
}

static void print_json(struct bytes lines, bool errors)
{
    json_t *findings = json_array();
    struct finding finding;
    json_t *document;

    while (lines.length) {
        if (finding_read(&lines, &finding))
            continue;
        json_t *one = json_pack("{s:s, s:s%, s:s%}", "level", finding_level_text(finding.level), "check",
                                finding.check.data, finding.check.length, "found", finding.found.data,
                                finding.found.length);
        if (finding.mend.length)
            json_object_set_new(one, "mend", json_stringn(finding.mend.data, finding.mend.length));
        json_array_append_new(findings, one);
    }
    document = json_pack("{s:s, s:b, s:o}", "version", HUBBUB_VERSION, "ok", !errors, "findings", findings);
    json_dumpf(document, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(document);
}

static bool has_errors(struct bytes lines)
{
    struct finding finding;

    while (lines.length)
        if (finding_read(&lines, &finding) == 0 && finding.level == FINDING_ERROR)
            return true;
    return false;
}

/* -- the looks -------------------------------------------------------------------------------- */

/* The process of a gateway that has one of the clients' ports; 0 for none. */
static long check_ports(struct buffer *out, const struct run_settings *run)
{
    long gateway = 0;

    for (unsigned i = 0; i < run->gateways; i++)
        if (run->ports || i == 0) {
            long owner = doctor_check_port(out, run->host, run->port_list[i]);

            gateway = owner ? owner : gateway;
        }
    for (unsigned i = 0; i < run->gateways && run->admin_port; i++)
        doctor_check_port(out, "127.0.0.1", (uint16_t)(run->admin_port + i));
    if (run->router_admin_port)
        doctor_check_port(out, "127.0.0.1", run->router_admin_port);
    return gateway;
}

/* Each with the options that hubbub run would give it.  file: or NULL. */
static void examine_programs(struct buffer *out, const struct run_settings *run, const char *file)
{
    struct buffer config = {0}, data = {0}, certificate = {0}, key = {0};
    const char *router[3] = {NULL}, *gateway[4] = {NULL};
    unsigned count = 0;

    buffer_printf(&data, "--data=%s%c", run->data, '\0');
    router[0] = data.data;
    if (file) {
        buffer_printf(&config, "--config=%s%c", file, '\0');
        router[1] = gateway[count++] = config.data;
    }
    if (run->tls_certificate) {
        buffer_printf(&certificate, "--tls-certificate=%s%c", run->tls_certificate, '\0');
        gateway[count++] = certificate.data;
    }
    if (run->tls_key) {
        buffer_printf(&key, "--tls-key=%s%c", run->tls_key, '\0');
        gateway[count++] = key.data;
    }
    doctor_examine_program(out, "router", router);
    doctor_examine_program(out, "gateway", gateway);
    buffer_done(&config);
    buffer_done(&data);
    buffer_done(&certificate);
    buffer_done(&key);
}

/* settings: as loaded, or NULL when they can't be. */
static void look(struct buffer *out, const struct doctor_settings *settings, const char *file)
{
    if (settings) {
        size_t before = out->length;
        struct buffer stats = {0};
        long gateway;

        examine_programs(out, &settings->run, file);
        if (file && !has_errors(bytes_make(out->data + before, out->length - before)))
            finding_append(out, FINDING_OK, "configuration", NULL, "%s is right", file);
        if (file && settings->has_password)
            doctor_check_secret(out, file, "the password of the archive");
        gateway = check_ports(out, &settings->run);
        doctor_check_folder(out, settings->run.data);
        if (settings->run.stats)
            buffer_append_text(&stats, settings->run.stats);
        else
            buffer_printf(&stats, "%s/stats.sock", settings->run.data);
        buffer_append_char(&stats, '\0');
        doctor_check_stack(out, stats.data, gateway, settings->router);
        buffer_done(&stats);
    }
    doctor_check_limits(out);
    doctor_check_clock(out);
}

/* Its own keys behind those of hubbub run. */
static void fill_keys(struct config_key keys[static RUN_SETTINGS_KEYS + 1])
{
    memcpy(keys, run_settings_keys, sizeof run_settings_keys);
    keys[RUN_SETTINGS_KEYS] = (struct config_key){.section = "run",
                                                  .name = "json",
                                                  .type = CONFIG_KEY_SWITCH,
                                                  CONFIG_FIELD(struct doctor_settings, json),
                                                  .help = "the findings as one JSON document"};
}

static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

int command_doctor(int argc, char **argv)
{
    struct config_key keys[RUN_SETTINGS_KEYS + 1];
    struct config_program program = {
        .name = "hubbub doctor",
        .summary =
            "looks at what hubbub run with these options needs, and says what to mend; exit code 1 for "
            "errors",
        .keys = keys,
        .key_count = RUN_SETTINGS_KEYS + 1,
        .others = run_settings_others,
        .finish = finish,
    };
    struct doctor_settings settings = {0};
    struct config_result result;
    struct buffer findings = {0};
    bool errors;
    int status;

    fill_keys(keys);
    status = config_load(&program, argc, argv, &settings, &result);
    if (status && status != ERROR_CONFIG) {
        free(settings.router);
        return config_report(&result);
    }
    if (status) {
        result.output.length--; /* its line end */
        finding_append(&findings, FINDING_ERROR, "configuration",
                       "mend it, and ask again: what depends on it was not looked at", "%.*s",
                       BYTES_PRINTF(buffer_bytes(&result.output)));
    }
    look(&findings, status ? NULL : &settings, result.file_name);
    errors = has_errors(buffer_bytes(&findings));
    if (settings.json || wants_json(argc, argv))
        print_json(buffer_bytes(&findings), errors);
    else
        print_text(buffer_bytes(&findings));
    buffer_done(&findings);
    buffer_done(&result.output);
    config_settings_done(&program, &settings);
    free(settings.router);
    if (fflush(stdout))
        return EXIT_RUNTIME;
    return errors ? EXIT_ERRORS : EXIT_OK;
}
