/*
 * Sockets, and what a program asks of one; see socket.h and hubbub.h.  What is done to a socket goes out as a
 * request; what it is (rooms, data) changes when the router says so, but for its data, which are this
 * backend's word.
 */
#include "app/socket.h"

#include "app/app.h"
#include "app/records.h"
#include "common/memory.h"
#include "proto/json_scan.h"
#include "proto/json_text.h"
#include "proto/name.h"
#include "proto/utf8.h"

#include <stdlib.h>

enum { MESSAGE_MAX = 4096 };

static struct bytes key_of(const void *entry)
{
    const struct hubbub_socket *socket = entry;

    return socket->sid;
}

void sockets_init(struct sockets *sockets)
{
    table_init(&sockets->by_sid, key_of);
}

static void free_socket(struct hubbub_socket *socket)
{
    for (size_t i = 0; i < socket->room_count; i++)
        free(socket->rooms[i]);
    free(socket->rooms);
    free(socket->name_space);
    free(socket->from);
    free(socket->data);
    free(socket->handshake);
    free(socket->parsed);
    free(socket);
}

void sockets_sweep(struct sockets *sockets)
{
    struct hubbub_socket *socket;

    while ((socket = sockets->gone)) {
        sockets->gone = socket->next_gone;
        free_socket(socket);
    }
}

void sockets_done(struct sockets *sockets)
{
    struct hubbub_socket *socket;
    uint32_t cursor = 0;

    sockets_sweep(sockets);
    while ((socket = table_next(&sockets->by_sid, &cursor)))
        free_socket(socket);
    table_done(&sockets->by_sid);
}

struct hubbub_socket *sockets_find(const struct sockets *sockets, struct bytes sid)
{
    return table_find(&sockets->by_sid, sid);
}

static char *copy(struct bytes text)
{
    return memory_text(text.data, text.length);
}

bool socket_add_room(struct hubbub_socket *socket, struct bytes room)
{
    for (size_t i = 0; i < socket->room_count; i++)
        if (bytes_equal_text(room, socket->rooms[i]))
            return false;
    if (socket->room_count == socket->room_capacity) {
        socket->room_capacity = socket->room_capacity ? socket->room_capacity * 2 : 4;
        socket->rooms = memory_resize(socket->rooms, socket->room_capacity * sizeof *socket->rooms);
    }
    socket->rooms[socket->room_count++] = copy(room);
    return true;
}

bool socket_remove_room(struct hubbub_socket *socket, struct bytes room)
{
    for (size_t i = 1; i < socket->room_count; i++) {
        if (!bytes_equal_text(room, socket->rooms[i]))
            continue;
        free(socket->rooms[i]);
        socket->room_count--;
        memmove(socket->rooms + i, socket->rooms + i + 1, (socket->room_count - i) * sizeof *socket->rooms);
        return true;
    }
    return false;
}

void socket_set_data(struct hubbub_socket *socket, struct bytes data)
{
    free(socket->data);
    socket->data = copy(data);
}

struct hubbub_socket *sockets_add(struct hubbub_app *app, struct hubbub_namespace *served_by,
                                  const struct wire_connection *record)
{
    struct hubbub_socket *socket = memory_zero(1, sizeof *socket);

    socket->app = app;
    socket->served_by = served_by;
    socket->name_space = copy(record->namespace);
    socket->from = copy(record->from);
    socket->data = copy(record->data);
    socket->handshake = copy(record->handshake);
    socket->serial = app->link.serial;
    (void)socket_add_room(socket, record->sid);
    socket->sid = bytes_make(socket->rooms[0], record->sid.length);
    table_insert(&app->sockets.by_sid, socket);
    return socket;
}

void sockets_remove(struct hubbub_app *app, struct hubbub_socket *socket)
{
    table_remove(&app->sockets.by_sid, socket);
    socket->state = SOCKET_GONE;
    socket->next_gone = app->sockets.gone;
    app->sockets.gone = socket;
}

bool socket_usable(const struct hubbub_socket *socket)
{
    return socket && socket->state == SOCKET_CONNECTED && socket->serial >= socket->app->link.trusted &&
           link_leased(socket->app);
}

/* -- what it is ------------------------------------------------------------------------------ */

const char *hubbub_socket_id(const struct hubbub_socket *socket)
{
    return socket ? socket->rooms[0] : NULL;
}

const char *hubbub_socket_namespace(const struct hubbub_socket *socket)
{
    return socket ? socket->name_space : NULL;
}

struct hubbub_app *hubbub_socket_app(const struct hubbub_socket *socket)
{
    return socket ? socket->app : NULL;
}

enum hubbub_arrival hubbub_socket_arrival(const struct hubbub_socket *socket)
{
    return socket ? socket->arrival : HUBBUB_NEW;
}

const char *hubbub_socket_from(const struct hubbub_socket *socket)
{
    return socket ? socket->from : NULL;
}

bool hubbub_socket_connected(const struct hubbub_socket *socket)
{
    return socket_usable(socket);
}

size_t hubbub_socket_rooms(const struct hubbub_socket *socket, const char *const **out)
{
    if (!socket || !out)
        return 0;
    *out = (const char *const *)socket->rooms;
    return socket->room_count;
}

bool hubbub_socket_in(const struct hubbub_socket *socket, const char *room)
{
    for (size_t i = 0; socket && room && i < socket->room_count; i++)
        if (strcmp(socket->rooms[i], room) == 0)
            return true;
    return false;
}

const char *hubbub_socket_data(const struct hubbub_socket *socket)
{
    return socket ? socket->data : NULL;
}

void *hubbub_socket_user(const struct hubbub_socket *socket)
{
    return socket ? socket->user : NULL;
}

void hubbub_socket_set_user(struct hubbub_socket *socket, void *user)
{
    if (socket)
        socket->user = user;
}

struct hubbub_socket *hubbub_socket_find(struct hubbub_app *app, const char *id)
{
    return app && id ? sockets_find(&app->sockets, bytes_from_text(id)) : NULL;
}

void hubbub_sockets_each(struct hubbub_app *app, void (*each)(void *user, struct hubbub_socket *socket),
                         void *user)
{
    struct buffer all = {0};
    struct hubbub_socket *socket;
    uint32_t cursor = 0;
    bool inside;

    if (!app || !each)
        return;
    /* A copy, because a callback may have sockets go; their memory stays until the end of the turn. */
    while ((socket = table_next(&app->sockets.by_sid, &cursor)))
        buffer_append(&all, &socket, sizeof socket);
    inside = app_enter(app);
    for (size_t i = 0; i < all.length / sizeof socket; i++) {
        socket = ((struct hubbub_socket **)(void *)all.data)[i];
        if (socket_usable(socket))
            each(user, socket);
    }
    app_leave(app, inside);
    buffer_done(&all);
}

/* -- its handshake --------------------------------------------------------------------------- */

/* Appends what stands under that key, terminated: a string's text, anything else as JSON; fallback when it is
 * absent. Gives its place. */
static size_t append_value(struct buffer *out, struct json_value object, const char *key,
                           const char *fallback)
{
    size_t at = out->length, length;
    struct json_value value;

    if (json_object_find(object, key, &value) < 0)
        buffer_append_text(out, fallback);
    else if (value.kind != JSON_STRING)
        buffer_append_bytes(out, value.text);
    else if (json_string_decode(value, buffer_reserve(out, value.text.length), value.text.length, &length) ==
             0)
        buffer_extend(out, length);
    buffer_append_char(out, '\0');
    return at;
}

/* One piece of memory: the struct, and behind it the texts that it points to. */
static struct hubbub_handshake *parse(const char *json)
{
    struct buffer texts = {0};
    struct json_value object = {0}, value;
    struct hubbub_handshake *handshake;
    size_t at[6];
    long long issued = 0;
    const char *base;

    if (json_scan(bytes_from_text(json), &object) < 0)
        object = (struct json_value){0};
    at[0] = append_value(&texts, object, "address", "");
    at[1] = append_value(&texts, object, "url", "");
    at[2] = append_value(&texts, object, "time", "");
    at[3] = append_value(&texts, object, "query", "{}");
    at[4] = append_value(&texts, object, "headers", "{}");
    at[5] = append_value(&texts, object, "auth", "{}");
    handshake = memory_zero(1, sizeof *handshake + texts.length);
    base = memcpy(handshake + 1, texts.data, texts.length);
    buffer_done(&texts);
    handshake->address = base + at[0];
    handshake->url = base + at[1];
    handshake->time = base + at[2];
    handshake->query = base + at[3];
    handshake->headers = base + at[4];
    handshake->auth = base + at[5];
    handshake->json = json;
    handshake->secure = json_object_find(object, "secure", &value) == 0 && value.kind == JSON_TRUE;
    if (json_object_find(object, "issued", &value) == 0 && json_integer_decode(value, &issued) == 0 &&
        issued > 0)
        handshake->issued = (uint64_t)issued;
    return handshake;
}

const struct hubbub_handshake *hubbub_socket_handshake(const struct hubbub_socket *socket)
{
    if (!socket)
        return NULL;
    if (!socket->parsed)
        ((struct hubbub_socket *)socket)->parsed = parse(socket->handshake);
    return socket->parsed;
}

/* -- what is done to it ---------------------------------------------------------------------- */

static void put_store(struct wire_batch *batch, const void *record)
{
    wire_put_store(batch, record);
}

static void put_accept(struct wire_batch *batch, uint64_t number, const void *record)
{
    wire_put_accept(batch, &(struct wire_accept){.task = number, .data = *(const struct bytes *)record});
}

static void put_reject(struct wire_batch *batch, uint64_t number, const void *record)
{
    wire_put_reject(batch, &(struct wire_reject){.task = number, .error = *(const struct bytes *)record});
}

/* One JSON text, or none. */
static int check_json(const char *json, size_t limit, struct bytes *out)
{
    struct bytes text = bytes_from_text(json);
    struct json_value value;

    if (text.length > limit)
        return HUBBUB_ERROR_TOO_LARGE;
    if (text.length && (!utf8_valid(text) || json_scan(text, &value) < 0))
        return HUBBUB_ERROR_JSON;
    *out = text.length ? value.text : text;
    return 0;
}

int hubbub_socket_set_data(struct hubbub_socket *socket, const char *json)
{
    struct bytes data;
    int result;

    if (!socket)
        return HUBBUB_ERROR_ARGUMENT;
    result = check_json(json, DATA_MAX, &data);
    if (result)
        return result;
    if (socket->state != SOCKET_CONNECTING) {
        struct wire_store store = {
            .number = requests_next(&socket->app->requests), .sid = socket->sid, .data = data};

        if (!socket_usable(socket))
            return HUBBUB_ERROR_GONE;
        if (!requests_ask(socket->app, &(struct request){.kind = REQUEST_OUTCOME, .type = WIRE_TYPE_STORE},
                          put_store, &store))
            return HUBBUB_ERROR_BUSY;
    }
    socket_set_data(socket, data);
    return 0;
}

/* The task that asks whether to let it in. */
static int find_question(struct hubbub_socket *socket, struct task **out)
{
    if (!socket)
        return HUBBUB_ERROR_ARGUMENT;
    if (socket->state == SOCKET_GONE)
        return HUBBUB_ERROR_GONE;
    if (socket->state != SOCKET_CONNECTING)
        return HUBBUB_ERROR_STATE;
    *out = tasks_by_handle(&socket->app->tasks, socket->task);
    return *out ? 0 : HUBBUB_ERROR_GONE;
}

int hubbub_accept(struct hubbub_socket *socket)
{
    struct bytes data;
    struct task *task;
    int result = find_question(socket, &task);
    bool inside;

    if (result)
        return result;
    data = bytes_from_text(socket->data);
    task_answer(socket->app, task, put_accept, &data);
    socket->state = SOCKET_CONNECTED;
    inside = app_enter(socket->app);
    if (socket->served_by->handlers.on_connection)
        socket->served_by->handlers.on_connection(socket->served_by->user, socket);
    app_leave(socket->app, inside);
    return 0;
}

int hubbub_reject(struct hubbub_socket *socket, const char *message, const char *data)
{
    struct bytes words = bytes_from_text(message ? message : "refused"), json, error;
    struct buffer *text;
    struct task *task;
    int result = find_question(socket, &task);

    if (!result)
        result = check_json(data, DATA_MAX, &json);
    if (result)
        return result;
    if (words.length > MESSAGE_MAX)
        return HUBBUB_ERROR_TOO_LARGE;
    if (!utf8_valid(words))
        return HUBBUB_ERROR_JSON;
    text = &socket->app->scratch;
    buffer_clear(text);
    buffer_append_literal(text, "{\"message\":");
    json_append_string(text, words);
    if (json.length) {
        buffer_append_literal(text, ",\"data\":");
        buffer_append_bytes(text, json);
    }
    buffer_append_char(text, '}');
    error = buffer_bytes(text);
    task_answer(socket->app, task, put_reject, &error);
    tasks_forget_socket(&socket->app->tasks, socket, false);
    sockets_remove(socket->app, socket);
    app_rouse(socket->app);
    return 0;
}

int hubbub_join(struct hubbub_socket *socket, const char *room)
{
    return hubbub_sockets_join(hubbub_self(socket), room);
}

int hubbub_leave(struct hubbub_socket *socket, const char *room)
{
    return hubbub_sockets_leave(hubbub_self(socket), room);
}

int hubbub_disconnect(struct hubbub_socket *socket, enum hubbub_parting parting)
{
    int result = hubbub_sockets_disconnect(hubbub_self(socket), parting);

    if (!result)
        socket->state = SOCKET_PARTING;
    return result;
}

int hubbub_socket_emit(struct hubbub_socket *socket, const char *event, const char *arguments)
{
    return hubbub_emit(hubbub_self(socket), event, arguments);
}
