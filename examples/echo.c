/*
 * An echo backend: it answers whatever a client of Socket.IO may try, and serves "/", "/custom", "/mw", which
 * refuses clients without {ok: true}, and every "/dyn-...".  The handlers are those that conformance tests of
 * Socket.IO's protocol expect.  The configuration has to leave these namespaces to it: see
 * deploy/conformance.conf.
 *
 *     build/examples/example-echo [ROUTER]
 *
 * ROUTER is "tcp://127.0.0.1:3010" unless given; beside `hubbub run --data data` it is ipc://data/router.ipc.
 * `make conformance-server` starts all of it.
 */
#include <hubbub.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BIG_MAX = 900000 };

static struct hubbub_app *app;

/* What could not be done is worth a line, and nothing more: this is an echo. */
static void check(const char *what, int code)
{
    if (code)
        fprintf(stderr, "echo: %s: %s\n", what, hubbub_error_text(code));
}

static struct hubbub_target *with_attachments(struct hubbub_target *target, const struct hubbub_event *event)
{
    for (size_t i = 0; i < event->attachment_count; i++)
        target = hubbub_attach(target, event->attachments[i].data, event->attachments[i].length);
    return target;
}

/* s.on("message", (...args) => s.emit("message-back", ...args)) */
static void on_message(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    (void)user;
    check("message-back",
          hubbub_emit(with_attachments(hubbub_self(socket), event), "message-back", event->arguments));
}

/* s.on("message-with-ack", (...args) => ack(...args)) */
static void on_message_with_ack(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    (void)user;
    (void)socket;
    check("message-with-ack", hubbub_answer_binary(app, event->task, event->arguments, event->attachments,
                                                   event->attachment_count));
}

/* s.on("kick", () => s.disconnect()), and likewise for the other ways to part. */
static void on_kick(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    (void)user;
    (void)event;
    check("kick", hubbub_disconnect(socket, HUBBUB_LEAVE_NAMESPACE));
}

static void on_kick_close(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    (void)user;
    (void)event;
    check("kick-close", hubbub_disconnect(socket, HUBBUB_CLOSE_CONNECTION));
}

static void on_drop(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    (void)user;
    (void)event;
    check("drop", hubbub_disconnect(socket, HUBBUB_DROP_CONNECTION));
}

/* s.on("join", (room, ack) => { s.join(room); ack("joined"); }) */
static void on_join(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    char *room = hubbub_json_text(event->arguments, "$");

    (void)user;
    check("join", hubbub_join(socket, room));
    check("join", hubbub_answer(app, event->task, "\"joined\""));
    free(room);
}

/* s.on("big", (n) => s.emit("big", "x".repeat(n))) */
static void on_big(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    long long count;
    char *text;

    (void)user;
    if (hubbub_json_integer(event->arguments, "$", &count) || count < 0 || count > BIG_MAX)
        return;
    text = malloc((size_t)count + 3);
    if (!text)
        return;
    memset(text, 'x', (size_t)count + 2);
    text[0] = text[count + 1] = '"';
    text[count + 2] = '\0';
    check("big", hubbub_socket_emit(socket, "big", text));
    free(text);
}

/* s.on("room-emit", (room, x) => io.to(room).emit("room-msg", x)) */
static void on_room_emit(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    char *room = hubbub_json_text(event->arguments, "$");
    const char *found;
    size_t length;
    char *argument = NULL;

    (void)user;
    (void)socket;
    if (hubbub_json_find(event->arguments, "$2", &found, &length) == 0)
        argument = strndup(found, length);
    check("room-emit", hubbub_emit(with_attachments(hubbub_to(hubbub_of(app, "/"), room), event), "room-msg",
                                   argument ? argument : "null"));
    free(argument);
    free(room);
}

/* s.on("recovered?", () => s.emit("recovered", s.recovered, [...s.rooms], s.data)) */
static void on_recovered(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    const char *data = hubbub_socket_data(socket);
    const char *const *rooms;
    size_t count = hubbub_socket_rooms(socket, &rooms), length = 0;
    char *text = NULL;
    FILE *out = open_memstream(&text, &length);

    (void)user;
    (void)event;
    if (!out)
        return;
    fputs(hubbub_socket_arrival(socket) == HUBBUB_RECOVERED ? "true,[" : "false,[", out);
    for (size_t i = 0; i < count; i++) {
        char *quoted = hubbub_json("%s", rooms[i]);

        fprintf(out, "%s%s", i ? "," : "", quoted);
        free(quoted);
    }
    fprintf(out, "],%s", data[0] ? data : "{}");
    fclose(out);
    check("recovered", hubbub_socket_emit(socket, "recovered", text));
    free(text);
}

/* -- questions to clients -------------------------------------------------------------------- */

/* Who has asked for them, as replies come later: by its id, because it may have gone by then. */
struct asker {
    char *id;
    bool one;
};

/* The first argument of each reply: of one socket by itself, of many as an array. */
static char *list_replies(const struct hubbub_replies *replies, bool one)
{
    size_t length = 0;
    char *text = NULL;
    FILE *out = open_memstream(&text, &length);

    if (!out)
        return NULL;
    if (!one)
        fputc('[', out);
    for (size_t i = 0; i < replies->reply_count; i++) {
        const char *found = "null";
        size_t size = strlen(found);

        (void)hubbub_json_find(replies->replies[i].arguments, "$", &found, &size);
        fprintf(out, "%s%.*s", i ? "," : "", (int)size, found);
    }
    if (!one)
        fputc(']', out);
    fclose(out);
    return text;
}

static void on_replies(void *user, const struct hubbub_replies *replies)
{
    struct asker *asker = user;
    struct hubbub_socket *socket = hubbub_socket_find(app, asker->id);
    char *text = list_replies(replies, asker->one), *failure = NULL;

    if (socket && text && replies->error == 0 && (replies->reply_count || !asker->one))
        check("answer", hubbub_socket_emit(socket, asker->one ? "answer" : "answers", text));
    else if (socket && text && asker->one)
        check("answer-error", hubbub_socket_emit(socket, "answer-error", "\"operation has timed out\""));
    else if (socket && text && asprintf(&failure, "\"operation has timed out\",%s", text) > 0)
        check("answers-error", hubbub_socket_emit(socket, "answers-error", failure));
    free(failure);
    free(text);
    free(asker->id);
    free(asker);
}

static void ask(struct hubbub_target *target, struct hubbub_socket *socket, const char *arguments,
                const char *path)
{
    struct asker *asker = malloc(sizeof *asker);
    long long timeout;
    int result;

    if (!asker || hubbub_json_integer(arguments, path, &timeout) || timeout < 1) {
        hubbub_target_free(target);
        free(asker);
        return;
    }
    asker->id = strdup(hubbub_socket_id(socket));
    asker->one = path[1] == '\0';
    result = hubbub_ask(hubbub_timeout(target, (uint64_t)timeout), "question", "1", on_replies, asker);
    if (result == 0)
        return; /* on_replies() frees it */
    check("question", result);
    free(asker->id);
    free(asker);
}

/* s.on("ask", async (ms) => s.emit("answer", await s.timeout(ms).emitWithAck("question", 1))) */
static void on_ask(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    (void)user;
    ask(hubbub_self(socket), socket, event->arguments, "$");
}

/* s.on("ask-room", async (room, ms) => s.emit("answers", await
 * io.to(room).timeout(ms).emitWithAck("question", 1))) */
static void on_ask_room(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    char *room = hubbub_json_text(event->arguments, "$");

    (void)user;
    ask(hubbub_to(hubbub_of(app, "/"), room), socket, event->arguments, "$2");
    free(room);
}

/* -- namespaces ------------------------------------------------------------------------------ */

static void on_connection(void *user, struct hubbub_socket *socket)
{
    (void)user;
    check("auth", hubbub_socket_emit(socket, "auth", hubbub_socket_handshake(socket)->auth));
}

/* Whether JavaScript would take what stands there for true. */
static bool is_true(const char *json, const char *path)
{
    static const char *const false_values[] = {"false", "null", "0", "\"\""};
    const char *found;
    size_t length;

    if (hubbub_json_find(json, path, &found, &length))
        return false;
    for (size_t i = 0; i < sizeof false_values / sizeof *false_values; i++)
        if (length == strlen(false_values[i]) && memcmp(found, false_values[i], length) == 0)
            return false;
    return true;
}

/* io.of("/mw").use((socket, next) => ...) */
static void on_connecting(void *user, struct hubbub_socket *socket)
{
    const char *auth = hubbub_socket_handshake(socket)->auth;

    (void)user;
    if (is_true(auth, "$.ok"))
        check("accept", hubbub_accept(socket));
    else
        check("reject",
              hubbub_reject(socket, "not authorized", is_true(auth, "$.data") ? "{\"code\":1}" : NULL));
}

static const struct {
    const char *name;
    hubbub_event_callback *callback;
} handlers[] = {
    {"message", on_message},
    {"message-with-ack", on_message_with_ack},
    {"kick", on_kick},
    {"kick-close", on_kick_close},
    {"join", on_join},
    {"big", on_big},
    {"ask", on_ask},
    {"ask-room", on_ask_room},
    {"room-emit", on_room_emit},
    {"drop", on_drop},
    {"recovered?", on_recovered},
};

static int serve(const char *name, void (*connecting)(void *user, struct hubbub_socket *socket))
{
    struct hubbub_handlers callbacks = {.on_connecting = connecting, .on_connection = on_connection};
    struct hubbub_namespace *name_space;
    int result = hubbub_serve(app, name, &callbacks, NULL, &name_space);

    for (size_t i = 0; !result && i < sizeof handlers / sizeof *handlers; i++)
        result = hubbub_on(name_space, handlers[i].name, handlers[i].callback, NULL);
    return result;
}

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
    fprintf(stderr, "echo: %s\n", line);
}

static void on_signal(int number)
{
    (void)number;
    hubbub_app_stop(app);
}

int main(int count, char **arguments)
{
    struct hubbub_options options = {
        .router = count > 1 ? arguments[1] : NULL, .name = "echo", .on_state = on_state, .log = on_log};
    int result = hubbub_app_new(&options, &app);

    if (!result)
        result = serve("/", NULL);
    if (!result)
        result = serve("/custom", NULL);
    if (!result)
        result = serve("/mw", on_connecting);
    if (!result)
        result = serve("/dyn-*", NULL);
    if (!result) {
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        result = hubbub_app_run(app);
    }
    check("ended", result);
    hubbub_app_free(app);
    return result ? EXIT_FAILURE : EXIT_SUCCESS;
}
