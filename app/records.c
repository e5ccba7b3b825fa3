/*
 * The router's records, one function each; see records.h.  The surprising rule: before each callback the
 * lease is looked at, because a callback before it may have taken so long, or the process been stopped, that
 * the sockets are another backend's by now.  Then the rest of the link is worth nothing.
 */
#include "app/records.h"

#include "app/app.h"
#include "app/gathering.h"
#include "common/memory.h"
#include "proto/refusal.h"

#include <stdlib.h>

static int handle_serving(struct hubbub_app *app, const struct wire_serving *serving)
{
    if (app->link.state != LINK_GREETING)
        return ERROR_PROTOCOL;
    if (!wire_minor_fits(serving->minor))
        return ERROR_UNSUPPORTED;
    link_live(app, serving);
    return 0;
}

/* -- sockets come and go --------------------------------------------------------------------- */

static const struct hubbub_handlers *handlers_of(const struct hubbub_socket *socket)
{
    return &socket->served_by->handlers;
}

static void hand_over(struct hubbub_app *app, struct hubbub_socket *socket)
{
    tasks_forget_socket(&app->tasks, socket, true);
    sockets_remove(app, socket);
    if (handlers_of(socket)->on_handover)
        handlers_of(socket)->on_handover(socket->served_by->user, socket);
}

void records_drop_ghosts(struct hubbub_app *app)
{
    struct buffer ghosts = {0};
    struct hubbub_socket *socket;
    uint32_t cursor = 0;

    while ((socket = table_next(&app->sockets.by_sid, &cursor)))
        if (socket->serial != app->link.serial)
            buffer_append(&ghosts, &socket, sizeof socket);
    for (size_t i = 0; i < ghosts.length / sizeof socket; i++) {
        socket = ((struct hubbub_socket **)(void *)ghosts.data)[i];
        if (socket->state != SOCKET_GONE)
            hand_over(app, socket);
    }
    buffer_done(&ghosts);
}

static bool listed(struct bytes list, const char *room)
{
    struct wire_reader reader = {0};
    int count = wire_list_open(&reader, list);
    struct bytes name;

    for (int i = 0; i < count && wire_list_text(&reader, &name) == 0; i++)
        if (bytes_equal_text(name, room))
            return true;
    return false;
}

/* Brings its rooms in line with the list; with tell the program hears what changes. */
static int take_rooms(struct hubbub_socket *socket, struct bytes list, bool tell)
{
    const struct hubbub_handlers *handlers = handlers_of(socket);
    struct wire_reader reader = {0};
    int count = wire_list_open(&reader, list);
    struct bytes name;

    if (count < 0)
        return ERROR_MALFORMED;
    for (size_t i = socket->room_count; i-- > 1;) {
        char *room = socket->rooms[i];

        if (listed(list, room))
            continue;
        room = memory_text(room, strlen(room));
        (void)socket_remove_room(socket, bytes_from_text(room));
        if (tell && handlers->on_leave)
            handlers->on_leave(socket->served_by->user, socket, room);
        free(room);
    }
    for (int i = 0; i < count; i++) {
        if (wire_list_text(&reader, &name) < 0)
            return ERROR_MALFORMED;
        if (socket_add_room(socket, name) && tell && handlers->on_join)
            handlers->on_join(socket->served_by->user, socket, socket->rooms[socket->room_count - 1]);
    }
    return 0;
}

/* One that is known: asked again, or ours still. */
static int connect_again(struct hubbub_app *app, struct hubbub_socket *socket,
                         const struct wire_connection *record)
{
    struct task *task = tasks_by_number(&app->tasks, record->task);

    socket->serial = app->link.serial;
    if (record->kind == WIRE_CONNECTION_NEW) {
        if (task && task->kind == TASK_CONNECTION)
            task_ask_again(app, task);
        return 0;
    }
    if (record->kind == WIRE_CONNECTION_RECOVERED)
        socket->arrival = HUBBUB_RECOVERED;
    socket_set_data(socket, record->data);
    return take_rooms(socket, record->rooms, socket->state != SOCKET_CONNECTING);
}

/* Whether a record about a known socket is about what we know: a client that is asked about by another task
 * has begun anew, and so has one that came back while nobody told us that it was gone. */
static bool same_socket(struct hubbub_app *app, const struct hubbub_socket *socket,
                        const struct wire_connection *record)
{
    const struct task *task = tasks_by_number(&app->tasks, record->task);

    if (record->kind == WIRE_CONNECTION_NEW)
        return task && task->kind == TASK_CONNECTION;
    return record->kind != WIRE_CONNECTION_RECOVERED && socket->state != SOCKET_CONNECTING;
}

static int handle_connection(struct hubbub_app *app, const struct wire_connection *record)
{
    struct hubbub_socket *socket = sockets_find(&app->sockets, record->sid);
    struct hubbub_namespace *served_by = served_find(&app->namespaces, record->namespace);
    struct task *task;

    if (!served_by || record->sid.length == 0)
        return ERROR_PROTOCOL;
    if (socket && same_socket(app, socket, record))
        return connect_again(app, socket, record);
    if (socket)
        hand_over(app, socket);
    task = record->kind == WIRE_CONNECTION_NEW ? tasks_by_number(&app->tasks, record->task) : NULL;
    if (task) { /* rejected already */
        task_ask_again(app, task);
        return 0;
    }
    socket = sockets_add(app, served_by, record);
    if (take_rooms(socket, record->rooms, false) < 0)
        return ERROR_MALFORMED;
    if (record->kind == WIRE_CONNECTION_NEW) {
        socket->task = tasks_add(app, record->task, TASK_CONNECTION, socket)->handle;
        if (served_by->handlers.on_connecting)
            served_by->handlers.on_connecting(served_by->user, socket);
        else
            (void)hubbub_accept(socket);
        return 0;
    }
    socket->state = SOCKET_CONNECTED;
    socket->arrival = record->kind == WIRE_CONNECTION_RECOVERED ? HUBBUB_RECOVERED : HUBBUB_HANDED;
    if (served_by->handlers.on_connection)
        served_by->handlers.on_connection(served_by->user, socket);
    return 0;
}

static int handle_disconnection(struct hubbub_app *app, const struct wire_disconnection *record)
{
    struct hubbub_socket *socket = sockets_find(&app->sockets, record->sid);
    char *reason;

    if (!socket)
        return 0;
    if (take_rooms(socket, record->rooms, false) < 0)
        return ERROR_MALFORMED;
    tasks_forget_socket(&app->tasks, socket, false);
    sockets_remove(app, socket);
    if (!handlers_of(socket)->on_disconnect)
        return 0;
    reason = memory_text(record->reason.data, record->reason.length);
    handlers_of(socket)->on_disconnect(socket->served_by->user, socket, reason);
    free(reason);
    return 0;
}

static int handle_taken_away(struct hubbub_app *app, const struct wire_taken_away *record)
{
    struct hubbub_socket *socket = sockets_find(&app->sockets, record->sid);

    if (socket)
        hand_over(app, socket);
    return 0;
}

static int handle_entered(struct hubbub_app *app, const struct wire_entered *record)
{
    struct hubbub_socket *socket = sockets_find(&app->sockets, record->sid);

    if (socket && socket_add_room(socket, record->room) && handlers_of(socket)->on_join)
        handlers_of(socket)->on_join(socket->served_by->user, socket, socket->rooms[socket->room_count - 1]);
    return 0;
}

static int handle_exited(struct hubbub_app *app, const struct wire_exited *record)
{
    struct hubbub_socket *socket = sockets_find(&app->sockets, record->sid);
    char *room;

    if (!socket || !socket_remove_room(socket, record->room) || !handlers_of(socket)->on_leave)
        return 0;
    room = memory_text(record->room.data, record->room.length);
    handlers_of(socket)->on_leave(socket->served_by->user, socket, room);
    free(room);
    return 0;
}

/* -- events ---------------------------------------------------------------------------------- */

/* Copies what needs a terminator; its texts are the caller's to free. */
static int read_content(struct event_content *content, struct bytes name, struct bytes arguments,
                        struct bytes room, struct bytes attachments)
{
    struct wire_reader reader = {0};
    int count = wire_list_open(&reader, attachments);
    struct bytes blob;

    if (count < 0 || count > HUBBUB_ATTACHMENTS_MAX)
        return ERROR_MALFORMED;
    for (int i = 0; i < count; i++) {
        if (wire_list_text(&reader, &blob) < 0)
            return ERROR_MALFORMED;
        content->blobs[i] = (struct hubbub_blob){blob.data, blob.length};
    }
    buffer_append_bytes(&content->texts, name);
    buffer_append_char(&content->texts, '\0');
    buffer_append_bytes(&content->texts, arguments);
    buffer_append_char(&content->texts, '\0');
    buffer_append_bytes(&content->texts, room);
    buffer_append_char(&content->texts, '\0');
    content->event.name = content->texts.data;
    content->event.name_length = name.length;
    content->event.arguments = content->event.name + name.length + 1;
    content->event.room = content->event.arguments + arguments.length + 1;
    content->event.attachments = content->blobs;
    content->event.attachment_count = (size_t)count;
    return 0;
}

static void dispatch(struct hubbub_socket *socket, const struct hubbub_event *event, bool *handled)
{
    const struct hubbub_namespace *served_by = socket->served_by;
    const struct event_handler *handler =
        table_find(&served_by->events, bytes_make(event->name, event->name_length));

    *handled = served_by->handlers.on_event || handler;
    if (served_by->handlers.on_event)
        served_by->handlers.on_event(served_by->user, socket, event);
    if (handler && socket->state == SOCKET_CONNECTED)
        handler->callback(handler->user, socket, event);
}

/* An event that nobody here handles. */
static void refuse_call(struct hubbub_app *app, struct task *task)
{
    struct buffer answer = {0};

    refusal_append_answer(&answer, REFUSAL_UNKNOWN_EVENT, NULL);
    task_finish_call(app, task, buffer_bytes(&answer));
    buffer_done(&answer);
}

static int handle_call(struct hubbub_app *app, const struct wire_call *record)
{
    struct hubbub_socket *socket = sockets_find(&app->sockets, record->sid);
    struct task *task = tasks_by_number(&app->tasks, record->task);
    struct event_content *content = &app->content;
    uint64_t handle;
    bool handled = true;

    if (task) {
        task_ask_again(app, task);
        return 0;
    }
    buffer_clear(&content->texts);
    if (read_content(content, record->event, record->arguments, (struct bytes){0}, record->attachments) < 0)
        return ERROR_MALFORMED;
    task = tasks_add(app, record->task, TASK_CALL, socket);
    handle = task->handle;
    task->wants_answer = record->flags & WIRE_CALL_ACK;
    content->event.room = NULL;
    content->event.wants_answer = task->wants_answer;
    content->event.again = record->flags & WIRE_CALL_AGAIN;
    content->event.task = handle;
    if (socket && socket->state == SOCKET_CONNECTED)
        dispatch(socket, &content->event, &handled);
    task = tasks_by_handle(&app->tasks, handle);
    if (!task || task->state != TASK_RUNNING)
        return 0;
    if (handled)
        task_finish_call(app, task, (struct bytes){0});
    else
        refuse_call(app, task);
    return 0;
}

static int handle_judge(struct hubbub_app *app, const struct wire_judge *record)
{
    struct hubbub_socket *socket = sockets_find(&app->sockets, record->sid);
    struct task *task = tasks_by_number(&app->tasks, record->task);
    struct event_content *content = &app->content;

    if (task) {
        task_ask_again(app, task);
        return 0;
    }
    buffer_clear(&content->texts);
    if (read_content(content, record->event, record->arguments, record->room, record->attachments) < 0)
        return ERROR_MALFORMED;
    task = tasks_add(app, record->task, TASK_JUDGE, socket);
    task->state = TASK_OPEN;
    content->event.wants_answer = record->flags & WIRE_CALL_ACK;
    content->event.again = record->flags & WIRE_CALL_AGAIN;
    content->event.task = task->handle;
    if (socket && socket->state == SOCKET_CONNECTED && handlers_of(socket)->on_judge)
        handlers_of(socket)->on_judge(socket->served_by->user, socket, &content->event);
    else
        (void)hubbub_refuse(app, task->handle, NULL, NULL);
    return 0;
}

/* -- answers --------------------------------------------------------------------------------- */

static int handle_outcome(struct hubbub_app *app, const struct wire_outcome *record)
{
    struct request *found = requests_find(&app->requests, record->number), request;

    app->link.cuts = 0;
    if (!found)
        return 0;
    request = requests_take(&app->requests, found);
    request_tell(app, &request, record);
    return 0;
}

static int handle_found_end(struct hubbub_app *app, const struct wire_found_end *record)
{
    gathering_found_end(app, record);
    return 0;
}

static int handle_cut(struct hubbub_app *app, const struct wire_cut *record)
{
    app_log(app, HUBBUB_LOG_ERROR, "the router cuts this backend off: %.*s", BYTES_PRINTF(record->reason));
    link_cut(app);
    return 0;
}

static int handle_resync(struct hubbub_app *app, const struct wire_resync *record)
{
    (void)record;
    link_break(app, "the router asks for it");
    return 0;
}

/* X(NAME, name, function, needs): needs 1: there may be a callback for a socket in it, for which it must be
 * ours. */
#define HANDLER_TABLE(X)                                                                                     \
    X(SERVING, serving, handle_serving, 0)                                                                   \
    X(CONNECTION, connection, handle_connection, 1)                                                          \
    X(DISCONNECTION, disconnection, handle_disconnection, 1)                                                 \
    X(TAKEN_AWAY, taken_away, handle_taken_away, 1)                                                          \
    X(CALL, call, handle_call, 1)                                                                            \
    X(JUDGE, judge, handle_judge, 1)                                                                         \
    X(ENTERED, entered, handle_entered, 1)                                                                   \
    X(EXITED, exited, handle_exited, 1)                                                                      \
    X(OUTCOME, outcome, handle_outcome, 0)                                                                   \
    X(ASKED, asked, gathering_asked, 0)                                                                      \
    X(REPLY, reply, gathering_reply, 0)                                                                      \
    X(FOUND, found, gathering_found, 0)                                                                      \
    X(FOUND_END, found_end, handle_found_end, 0)                                                             \
    X(CUT, cut, handle_cut, 0)                                                                               \
    X(RESYNC, resync, handle_resync, 0)

int records_handle(struct hubbub_app *app, struct wire_reader *reader, unsigned type)
{
    switch (type) {
#define X(NAME, name, function, needs)                                                                       \
    case WIRE_TYPE_##NAME: {                                                                                 \
        struct wire_##name record;                                                                           \
                                                                                                             \
        if (wire_get_##name(reader, &record) < 0)                                                            \
            return ERROR_MALFORMED;                                                                          \
        if ((needs) && app->link.state != LINK_LIVE)                                                         \
            return ERROR_PROTOCOL;                                                                           \
        if ((needs) && !link_leased(app))                                                                    \
            return ERROR_CLOSED;                                                                             \
        return function(app, &record);                                                                       \
    }
        HANDLER_TABLE(X)
#undef X
    default:
        return 0; /* of a router that is newer */
    }
}
