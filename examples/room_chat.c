/*
 * The chat of live rooms, with all of its rules in the backend: who may come in, which rooms there are, who
 * hears what.
 *
 *   "/chat"   {name} in auth is needed to come in.  Its events, and how each is sent on:
 *
 *     join {room}         -> {ok, members}; the others hear "joined" {name}: socket.to(room).emit()
 *     say {room, text}    -> {ok, seq}; the whole room hears "said": io.to(room).emit(), archived
 *     typing {room}       the others hear "typing" {name}: the same as join, but volatile
 *     who {room}          -> {ok}; the sender hears "members" [..]: socket.emit()
 *
 *   "/news"   nobody may speak here; everyone hears "headline" when somebody comes into a room of "/chat"
 *
 *     build/examples/example-room_chat [ROUTER]
 *
 * ROUTER is "tcp://127.0.0.1:3010" unless given; beside `hubbub run --data data` it is ipc://data/router.ipc.
 * The configuration leaves "/chat" and "/news" to it:
 *
 *     namespaces = ( { name = "/chat"; builtin = false; }, { name = "/news"; builtin = false; } );
 *
 * Any number of these may run at once; the router shares the clients out among them.  What a backend must
 * know of a client is kept where the next backend finds it, too: in the socket's data, not in memory.
 */
#include <hubbub.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hubbub_app *app;

static void check(const char *what, int code)
{
    if (code)
        fprintf(stderr, "room_chat: %s: %s\n", what, hubbub_error_text(code));
}

static void refuse(const struct hubbub_event *event, const char *why)
{
    char *answer = hubbub_json("{\"ok\":false,\"error\":%s}", why);

    check("answer", hubbub_answer(app, event->task, answer));
    free(answer);
}

/* The room of an event of somebody who is in it; NULL when it was refused.  The caller frees it. */
static char *room_of(struct hubbub_socket *socket, const struct hubbub_event *event)
{
    char *room = hubbub_json_text(event->arguments, "$.room");

    if (room && hubbub_socket_in(socket, room))
        return room;
    refuse(event, "join the room first");
    free(room);
    return NULL;
}

/* -- coming and going ------------------------------------------------------------------------ */

static void on_connecting(void *user, struct hubbub_socket *socket)
{
    char *name = hubbub_json_text(hubbub_socket_handshake(socket)->auth, "$.name");
    char *data = name && name[0] ? hubbub_json("{\"name\":%s}", name) : NULL;

    (void)user;
    if (!data || hubbub_socket_set_data(socket, data) != 0)
        check("reject", hubbub_reject(socket, "say who you are", "{\"code\":\"no_name\"}"));
    else
        check("accept", hubbub_accept(socket));
    free(data);
    free(name);
}

/* The rooms that a socket was in are still known here. */
static void on_disconnect(void *user, struct hubbub_socket *socket, const char *reason)
{
    char *name = hubbub_json_text(hubbub_socket_data(socket), "$.name");
    char *arguments = hubbub_json("{\"name\":%s,\"reason\":%s}", name, reason);
    const char *const *rooms;
    size_t count = hubbub_socket_rooms(socket, &rooms);

    (void)user;
    for (size_t i = 1; i < count; i++) /* the first is its own */
        check("left", hubbub_emit(hubbub_to(hubbub_of(app, "/chat"), rooms[i]), "left", arguments));
    free(arguments);
    free(name);
}

/* -- rooms ----------------------------------------------------------------------------------- */

struct joining {
    uint64_t task;
    char *room;
};

static void on_members_counted(void *user, const struct hubbub_findings *findings)
{
    struct joining *joining = user;
    char *answer = hubbub_json("{\"ok\":true,\"room\":%s,\"members\":%zu}", joining->room, findings->count);

    /* Only now; until then the event was open, and would be given to another backend if this one died. */
    check("join", hubbub_answer(app, joining->task, answer));
    free(answer);
    free(joining->room);
    free(joining);
}

static void on_join(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    char *room = hubbub_json_text(event->arguments, "$.room");
    char *name = hubbub_json_text(hubbub_socket_data(socket), "$.name");
    char *arguments = room ? hubbub_json("{\"name\":%s,\"room\":%s}", name, room) : NULL;
    struct joining *joining = malloc(sizeof *joining);

    (void)user;
    if (!room || !joining || hubbub_join(socket, room) != 0) {
        refuse(event, "a room is a text of 1 to 255 bytes");
        goto out;
    }
    /* Everyone in the room but the sender. */
    check("joined", hubbub_emit(hubbub_to(hubbub_broadcast(socket), room), "joined", arguments));
    /* Everyone in another namespace. */
    check("headline", hubbub_emit(hubbub_of(app, "/news"), "headline", arguments));
    *joining = (struct joining){.task = event->task, .room = strdup(room)};
    check("join", hubbub_later(app, event->task));
    if (hubbub_fetch_sockets(hubbub_to(hubbub_of(app, "/chat"), room), on_members_counted, joining) == 0) {
        joining = NULL;
    } else {
        refuse(event, "try again");
        free(joining->room);
    }
out:
    free(joining);
    free(arguments);
    free(name);
    free(room);
}

static void on_said(void *user, const struct hubbub_outcome *outcome)
{
    uint64_t *task = user;
    char *answer = outcome->error
                       ? hubbub_json("{\"ok\":false,\"error\":%s}", outcome->code)
                       : hubbub_json("{\"ok\":true,\"seq\":%llu}", (unsigned long long)outcome->seqs[0]);

    if (outcome->error != HUBBUB_ERROR_GONE)
        check("say", hubbub_answer(app, *task, answer));
    free(answer);
    free(task);
}

/* To the whole room, the sender included; for good, and numbered, as on_said() hears. */
static void on_say(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    char *room = room_of(socket, event);
    char *text = hubbub_json_text(event->arguments, "$.text");
    char *name = hubbub_json_text(hubbub_socket_data(socket), "$.name");
    char *arguments = NULL;
    uint64_t *task = malloc(sizeof *task);
    struct hubbub_target *target;

    (void)user;
    if (!room || !task)
        goto out;
    if (!text) {
        refuse(event, "there is no text");
        goto out;
    }
    arguments = hubbub_json("{\"name\":%s,\"room\":%s,\"text\":%s}", name, room, text);
    *task = event->task;
    target = hubbub_archived(hubbub_to(hubbub_of(app, "/chat"), room));
    if (hubbub_emit(hubbub_on_outcome(target, on_said, task), "said", arguments) == 0) {
        check("say", hubbub_later(app, event->task));
        task = NULL;
    } else {
        refuse(event, "try again");
    }
out:
    free(task);
    free(arguments);
    free(name);
    free(text);
    free(room);
}

static void on_typing(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    char *room = room_of(socket, event);
    char *name = hubbub_json_text(hubbub_socket_data(socket), "$.name");
    char *arguments = room ? hubbub_json("{\"name\":%s,\"room\":%s}", name, room) : NULL;

    (void)user;
    if (room)
        check("typing",
              hubbub_emit(hubbub_volatile(hubbub_to(hubbub_broadcast(socket), room)), "typing", arguments));
    free(arguments);
    free(name);
    free(room);
}

/* To the sender alone: by its id, as it may have gone when the answer comes. */
static void on_members_listed(void *user, const struct hubbub_findings *findings)
{
    char *id = user, *list = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&list, &length);
    struct hubbub_socket *socket = hubbub_socket_find(app, id);

    for (size_t i = 0; out && i < findings->count; i++) {
        char *name = hubbub_json_text(findings->sockets[i].data, "$.name");
        char *quoted = hubbub_json("%s", name);

        fprintf(out, "%s%s", i ? "," : "[", quoted);
        free(quoted);
        free(name);
    }
    if (out) {
        fputs(findings->count ? "]" : "[]", out);
        fclose(out);
    }
    if (socket && list)
        check("members", hubbub_socket_emit(socket, "members", list));
    free(list);
    free(id);
}

static void on_who(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    char *room = room_of(socket, event);
    char *id = strdup(hubbub_socket_id(socket));

    (void)user;
    if (room) {
        check("who", hubbub_answer(app, event->task, "{\"ok\":true}"));
        if (hubbub_fetch_sockets(hubbub_to(hubbub_of(app, "/chat"), room), on_members_listed, id) == 0)
            id = NULL;
    }
    free(id);
    free(room);
}

/* -- the program ----------------------------------------------------------------------------- */

static void on_state(void *user, struct hubbub_app *which, enum hubbub_state state)
{
    (void)user;
    (void)which;
    puts(state == HUBBUB_LIVE ? "ready" : "waiting for the router");
    fflush(stdout);
}

static void on_log(void *user, enum hubbub_level level, const char *line)
{
    (void)user;
    (void)level;
    fprintf(stderr, "room_chat: %s\n", line);
}

static void on_signal(int number)
{
    (void)number;
    hubbub_app_stop(app);
}

int main(int count, char **arguments)
{
    static const struct hubbub_handlers chat_handlers = {.on_connecting = on_connecting,
                                                         .on_disconnect = on_disconnect};
    struct hubbub_options options = {
        .router = count > 1 ? arguments[1] : NULL, .name = "room_chat", .on_state = on_state, .log = on_log};
    struct hubbub_namespace *chat;
    int result = hubbub_app_new(&options, &app);

    if (!result)
        result = hubbub_serve(app, "/chat", &chat_handlers, NULL, &chat);
    if (!result)
        result = hubbub_serve(app, "/news", NULL, NULL, NULL);
    if (!result)
        result = hubbub_on(chat, "join", on_join, NULL);
    if (!result)
        result = hubbub_on(chat, "say", on_say, NULL);
    if (!result)
        result = hubbub_on(chat, "typing", on_typing, NULL);
    if (!result)
        result = hubbub_on(chat, "who", on_who, NULL);
    if (!result) {
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        result = hubbub_app_run(app);
    }
    check("ended", result);
    hubbub_app_free(app);
    return result ? EXIT_FAILURE : EXIT_SUCCESS;
}
