/*
 * A backend that does what its clients tell it: each call of hubbub.h has an event here, so that tests with
 * stock clients reach all of them.
 *
 *     obedient ROUTER NAME
 *
 * It serves "/", "/all", "/bare", "/guarded" (which lets in by {let: "in" or "later"} in auth) and "/some-*",
 * and says what it is told on standard output, a JSON object a line, with the time of the monotonic clock in
 * us. Answers to clients are objects with the call's result as `error`, 0 for success.
 *
 * WHOM, the first argument of the events that are for a target, is
 *   {"whom": "self", "broadcast", or a namespace, "to": [room, ...], "except": [...],
 *    "class": "volatile" or "archived", "id": text, "meta": true, "timeout": ms}
 */
#include <hubbub.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct hubbub_app *app;
static const char *name;

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Consumes json. */
static void say(json_t *json)
{
    char *line;

    json_object_set_new(json, "at", json_integer((json_int_t)now_us()));
    line = json_dumps(json, JSON_COMPACT);
    puts(line);
    fflush(stdout);
    free(line);
    json_decref(json);
}

/* The same; the client may have asked for no acknowledgement, or be another backend's by now. */
static int answer(uint64_t task, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    int result = hubbub_answer(app, task, text);

    free(text);
    json_decref(json);
    return result;
}

/* What a callback that comes later answers to. */
static uint64_t *keep(uint64_t task)
{
    uint64_t *kept = malloc(sizeof *kept);

    *kept = task;
    hubbub_later(app, task);
    return kept;
}

/* A command: the event that brought it, and its arguments. */
struct command {
    struct hubbub_socket *socket;
    const struct hubbub_event *event;
    json_t *arguments;
};

static json_t *argument(const struct command *command, size_t index)
{
    return json_array_get(command->arguments, index);
}

static const char *text_argument(const struct command *command, size_t index)
{
    return json_string_value(argument(command, index));
}

static void answer_result(const struct command *command, int result)
{
    answer(command->event->task, json_pack("{si}", "error", result));
}

/* The elements of an array as the library takes arguments; free it. */
static char *joined(const json_t *array)
{
    char *text = json_dumps(array, JSON_COMPACT);

    text[strlen(text) - 1] = '\0';
    memmove(text, text + 1, strlen(text));
    return text;
}

static struct hubbub_target *whom(const struct command *command)
{
    json_t *spec = argument(command, 0), *each;
    const char *of = json_string_value(json_object_get(spec, "whom"));
    const char *class = json_string_value(json_object_get(spec, "class"));
    const char *id = json_string_value(json_object_get(spec, "id"));
    struct hubbub_target *target;
    size_t i;

    if (of && strcmp(of, "self") == 0)
        target = hubbub_self(command->socket);
    else if (of && strcmp(of, "broadcast") == 0)
        target = hubbub_broadcast(command->socket);
    else
        target = hubbub_of(app, of);
    json_array_foreach(json_object_get(spec, "to"), i, each) target =
        hubbub_to(target, json_string_value(each));
    json_array_foreach(json_object_get(spec, "except"), i, each) target =
        hubbub_except(target, json_string_value(each));
    if (class)
        target = strcmp(class, "volatile") == 0 ? hubbub_volatile(target) : hubbub_archived(target);
    if (id)
        target = hubbub_id(target, id);
    if (json_is_true(json_object_get(spec, "meta")))
        target = hubbub_meta(target);
    if (json_object_get(spec, "timeout"))
        target = hubbub_timeout(target, (uint64_t)json_integer_value(json_object_get(spec, "timeout")));
    for (i = 0; i < command->event->attachment_count; i++)
        target =
            hubbub_attach(target, command->event->attachments[i].data, command->event->attachments[i].length);
    return target;
}

/* -- sending and asking: WHOM, event, [argument, ...] ----------------------------------------- */

static void on_outcome(void *user, const struct hubbub_outcome *outcome)
{
    json_t *seqs = json_array();

    for (size_t i = 0; i < outcome->seq_count; i++)
        json_array_append_new(seqs, json_integer((json_int_t)outcome->seqs[i]));
    answer(*(uint64_t *)user,
           json_pack("{si ss ss so sI}", "error", outcome->error, "code", outcome->code ? outcome->code : "",
                     "id", outcome->id ? outcome->id : "", "seqs", seqs, "at", (json_int_t)outcome->at));
    free(user);
}

static void do_emit(const struct command *command)
{
    const char *class = json_string_value(json_object_get(argument(command, 0), "class"));
    bool is_volatile = class && strcmp(class, "volatile") == 0;
    char *arguments = joined(argument(command, 2));
    uint64_t *task = is_volatile ? NULL : keep(command->event->task);
    struct hubbub_target *target = whom(command);
    int result;

    if (task)
        target = hubbub_on_outcome(target, on_outcome, task);
    result = hubbub_emit(target, text_argument(command, 1), arguments);
    if (result || is_volatile) {
        answer_result(command, result);
        free(task);
    }
    free(arguments);
}

/* "event", [argument, ...]: to its sender */
static void do_emit_self(const struct command *command)
{
    char *arguments = joined(argument(command, 1));

    answer_result(command, hubbub_socket_emit(command->socket, text_argument(command, 0), arguments));
    free(arguments);
}

static void on_replies(void *user, const struct hubbub_replies *replies)
{
    json_t *list = json_array(), *missing = json_array();

    for (size_t i = 0; i < replies->reply_count; i++) {
        const struct hubbub_reply *reply = &replies->replies[i];

        json_array_append_new(list, json_pack("{ss ss sI}", "id", reply->id, "arguments", reply->arguments,
                                              "attachments", (json_int_t)reply->attachment_count));
    }
    for (size_t i = 0; i < replies->missing_count; i++)
        json_array_append_new(missing, json_string(replies->missing[i]));
    answer(*(uint64_t *)user,
           json_pack("{si so so}", "error", replies->error, "replies", list, "missing", missing));
    free(user);
}

static void do_ask(const struct command *command)
{
    char *arguments = joined(argument(command, 2));
    uint64_t *task = keep(command->event->task);
    int result = hubbub_ask(whom(command), text_argument(command, 1), arguments, on_replies, task);

    if (result) {
        answer_result(command, result);
        free(task);
    }
    free(arguments);
}

/* -- many sockets: WHOM, and a room or a way to part ------------------------------------------- */

static void on_findings(void *user, const struct hubbub_findings *findings)
{
    json_t *list = json_array();

    for (size_t i = 0; i < findings->count; i++) {
        const struct hubbub_found *found = &findings->sockets[i];
        json_t *rooms = json_array();

        for (size_t room = 0; room < found->room_count; room++)
            json_array_append_new(rooms, json_string(found->rooms[room]));
        json_array_append_new(list,
                              json_pack("{ss ss ss ss so}", "id", found->id, "from", found->from, "address",
                                        found->address, "data", found->data, "rooms", rooms));
    }
    answer(*(uint64_t *)user, json_pack("{si so}", "error", findings->error, "sockets", list));
    free(user);
}

static void do_fetch(const struct command *command)
{
    uint64_t *task = keep(command->event->task);
    int result = hubbub_fetch_sockets(whom(command), on_findings, task);

    if (result) {
        answer_result(command, result);
        free(task);
    }
}

static enum hubbub_parting parting(const char *text)
{
    if (strcmp(text, "leave") == 0)
        return HUBBUB_LEAVE_NAMESPACE;
    return strcmp(text, "close") == 0 ? HUBBUB_CLOSE_CONNECTION : HUBBUB_DROP_CONNECTION;
}

static void do_sockets_join(const struct command *command)
{
    answer_result(command, hubbub_sockets_join(whom(command), text_argument(command, 1)));
}

static void do_sockets_leave(const struct command *command)
{
    answer_result(command, hubbub_sockets_leave(whom(command), text_argument(command, 1)));
}

static void do_sockets_disconnect(const struct command *command)
{
    answer_result(command, hubbub_sockets_disconnect(whom(command), parting(text_argument(command, 1))));
}

/* -- its sender --------------------------------------------------------------------------------- */

static void do_join(const struct command *command)
{
    answer_result(command, hubbub_join(command->socket, text_argument(command, 0)));
}

static void do_leave(const struct command *command)
{
    answer_result(command, hubbub_leave(command->socket, text_argument(command, 0)));
}

static void do_disconnect(const struct command *command)
{
    int result = hubbub_disconnect(command->socket, parting(text_argument(command, 0)));

    say(json_pack("{ss si}", "done", "disconnect", "error", result));
}

/* What it was, or with an argument that is no text to remove it. */
static void do_data(const struct command *command)
{
    char *text =
        argument(command, 0) ? json_dumps(argument(command, 0), JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

    answer_result(command, hubbub_socket_set_data(command->socket, text));
    free(text);
}

static void do_describe(const struct command *command)
{
    static const char *const arrivals[] = {"new", "recovered", "handed"};
    struct hubbub_socket *socket = command->socket;
    const char *const *names;
    size_t count = hubbub_socket_rooms(socket, &names);
    json_t *rooms = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(rooms, json_string(names[i]));
    answer(command->event->task,
           json_pack("{si ss ss ss ss ss so sb sb so ss sb}", "error", 0, "backend", name, "id",
                     hubbub_socket_id(socket), "namespace", hubbub_socket_namespace(socket), "from",
                     hubbub_socket_from(socket), "arrival", arrivals[hubbub_socket_arrival(socket)], "rooms",
                     rooms, "connected", hubbub_socket_connected(socket), "found",
                     hubbub_socket_find(app, hubbub_socket_id(socket)) == socket, "handshake",
                     json_loads(hubbub_socket_handshake(socket)->json, 0, NULL), "data",
                     hubbub_socket_data(socket), "in", hubbub_socket_in(socket, "R")));
}

/* -- acknowledgements --------------------------------------------------------------------------- */

/* Whatever it was given, attachments included. */
static void do_echo(const struct command *command)
{
    hubbub_answer_binary(app, command->event->task, command->event->arguments, command->event->attachments,
                         command->event->attachment_count);
}

static void do_done(const struct command *command)
{
    hubbub_done(app, command->event->task);
}

/* Work that takes a while: a number, and ms. */
struct work {
    char *id;
    json_int_t number;
    uint64_t task;
};

static void on_work_done(void *arg)
{
    struct work *work = arg;
    int result =
        answer(work->task, json_pack("{si sI ss}", "error", 0, "number", work->number, "backend", name));

    say(json_pack("{ss ss sI si}", "work", "end", "id", work->id, "number", work->number, "error", result));
    free(work->id);
    free(work);
}

static void do_work(const struct command *command)
{
    struct work *work = malloc(sizeof *work);

    *work = (struct work){strdup(hubbub_socket_id(command->socket)), json_integer_value(argument(command, 0)),
                          command->event->task};
    say(json_pack("{ss ss sI sb}", "work", "begin", "id", work->id, "number", work->number, "again",
                  command->event->again));
    hubbub_later(app, work->task);
    hubbub_app_after(app, (uint64_t)json_integer_value(argument(command, 1)), on_work_done, work);
}

static const struct {
    const char *name;
    void (*perform)(const struct command *command);
} commands[] = {
    {"emit", do_emit},
    {"emit_self", do_emit_self},
    {"ask", do_ask},
    {"fetch", do_fetch},
    {"sockets_join", do_sockets_join},
    {"sockets_leave", do_sockets_leave},
    {"sockets_disconnect", do_sockets_disconnect},
    {"join_room", do_join},
    {"leave_room", do_leave},
    {"disconnect_me", do_disconnect},
    {"data", do_data},
    {"describe", do_describe},
    {"echo", do_echo},
    {"done", do_done},
    {"work", do_work},
};

static void on_command(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    size_t index = (size_t)(uintptr_t)user, length = strlen(event->arguments) + 3;
    char *text = malloc(length);
    struct command command = {.socket = socket, .event = event};

    snprintf(text, length, "[%s]", event->arguments);
    command.arguments = json_loads(text, 0, NULL);
    free(text);
    commands[index].perform(&command);
    json_decref(command.arguments);
}

/* -- what it is told ---------------------------------------------------------------------------- */

static void on_accept_later(void *arg)
{
    struct hubbub_socket *socket = hubbub_socket_find(app, arg);

    say(json_pack("{ss si}", "done", "accept", "error", socket ? hubbub_accept(socket) : HUBBUB_ERROR_GONE));
    free(arg);
}

static void on_connecting(void *user, struct hubbub_socket *socket)
{
    char *let = hubbub_json_text(hubbub_socket_handshake(socket)->auth, "$.let");

    (void)user;
    if (let && strcmp(let, "in") == 0)
        hubbub_accept(socket);
    else if (let && strcmp(let, "later") == 0)
        hubbub_app_after(app, 300, on_accept_later, strdup(hubbub_socket_id(socket)));
    else
        hubbub_reject(socket, "not here", let ? "{\"reason\":[1,2]}" : NULL);
    free(let);
}

static void tell(const char *what, struct hubbub_socket *socket, const char *key, const char *value)
{
    say(json_pack("{ss ss ss}", "told", what, "id", hubbub_socket_id(socket), key, value));
}

static void on_connection(void *user, struct hubbub_socket *socket)
{
    static const char *const arrivals[] = {"new", "recovered", "handed"};

    (void)user;
    tell("connection", socket, "arrival", arrivals[hubbub_socket_arrival(socket)]);
}

static void on_join(void *user, struct hubbub_socket *socket, const char *room)
{
    (void)user;
    tell("join", socket, "room", room);
}

static void on_leave(void *user, struct hubbub_socket *socket, const char *room)
{
    (void)user;
    tell("leave", socket, "room", room);
}

static void on_disconnect(void *user, struct hubbub_socket *socket, const char *reason)
{
    (void)user;
    tell("disconnect", socket, "reason", reason);
}

static void on_handover(void *user, struct hubbub_socket *socket)
{
    (void)user;
    tell("handover", socket, "to", "another");
}

/* An event whose rule asks: {"verdict": "pass", "change" or "refuse", ...} */
static void on_judge(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    char *verdict = hubbub_json_text(event->arguments, "$.verdict");

    (void)user;
    tell("judge", socket, "room", event->room);
    if (verdict && strcmp(verdict, "pass") == 0)
        hubbub_pass(app, event->task);
    else if (verdict && strcmp(verdict, "change") == 0)
        hubbub_change(app, event->task, "{\"changed\":true},\"by the backend\"", event->attachments,
                      event->attachment_count);
    else
        hubbub_refuse(app, event->task, verdict, "not like this");
    free(verdict);
}

/* -- the program -------------------------------------------------------------------------------- */

static void on_state(void *user, struct hubbub_app *which, enum hubbub_state state)
{
    (void)user;
    (void)which;
    say(json_pack("{ss}", "state", state == HUBBUB_LIVE ? "live" : "connecting"));
}

static void on_log(void *user, enum hubbub_level level, const char *line)
{
    (void)user;
    (void)level;
    fprintf(stderr, "%s: %s\n", name, line);
}

static void on_signal(int number)
{
    (void)number;
    hubbub_app_stop(app);
}

static int serve(const char *name_space, bool guarded)
{
    struct hubbub_handlers handlers = {.on_connecting = guarded ? on_connecting : NULL,
                                       .on_connection = on_connection,
                                       .on_judge = on_judge,
                                       .on_join = on_join,
                                       .on_leave = on_leave,
                                       .on_disconnect = on_disconnect,
                                       .on_handover = on_handover};
    struct hubbub_namespace *served;
    int result = hubbub_namespace(app, name_space, &handlers, NULL, &served);

    for (size_t i = 0; !result && i < sizeof commands / sizeof *commands; i++)
        result = hubbub_on(served, commands[i].name, on_command, (void *)(uintptr_t)i);
    return result;
}

int main(int count, char **arguments)
{
    static const char *const served[] = {"/", "/all", "/bare", "/some-*"};
    struct hubbub_options options = {.on_state = on_state, .log = on_log};
    int result;

    if (count != 3)
        return 64;
    options.router = arguments[1];
    options.name = name = arguments[2];
    result = hubbub_app_new(&options, &app);
    for (size_t i = 0; !result && i < sizeof served / sizeof *served; i++)
        result = serve(served[i], false);
    if (!result)
        result = serve("/guarded", true);
    if (!result) {
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        result = hubbub_app_run(app);
    }
    if (result)
        fprintf(stderr, "%s: %s\n", name, hubbub_error_text(result));
    hubbub_app_free(app);
    return result ? EXIT_FAILURE : EXIT_SUCCESS;
}
