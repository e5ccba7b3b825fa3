/*
 * The admin port; see admin.h.  gateway.c opens and closes it, the link brings the router's answers.  Its one
 * surprising rule: a request whose client has gone is kept until it is answered, so every call is answered,
 * if only into the void.
 */
#include "gateway/admin.h"

#include "common/http_port.h"
#include "common/memory.h"
#include "common/table.h"
#include "gateway/gateway.h"
#include "gateway/metrics.h"
#include "gateway/outstanding.h"
#include "proto/json_text.h"
#include "proto/publication.h"
#include "proto/socketio.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    HISTORY_DEFAULT = 50,
    HISTORY_MAX = 200,
};

#define API_ROOMS "/api/rooms/"
#define HISTORY   "/history"

/* A request that waits for the router. */
struct call {
    uint64_t number;
    struct evhttp_request *request;
    uint32_t rooms; /* that were named, of a PUBLISH */
};

struct admin {
    struct gateway *gateway;
    struct http_port *port;
    struct table calls; /* of struct call, by number */
    uint64_t last_call;
};

static struct bytes call_key(const void *entry)
{
    const struct call *call = entry;

    return bytes_make((const char *)&call->number, sizeof call->number);
}

/* -- answers --------------------------------------------------------------------------------- */

/* The status for a code of docs/protocol.md. */
static const struct {
    enum refusal_code code;
    int status;
} statuses[] = {
    {REFUSAL_BAD_REQUEST, 422}, {REFUSAL_BAD_ROOM, 422},    {REFUSAL_TOO_DEEP, 422},
    {REFUSAL_TOO_LARGE, 413},   {REFUSAL_FORBIDDEN, 403},   {REFUSAL_RATE_LIMITED, 429},
    {REFUSAL_BUSY, 503},        {REFUSAL_UNAVAILABLE, 503}, {REFUSAL_STORAGE_FULL, 507},
};

static int status_of(struct bytes code)
{
    for (unsigned i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (bytes_equal_text(code, refusal_text(statuses[i].code)))
            return statuses[i].status;
    return 500;
}

static void send_json(struct evhttp_request *request, int status, struct bytes body)
{
    struct buffer line = {0};

    buffer_append_bytes(&line, body);
    buffer_append_char(&line, '\n');
    http_port_answer(request, status, "application/json", buffer_bytes(&line));
    buffer_done(&line);
}

static void refuse_with(struct gateway *gateway, struct evhttp_request *request, int status,
                        struct bytes code, struct bytes message)
{
    struct buffer *out = &gateway->scratch;

    gateway->counters.api_refused++;
    buffer_clear(out);
    buffer_append_literal(out, "{\"ok\":false,\"error\":{\"code\":");
    json_append_string(out, code);
    buffer_append_literal(out, ",\"message\":");
    json_append_string(out, message);
    buffer_append_literal(out, "}}");
    send_json(request, status, buffer_bytes(out));
}

static void refuse(struct gateway *gateway, struct evhttp_request *request, int status, const char *code,
                   const char *message)
{
    refuse_with(gateway, request, status, bytes_from_text(code), bytes_from_text(message));
}

static void refuse_method(struct gateway *gateway, struct evhttp_request *request, const char *allowed)
{
    evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", allowed);
    refuse(gateway, request, 405, "method_not_allowed", "see the field Allow");
}

/* -- calls ----------------------------------------------------------------------------------- */

/* Asks the router; the request is answered later, or here when too much waits. */
static void ask(struct admin *admin, struct evhttp_request *request, enum request_kind kind, uint32_t rooms,
                void (*put)(struct wire_batch *batch, uint64_t number, const void *record),
                const void *record)
{
    struct call *call = memory_zero(1, sizeof *call);

    *call = (struct call){.number = ++admin->last_call, .request = request, .rooms = rooms};
    if (outstanding_ask(admin->gateway, kind, 1, NULL, (long long)call->number, put, record) < 0) {
        free(call);
        refuse(admin->gateway, request, 503, "busy", "too much waits for the router; try again");
        return;
    }
    table_insert(&admin->calls, call);
}

/* The request behind a call, which is over now; NULL when there is none. */
static struct evhttp_request *take_call(struct admin *admin, uint64_t number, uint32_t *rooms)
{
    struct call *call = table_find(&admin->calls, bytes_make((const char *)&number, sizeof number));
    struct evhttp_request *request;

    if (!call)
        return NULL;
    request = call->request;
    *rooms = call->rooms;
    table_remove(&admin->calls, call);
    free(call);
    return request;
}

void admin_answer(struct admin *admin, uint64_t number, struct bytes answer)
{
    uint32_t rooms;
    struct evhttp_request *request = take_call(admin, number, &rooms);
    struct json_value value, ok, error, code;

    if (!request)
        return;
    if (json_scan(answer, &value) < 0 || json_object_find(value, "ok", &ok) < 0) {
        refuse(admin->gateway, request, 502, "unavailable", "the router's answer can't be read");
        return;
    }
    if (ok.kind == JSON_TRUE) {
        send_json(request, 200, answer);
        return;
    }
    admin->gateway->counters.api_refused++;
    if (json_object_find(value, "error", &error) < 0 || json_object_find(error, "code", &code) < 0 ||
        code.text.length < 2)
        code.text = BYTES("\"\"");
    send_json(request, status_of(bytes_make(code.text.data + 1, code.text.length - 2)), answer);
}

/* {"ok":true,"id":..,"seq":..,"at":..}; several rooms have their numbers in "seqs", in their order. */
static int append_outcome(struct buffer *out, const struct wire_outcome *outcome, uint32_t rooms)
{
    struct wire_reader list;
    int count = wire_list_open(&list, outcome->seqs);

    if (count < 0)
        return ERROR_MALFORMED;
    buffer_append_literal(out, "{\"ok\":true,\"id\":");
    json_append_string(out, outcome->id);
    if (count)
        buffer_append_text(out, rooms > 1 ? ",\"seqs\":[" : ",\"seq\":");
    for (int i = 0; i < count; i++) {
        uint64_t seq;

        if (wire_list_u64(&list, &seq) < 0)
            return ERROR_MALFORMED;
        if (i)
            buffer_append_char(out, ',');
        buffer_append_u64(out, seq);
    }
    if (count && rooms > 1)
        buffer_append_char(out, ']');
    if (outcome->at) {
        buffer_append_literal(out, ",\"at\":");
        buffer_append_u64(out, outcome->at);
    }
    buffer_append_char(out, '}');
    return 0;
}

void admin_outcome(struct admin *admin, uint64_t number, const struct wire_outcome *outcome)
{
    struct buffer *out = &admin->gateway->scratch;
    uint32_t rooms;
    struct evhttp_request *request = take_call(admin, number, &rooms);

    if (!request)
        return;
    if (outcome->error.length) {
        refuse_with(admin->gateway, request, status_of(outcome->error), outcome->error, outcome->message);
        return;
    }
    buffer_clear(out);
    if (append_outcome(out, outcome, rooms) < 0)
        refuse(admin->gateway, request, 502, "unavailable", "the router's answer can't be read");
    else
        send_json(request, 200, buffer_bytes(out));
}

void admin_expire(struct admin *admin, uint64_t number, bool sent)
{
    uint32_t rooms;
    struct evhttp_request *request = take_call(admin, number, &rooms);

    if (request && sent)
        refuse(
            admin->gateway, request, 504, "unknown",
            "the router did not answer in time: send it again with the same id to learn what became of it");
    else if (request)
        refuse(admin->gateway, request, 503, "unavailable", "the service is away; try again");
}

/* -- publishing ------------------------------------------------------------------------------ */

static void put_publish(struct wire_batch *batch, uint64_t number, const void *record)
{
    struct wire_publish copy = *(const struct wire_publish *)record;

    copy.request = number;
    wire_put_publish(batch, &copy);
}

/* Class and meta are the request's, else those of the event's rule. */
static void choose_class(const struct namespace_config *config, const struct publication *publication,
                         struct wire_publish *record)
{
    const struct event_rule *rule = rules_find(&config->rules, publication->event);

    if (rule && rule->meta)
        record->flags |= WIRE_SEND_META;
    record->class = WIRE_SEND_LOGGED;
    if (publication->has_class)
        record->class = publication->class;
    else if (rule && rule->class == RULE_VOLATILE)
        record->class = WIRE_SEND_VOLATILE;
    else if (rule && rule->class == RULE_ARCHIVED && publication->rooms.count && !publication->to_socket)
        record->class = WIRE_SEND_ARCHIVED;
}

static void publish_body(struct admin *admin, struct evhttp_request *request, struct bytes body)
{
    struct gateway *gateway = admin->gateway;
    struct publication publication = {0};
    const struct namespace_config *config;
    const char *message = "";

    switch (publication_read(&publication, body, &message)) {
    case 0:
        break;
    case ERROR_PROTOCOL:
        refuse(gateway, request, 422, "bad_request", message);
        goto done;
    case ERROR_TOO_DEEP:
        refuse(gateway, request, 422, "too_deep", "the arguments are nested deeper than 128 levels");
        goto done;
    default:
        refuse(gateway, request, 400, "bad_request", "the body is no JSON object");
        goto done;
    }
    config = namespaces_find(&gateway->settings->namespaces, publication.namespace);
    if (!config) {
        refuse(gateway, request, 422, "bad_request", "no such namespace is served");
        goto done;
    }

    struct wire_publish record = {.namespace = publication.namespace,
                                  .rooms = wire_list_finish(&publication.rooms),
                                  .except = wire_list_finish(&publication.except),
                                  .flags = WIRE_SEND_TELL,
                                  .id = publication.id,
                                  .event = publication.event,
                                  .arguments = publication.arguments};

    choose_class(config, &publication, &record);
    ask(admin, request, REQUEST_PUBLISH, publication.rooms.count, put_publish, &record);

done:
    publication_done(&publication);
}

static void on_publish(struct admin *admin, struct evhttp_request *request)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(request);
    size_t length = evbuffer_get_length(in);

    if (evhttp_request_get_command(request) != EVHTTP_REQ_POST)
        refuse_method(admin->gateway, request, "POST");
    else
        publish_body(admin, request, bytes_make((const char *)evbuffer_pullup(in, -1), length));
}

/* -- rooms ----------------------------------------------------------------------------------- */

static void put_look(struct wire_batch *batch, uint64_t number, const void *record)
{
    struct wire_look copy = *(const struct wire_look *)record;

    copy.request = number;
    wire_put_look(batch, &copy);
}

/* A whole number of the query within a range.  0 (*out stays when it is absent), or ERROR_MALFORMED. */
static int read_number(const struct evkeyvalq *query, const char *name, unsigned long long minimum,
                       unsigned long long *out)
{
    const char *text = evhttp_find_header(query, name);
    unsigned long long number;

    if (!text)
        return 0;
    if (bytes_parse_u64(bytes_from_text(text), &number) < 0 || number < minimum || number > INT64_MAX)
        return ERROR_MALFORMED;
    *out = number;
    return 0;
}

/* Fills the bounds of a page in.  ERROR_MALFORMED for those that no page has. */
static int read_bounds(const struct evkeyvalq *query, struct wire_look *look)
{
    unsigned long long before = 0, after = 0, limit = HISTORY_DEFAULT;

    if (read_number(query, "before", 1, &before) < 0 || read_number(query, "after", 0, &after) < 0 ||
        read_number(query, "limit", 1, &limit) < 0)
        return ERROR_MALFORMED;
    look->has_after = evhttp_find_header(query, "after") != NULL;
    look->before = before;
    look->after = after;
    look->limit = limit > HISTORY_MAX ? HISTORY_MAX : limit;
    return before && look->has_after ? ERROR_MALFORMED : 0;
}

static void look_at(struct admin *admin, struct evhttp_request *request, struct bytes room, bool history,
                    const struct evkeyvalq *query)
{
    struct gateway *gateway = admin->gateway;
    const char *name = evhttp_find_header(query, "namespace");
    struct wire_look look = {
        .namespace = name ? bytes_from_text(name) : BYTES("/"), .room = room, .history = history};

    if (!room_name_valid(room))
        refuse(gateway, request, 422, "bad_room",
               "a room is a text of 1 to 255 bytes without control characters");
    else if (!namespaces_find(&gateway->settings->namespaces, look.namespace))
        refuse(gateway, request, 422, "bad_request", "no such namespace is served");
    else if (history && read_bounds(query, &look) < 0)
        refuse(gateway, request, 422, "bad_request",
               "a page takes before (from 1) or after (from 0), and limit (1 to 200)");
    else
        ask(admin, request, REQUEST_LOOK, 0, put_look, &look);
}

/* evhttp ends values at U+0000, so they would be taken for others. */
static void on_room(struct admin *admin, struct evhttp_request *request, const char *path)
{
    size_t length = strlen(path), suffix = sizeof HISTORY - 1;
    bool history = length > suffix && strcmp(path + length - suffix, HISTORY) == 0;
    const char *text = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
    char *encoded = memory_text(path, history ? length - suffix : length), *room = NULL;
    struct evkeyvalq query = {0};
    size_t room_length = 0;

    if (strchr(encoded, '/'))
        refuse(admin->gateway, request, 404, "not_found",
               "no such resource; a slash in a room's name is %2F");
    else if (evhttp_request_get_command(request) != EVHTTP_REQ_GET)
        refuse_method(admin->gateway, request, "GET");
    else if ((text && strstr(text, "%00")) || evhttp_parse_query_str(text ? text : "", &query) < 0)
        refuse(admin->gateway, request, 400, "bad_request", "the query can't be read");
    else {
        room = evhttp_uridecode(encoded, 0, &room_length);
        look_at(admin, request, bytes_make(room, room ? room_length : 0), history, &query);
    }
    evhttp_clear_headers(&query);
    free(room);
    free(encoded);
}

/* -- requests -------------------------------------------------------------------------------- */

/* Whether whoever asks may; refuses otherwise. */
static bool admit(struct admin *admin, struct evhttp_request *request)
{
    const struct gateway_settings *settings = admin->gateway->settings;
    const char *shown = evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization");

    if (!settings->publish_keys.count) {
        refuse(admin->gateway, request, 403, "forbidden", "this gateway has no publish_key");
        return false;
    }
    if (bearer_keys_admit(&settings->publish_keys, shown))
        return true;
    evhttp_add_header(evhttp_request_get_output_headers(request), "WWW-Authenticate", "Bearer");
    refuse(admin->gateway, request, 401, "unauthorized", "show a key: Authorization: Bearer <key>");
    return false;
}

static void on_request(void *argument, struct evhttp_request *request, const char *path)
{
    struct admin *admin = argument;

    admin->gateway->counters.api_requests++;
    if (!path || strncmp(path, "/api/", 5) != 0)
        refuse(admin->gateway, request, 404, "not_found", "no such resource");
    else if (!admit(admin, request))
        return;
    else if (admin->gateway->draining)
        refuse(admin->gateway, request, 503, "unavailable", "the gateway stops; try another one");
    else if (strcmp(path, "/api/publish") == 0)
        on_publish(admin, request);
    else if (strncmp(path, API_ROOMS, sizeof API_ROOMS - 1) == 0)
        on_room(admin, request, path + sizeof API_ROOMS - 1);
    else
        refuse(admin->gateway, request, 404, "not_found", "no such resource");
}

static void expose(void *argument, struct exposition *exposition)
{
    const struct admin *admin = argument;

    metrics_expose(admin->gateway, exposition);
}

static bool is_healthy(void *argument, const char **why)
{
    const struct admin *admin = argument;

    return gateway_is_healthy(admin->gateway, why);
}

/* -- life ------------------------------------------------------------------------------------ */

int admin_open(struct gateway *gateway, struct admin **out)
{
    const struct gateway_settings *settings = gateway->settings;
    struct admin *admin;
    int result;

    *out = NULL;
    if (!*settings->admin)
        return 0;
    admin = memory_zero(1, sizeof *admin);
    admin->gateway = gateway;
    table_init(&admin->calls, call_key);
    result = http_port_open(gateway->loop,
                            &(struct http_port_options){.listen = settings->admin,
                                                        .max_connections = settings->max_admin_connections,
                                                        .max_body = settings->max_payload,
                                                        .expose = expose,
                                                        .healthy = is_healthy,
                                                        .request = on_request,
                                                        .argument = admin},
                            &admin->port);
    if (result < 0) {
        admin_close(admin);
        return result;
    }
    log_info("admin port", "listen=%s publish=%s", settings->admin,
             settings->publish_keys.count ? "with a key" : "off (no publish_key)");
    *out = admin;
    return 0;
}

void admin_close(struct admin *admin)
{
    uint32_t cursor = 0;
    struct call *call;

    if (!admin)
        return;
    while ((call = table_next(&admin->calls, &cursor))) {
        refuse(admin->gateway, call->request, 503, "unavailable", "the gateway stops; try another one");
        free(call);
    }
    table_done(&admin->calls);
    http_port_close(admin->port);
    free(admin);
}
