/*
 * The running stack, for hubbub doctor; see doctor_stack.h.
 *
 * The surprise: no router is no trouble unless a gateway looks for it on this machine.  It is what one has who asks
 * before the first start, or beside gateways alone.
 */
#include "cli/doctor_stack.h"

#include "cli/stats_client.h"
#include "common/endpoint.h"
#include "common/finding.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The answer to one question; NULL after a finding that says why there is none. */
static json_t *ask(struct buffer *out, int fd, const char *question)
{
    static const struct bytes mark = {"error ", 6};
    struct buffer text = {0};
    json_t *answer = NULL;
    int status;

    buffer_printf(&text, "%s\n", question);
    status = stats_client_send(fd, buffer_bytes(&text));
    buffer_clear(&text);
    if (!status)
        status = stats_client_read(fd, &text);
    if (status)
        finding_append(out, FINDING_ERROR, "router",
                       "look at its log; if it hangs, end it: hubbub run starts it again",
                       "it does not answer: %s", stats_client_reason(status));
    else if (bytes_starts_with(buffer_bytes(&text), mark))
        finding_append(out, FINDING_WARNING, "router", "restart it, if it is an older one",
                       "it answers '%s' with: %.*s", question, (int)(text.length - mark.length - 1),
                       text.data + mark.length);
    else
        answer = json_loadb(text.data, text.length, 0, NULL);
    buffer_done(&text);
    return answer;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));

    return value ? value : "";
}

static double number_of(const json_t *stats, const char *object, const char *name)
{
    return json_number_value(json_object_get(json_object_get(stats, object), name));
}

/* What who, with a blank behind it when a name follows, runs with.  protocol: that of the link, or "". */
static void check_version(struct buffer *out, const char *who, const char *name, const char *version,
                          const char *protocol)
{
    const char *link = *protocol ? ", link protocol " : "";

    if (strcmp(version, HUBBUB_VERSION) == 0)
        finding_append(out, FINDING_OK, "versions", NULL, "%s%s runs with %s%s%s", who, name, version, link,
                       protocol);
    else
        finding_append(out, FINDING_WARNING, "versions",
                       "restart it, so that all are of one version (versions next to each other work "
                       "together)",
                       "%s%s runs with %s%s%s, this is %s", who, name, version, link, protocol,
                       HUBBUB_VERSION);
}

static void check_router(struct buffer *out, const json_t *stats)
{
    const json_t *archive = json_object_get(stats, "archive");
    const char *state = text_of(archive, "state");

    check_version(out, "the router", "", text_of(stats, "version"), "");
    if (json_is_true(json_object_get(json_object_get(stats, "journal"), "storage_full")))
        finding_append(out, FINDING_ERROR, "router", "make room on the disk of the data folder",
                       "it refuses what is published: the disk is full");
    if (!*state || strcmp(state, "none") == 0)
        return;
    if (strcmp(state, "following") == 0)
        finding_append(out, FINDING_OK, "router", NULL, "its archive follows, %.0f messages behind",
                       number_of(archive, "lag", "messages"));
    else
        finding_append(out, FINDING_WARNING, "router",
                       "see the findings on the archive, and docs/operations.md",
                       "its archive is %s, %.0f messages behind: %s", state,
                       number_of(archive, "lag", "messages"), text_of(archive, "last_error"));
    if (number_of(stats, "archive", "dead_letters") > 0)
        finding_append(out, FINDING_WARNING, "router",
                       "look into the journal's table dead_letter: docs/operations.md",
                       "MongoDB refused %.0f messages for good", number_of(stats, "archive", "dead_letters"));
}

static void check_gateways(struct buffer *out, const json_t *answer)
{
    const json_t *rows = json_is_array(answer) ? answer : json_object_get(answer, "gateways");
    const json_t *row;
    bool live = false;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        const char *state = text_of(row, "state"), *name = text_of(row, "name");

        if (strcmp(state, "live") != 0)
            finding_append(out, FINDING_WARNING, "gateways", "look at its log, and at the network between",
                           "%s is %s", name, state);
        else
            live = true;
        check_version(out, "gateway ", name, text_of(row, "version"), text_of(row, "protocol"));
    }
    if (!live)
        finding_append(
            out, FINDING_ERROR, "gateways",
            "start one: hubbub-gateway, with this router's endpoint; if one runs, look at its log, and "
            "end it if it hangs",
            "none is linked: nobody can connect");
}

/* Whether that gateway looks for its router on this machine: what its command line says goes over the file. */
static bool wants_router_here(long gateway, const char *endpoint)
{
    static const char option[] = "--router";
    char path[64], words[8192];
    size_t length = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%ld/cmdline", gateway);
    file = fopen(path, "re");
    if (file) {
        length = fread(words, 1, sizeof words - 1, file);
        fclose(file);
    }
    words[length] = '\0';
    for (const char *word = words; word < words + length; word += strlen(word) + 1) {
        if (strncmp(word, option, sizeof option - 1) != 0)
            continue;
        if (word[sizeof option - 1] == '=')
            endpoint = word + sizeof option;
        else if (word[sizeof option - 1] == '\0')
            endpoint = word + sizeof option; /* the next word */
    }
    return !endpoint || endpoint_is_local(endpoint);
}

static void report_no_router(struct buffer *out, const char *path, long gateway, const char *endpoint)
{
    if (gateway && wants_router_here(gateway, endpoint))
        finding_append(
            out, FINDING_ERROR, "router",
            "look at its log, and start it again: hubbub-router, or hubbub run; or name the data folder "
            "that it has (--data)",
            "none runs here (%s), but a gateway does (pid %ld), which serves nobody without", path, gateway);
    else
        finding_append(out, FINDING_OK, "router", NULL, "none runs here (%s)", path);
}

void doctor_check_stack(struct buffer *out, const char *path, long gateway, const char *endpoint)
{
    json_t *stats, *linked;
    int fd;

    if (stats_client_connect(path, &fd)) {
        if (errno == ENOENT || errno == ECONNREFUSED)
            report_no_router(out, path, gateway, endpoint);
        else
            finding_append(out, FINDING_ERROR, "router", "run as the user that Hubbub runs as, or as root",
                           "%s: %s", path, strerror(errno));
        return;
    }
    stats = ask(out, fd, "stats json");
    if (stats) {
        check_router(out, stats);
        linked = ask(out, fd, "gateways json");
        if (linked)
            check_gateways(out, linked);
        json_decref(linked);
    }
    json_decref(stats);
    close(fd);
}
