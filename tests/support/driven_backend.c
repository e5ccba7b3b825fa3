/*
 * A backend that does what clients tell it: the event `call` names a call of hubbub.h, and its further
 * arguments are texts.  What it is called back for is told on standard output, a JSON object a line.
 *
 *     driven_backend ROUTER NAME [poll]
 *
 * With `poll` the loop is its own, and the library is driven through its descriptor.
 */
#include <hubbub.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct hubbub_app *app;
static const char *own_name;

static void print(char *line)
{
    puts(line ? line : "null");
    fflush(stdout);
    free(line);
}

static void answer(uint64_t task, char *arguments)
{
    hubbub_answer(app, task, arguments ? arguments : "\"not JSON\"");
    free(arguments);
}

static void answer_error(uint64_t task, int error)
{
    answer(task, hubbub_json("{\"error\":%s}", hubbub_error_text(error)));
}

/* -- what callbacks tell --------------------------------------------------------------------- */

static void on_connection(void *user, struct hubbub_socket *socket)
{
    static const char *const arrivals[] = {"new", "recovered", "handed"};
    const char *data = hubbub_socket_data(socket);
    const char *const *rooms;
    size_t count = hubbub_socket_rooms(socket, &rooms);

    (void)user;
    print(hubbub_json(
        "{\"at\":\"connection\",\"id\":%s,\"arrival\":%s,\"from\":%s,\"rooms\":%zu,\"second\":%s,"
        "\"data\":%s,\"address\":%s,\"url\":%s,\"backend\":%s}",
        hubbub_socket_id(socket), arrivals[hubbub_socket_arrival(socket)], hubbub_socket_from(socket), count,
        count > 1 ? rooms[1] : "", data, hubbub_socket_handshake(socket)->address,
        hubbub_socket_handshake(socket)->url, own_name));
}

static void tell(const char *at, struct hubbub_socket *socket, const char *what)
{
    print(hubbub_json("{\"at\":%s,\"id\":%s,\"what\":%s,\"backend\":%s}", at, hubbub_socket_id(socket), what,
                      own_name));
}

static void on_disconnect(void *user, struct hubbub_socket *socket, const char *reason)
{
    (void)user;
    tell("disconnect", socket, reason);
}

static void on_handover(void *user, struct hubbub_socket *socket)
{
    (void)user;
    tell("handover", socket, "");
}

static void on_join(void *user, struct hubbub_socket *socket, const char *room)
{
    (void)user;
    tell("join", socket, room);
}

static void on_leave(void *user, struct hubbub_socket *socket, const char *room)
{
    (void)user;
    tell("leave", socket, room);
}

static void on_any(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    (void)user;
    if (strcmp(event->name, "call") != 0 && strcmp(event->name, "count") != 0)
        tell("event", socket, event->name);
}

/* -- connecting and judging: at once, or after as many milliseconds as they say --------------- */

static void accept_later(void *arg)
{
    struct hubbub_socket *socket = hubbub_socket_find(app, arg);

    if (socket)
        hubbub_accept(socket);
    free(arg);
}

static void on_connecting(void *user, struct hubbub_socket *socket)
{
    const char *auth = hubbub_socket_handshake(socket)->auth;
    char *refuse = hubbub_json_text(auth, "$.refuse");
    long long wait;

    (void)user;
    if (refuse)
        hubbub_reject(socket, refuse, "{\"by\":\"the backend\"}");
    else if (hubbub_json_integer(auth, "$.wait", &wait) == 0)
        hubbub_app_after(app, (uint64_t)wait, accept_later, strdup(hubbub_socket_id(socket)));
    else
        hubbub_accept(socket);
    free(refuse);
}

static void pass_later(void *arg)
{
    uint64_t *task = arg;

    hubbub_pass(app, *task);
    free(task);
}

static void on_judge(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    char *text = hubbub_json_text(event->arguments, "$.text");
    char *changed = hubbub_json("{\"room\":%s,\"text\":\"***\"}", event->room);
    uint64_t *task;

    (void)user;
    tell("judge", socket, event->room);
    if (text && strcmp(text, "change") == 0) {
        hubbub_change(app, event->task, changed, NULL, 0);
    } else if (text && strcmp(text, "refuse") == 0) {
        hubbub_refuse(app, event->task, "rude", "mind your words");
    } else if (text && strcmp(text, "later") == 0) {
        task = malloc(sizeof *task);
        *task = event->task;
        hubbub_app_after(app, 100, pass_later, task);
    } else {
        hubbub_pass(app, event->task);
    }
    free(changed);
    free(text);
}

/* -- calls ----------------------------------------------------------------------------------- */

struct call {
    struct hubbub_socket *socket;
    const struct hubbub_event *event;
    const char *name;
    char *first, *second, *third; /* arguments, or NULL */
};

static struct hubbub_target *namespace_of(const struct call *call)
{
    return hubbub_of(app, hubbub_socket_namespace(call->socket));
}

static void on_outcome(void *user, const struct hubbub_outcome *outcome)
{
    uint64_t *task = user;

    answer(*task,
           hubbub_json("{\"error\":%s,\"code\":%s,\"id\":%s,\"seq\":%llu,\"seqs\":%zu}",
                       outcome->error ? hubbub_error_text(outcome->error) : "", outcome->code, outcome->id,
                       outcome->seq_count ? (unsigned long long)outcome->seqs[0] : 0ULL, outcome->seq_count));
    free(task);
}

static uint64_t *keep_task(const struct call *call)
{
    uint64_t *task = malloc(sizeof *task);

    *task = call->event->task;
    return task;
}

/* The outcome of what the target is used for becomes the answer. */
static struct hubbub_target *with_outcome(const struct call *call, struct hubbub_target *target)
{
    hubbub_later(app, call->event->task);
    return hubbub_on_outcome(target, on_outcome, keep_task(call));
}

/* The event's argument is the call's third one, or 1. */
static int send_event(const struct call *call, struct hubbub_target *target)
{
    char *text =
        call->third ? hubbub_json("%s", call->third) : strdup(call->name[0] == 'm' ? "1,\"two\"" : "1");
    int result = hubbub_emit(with_outcome(call, target), "heard", text);

    free(text);
    return result;
}

static int do_self(const struct call *call)
{
    return send_event(call, hubbub_self(call->socket));
}

static int do_broadcast(const struct call *call)
{
    return send_event(call, hubbub_broadcast(call->socket));
}

static int do_others(const struct call *call)
{
    return send_event(call, hubbub_to(hubbub_broadcast(call->socket), call->first));
}

static int do_room(const struct call *call)
{
    return send_event(call, hubbub_to(namespace_of(call), call->first));
}

static int do_rooms(const struct call *call)
{
    return send_event(call, hubbub_to(hubbub_to(namespace_of(call), call->first), call->second));
}

static int do_except(const struct call *call)
{
    return send_event(call, hubbub_except(hubbub_to(namespace_of(call), call->first), call->second));
}

static int do_everyone(const struct call *call)
{
    return send_event(call, namespace_of(call));
}

static int do_meta(const struct call *call)
{
    return send_event(call, hubbub_meta(hubbub_to(namespace_of(call), call->first)));
}

static int do_archived(const struct call *call)
{
    struct hubbub_target *target = hubbub_archived(hubbub_to(namespace_of(call), call->first));

    return send_event(call, call->second ? hubbub_id(target, call->second) : target);
}

static int do_volatile(const struct call *call)
{
    int result = hubbub_emit(hubbub_volatile(hubbub_to(namespace_of(call), call->first)), "heard", "1");

    if (!result)
        hubbub_answer(app, call->event->task, "{\"error\":\"\"}");
    return result;
}

static int do_binary(const struct call *call)
{
    struct hubbub_target *target = hubbub_self(call->socket);

    for (size_t i = 0; i < call->event->attachment_count; i++)
        target = hubbub_attach(target, call->event->attachments[i].data, call->event->attachments[i].length);
    target = hubbub_attach(target, "\0more", 5);
    return hubbub_emit(with_outcome(call, target), "heard",
                       "{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}");
}

static int do_join(const struct call *call)
{
    return hubbub_sockets_join(with_outcome(call, hubbub_self(call->socket)), call->first);
}

static int do_leave(const struct call *call)
{
    return hubbub_sockets_leave(with_outcome(call, hubbub_self(call->socket)), call->first);
}

/* What follows a join or a leave finds it done. */
static int do_join_and_room(const struct call *call)
{
    int result = hubbub_join(call->socket, call->first);

    return result ? result : do_room(call);
}

static int do_leave_and_room(const struct call *call)
{
    int result = hubbub_leave(call->socket, call->first);

    return result ? result : do_room(call);
}

static int do_emit(const struct call *call)
{
    int result = hubbub_socket_emit(call->socket, "heard", "1");

    return result ? result : hubbub_answer(app, call->event->task, "{\"error\":\"\"}");
}

static int do_sockets_join(const struct call *call)
{
    return hubbub_sockets_join(with_outcome(call, hubbub_to(namespace_of(call), call->first)), call->second);
}

static int do_sockets_leave(const struct call *call)
{
    return hubbub_sockets_leave(with_outcome(call, hubbub_to(namespace_of(call), call->first)), call->second);
}

static int do_sockets_disconnect(const struct call *call)
{
    return hubbub_sockets_disconnect(with_outcome(call, hubbub_to(namespace_of(call), call->first)),
                                     HUBBUB_LEAVE_NAMESPACE);
}

/* socket.disconnect(), socket.disconnect(true) or socket.conn.close() */
static int do_part(const struct call *call)
{
    enum hubbub_parting parting = strcmp(call->first, "leave") == 0   ? HUBBUB_LEAVE_NAMESPACE
                                  : strcmp(call->first, "close") == 0 ? HUBBUB_CLOSE_CONNECTION
                                                                      : HUBBUB_DROP_CONNECTION;

    return hubbub_disconnect(call->socket, parting);
}

static int do_data(const struct call *call)
{
    int result = hubbub_socket_set_data(call->socket, call->first);

    if (!result)
        answer(call->event->task, hubbub_json("%s", hubbub_socket_data(call->socket)));
    return result;
}

static void on_findings(void *user, const struct hubbub_findings *findings)
{
    uint64_t *task = user;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    for (size_t i = 0; i < findings->count; i++) {
        const struct hubbub_found *found = &findings->sockets[i];
        char *one = hubbub_json("{\"id\":%s,\"from\":%s,\"data\":%s,\"rooms\":%zu,\"address\":%s}", found->id,
                                found->from, found->data, found->room_count, found->address);

        fprintf(out, "%s%s", i ? "," : "[", one);
        free(one);
    }
    fputs(findings->count ? "]" : "[]", out);
    fclose(out);
    answer(*task, text);
    free(task);
}

static int do_fetch(const struct call *call)
{
    struct hubbub_target *target = namespace_of(call);

    hubbub_later(app, call->event->task);
    return hubbub_fetch_sockets(call->first ? hubbub_to(target, call->first) : target, on_findings,
                                keep_task(call));
}

static void on_replies(void *user, const struct hubbub_replies *replies)
{
    uint64_t *task = user;
    struct hubbub_reply none = {"", "", NULL, 0}, first = replies->reply_count ? replies->replies[0] : none;

    answer(*task,
           hubbub_json("{\"error\":%s,\"replies\":%zu,\"first\":%s,\"attachments\":%zu,\"missing\":%zu,"
                       "\"who\":%s}",
                       replies->error ? hubbub_error_text(replies->error) : "", replies->reply_count,
                       first.arguments, first.attachment_count, replies->missing_count,
                       replies->missing_count ? replies->missing[0] : ""));
    free(task);
}

static int do_ask(const struct call *call)
{
    struct hubbub_target *target =
        call->first ? hubbub_to(namespace_of(call), call->first) : hubbub_self(call->socket);

    hubbub_later(app, call->event->task);
    return hubbub_ask(hubbub_timeout(target, call->second ? (uint64_t)atoi(call->second) : 30000), "question",
                      "1", on_replies, keep_task(call));
}

static void answer_kept(void *arg)
{
    uint64_t *task = arg;

    hubbub_answer(app, *task, "\"late\"");
    free(task);
}

static int do_later(const struct call *call)
{
    hubbub_later(app, call->event->task);
    return hubbub_app_after(app, (uint64_t)atoi(call->first), answer_kept, keep_task(call));
}

static void *post_from_here(void *arg)
{
    hubbub_app_post(app, answer_kept, arg);
    return NULL;
}

static int do_thread(const struct call *call)
{
    pthread_t thread;

    hubbub_later(app, call->event->task);
    pthread_create(&thread, NULL, post_from_here, keep_task(call));
    pthread_detach(thread);
    return 0;
}

/* Not when the event comes a second time, or it would take one backend after the other with it. */
static int do_block(const struct call *call)
{
    if (!call->event->again)
        usleep((useconds_t)atoi(call->first) * 1000);
    return hubbub_answer(app, call->event->task, "\"done\"");
}

static int do_answer_binary(const struct call *call)
{
    return hubbub_answer_binary(app, call->event->task, "{\"_placeholder\":true,\"num\":0}",
                                call->event->attachments, call->event->attachment_count);
}

static int do_done(const struct call *call)
{
    int result = hubbub_done(hubbub_socket_app(call->socket), call->event->task);

    /* It is done with, so there is nothing to answer any more. */
    tell(hubbub_answer(app, call->event->task, "1") == HUBBUB_ERROR_NOT_FOUND ? "done" : "not done",
         call->socket, "");
    return result;
}

static void mark(void *user, struct hubbub_socket *socket)
{
    size_t *count = user;

    if (hubbub_socket_connected(socket))
        ++*count;
    hubbub_socket_set_user(socket, count);
}

/* How many sockets are this backend's, and whether the named one is among them. */
static int do_own(const struct call *call)
{
    struct hubbub_socket *named = hubbub_socket_find(app, call->first);
    size_t count = 0;

    hubbub_sockets_each(app, mark, &count);
    answer(call->event->task,
           hubbub_json("{\"count\":%zu,\"named\":%d}", count, named && hubbub_socket_user(named) == &count));
    return 0;
}

static int do_which(const struct call *call)
{
    answer(call->event->task, hubbub_json("%s", own_name));
    return 0;
}

static int do_nothing(const struct call *call)
{
    (void)call;
    return 0;
}

static const struct {
    const char *name;
    int (*run)(const struct call *call); /* answers, or gives an error to answer with */
} calls[] = {
    {"self", do_self},
    {"broadcast", do_broadcast},
    {"others", do_others},
    {"room", do_room},
    {"rooms", do_rooms},
    {"except", do_except},
    {"everyone", do_everyone},
    {"meta", do_meta},
    {"archived", do_archived},
    {"volatile", do_volatile},
    {"binary", do_binary},
    {"join", do_join},
    {"leave", do_leave},
    {"join-and-room", do_join_and_room},
    {"leave-and-room", do_leave_and_room},
    {"emit", do_emit},
    {"sockets-join", do_sockets_join},
    {"sockets-leave", do_sockets_leave},
    {"sockets-disconnect", do_sockets_disconnect},
    {"part", do_part},
    {"data", do_data},
    {"fetch", do_fetch},
    {"ask", do_ask},
    {"later", do_later},
    {"thread", do_thread},
    {"block", do_block},
    {"answer-binary", do_answer_binary},
    {"done", do_done},
    {"own", do_own},
    {"which", do_which},
    {"nothing", do_nothing},
};

static void on_call(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    char *name = hubbub_json_text(event->arguments, "$");
    struct call call = {socket,
                        event,
                        name,
                        hubbub_json_text(event->arguments, "$2"),
                        hubbub_json_text(event->arguments, "$3"),
                        hubbub_json_text(event->arguments, "$4")};
    int result = HUBBUB_ERROR_NOT_FOUND;

    (void)user;
    for (size_t i = 0; name && i < sizeof calls / sizeof *calls; i++)
        if (strcmp(name, calls[i].name) == 0)
            result = calls[i].run(&call);
    if (result)
        answer_error(event->task, result);
    free(call.first);
    free(call.second);
    free(call.third);
    free(name);
}

/* Under load: who handled which, and the number as the answer. */
static void on_count(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    long long number;

    (void)user;
    if (hubbub_json_integer(event->arguments, "$", &number))
        return;
    print(hubbub_json("{\"at\":\"count\",\"id\":%s,\"number\":%lld,\"again\":%d,\"backend\":%s}",
                      hubbub_socket_id(socket), number, event->again, own_name));
    hubbub_answer(app, event->task, event->arguments);
}

/* -- the program ----------------------------------------------------------------------------- */

static void on_state(void *user, struct hubbub_app *which, enum hubbub_state state)
{
    (void)user;
    (void)which;
    print(hubbub_json("{\"at\":%s,\"backend\":%s}", state == HUBBUB_LIVE ? "live" : "away", own_name));
}

static void on_log(void *user, enum hubbub_level level, const char *line)
{
    (void)user;
    (void)level;
    fprintf(stderr, "%s: %s\n", own_name, line);
}

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
    (void)number;
    ended = 1;
    hubbub_app_stop(app);
}

static int run_own_loop(void)
{
    struct pollfd descriptor = {.fd = hubbub_app_fd(app), .events = POLLIN};
    int result = hubbub_app_process(app);

    while (!ended && !result) {
        poll(&descriptor, 1, hubbub_app_timeout(app));
        result = hubbub_app_process(app);
    }
    return result || hubbub_app_state(app) != HUBBUB_LIVE;
}

int main(int count, char **arguments)
{
    static const struct hubbub_handlers handlers = {.on_connecting = on_connecting,
                                                    .on_connection = on_connection,
                                                    .on_event = on_any,
                                                    .on_judge = on_judge,
                                                    .on_join = on_join,
                                                    .on_leave = on_leave,
                                                    .on_disconnect = on_disconnect,
                                                    .on_handover = on_handover};
    struct hubbub_options options = {.on_state = on_state, .log = on_log};
    static const char *const served[] = {"/", "/bare", "/some-*"};
    struct hubbub_namespace *name_space;
    int result;

    if (count != 3 && (count != 4 || strcmp(arguments[3], "poll") != 0))
        return 64;
    options.router = arguments[1];
    options.name = own_name = arguments[2];
    if (hubbub_app_new(&options, &app))
        return EXIT_FAILURE;
    for (size_t i = 0; i < sizeof served / sizeof *served; i++)
        if (hubbub_serve(app, served[i], &handlers, NULL, &name_space) ||
            hubbub_on(name_space, "call", on_call, NULL) || hubbub_on(name_space, "count", on_count, NULL))
            return EXIT_FAILURE;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    result = count == 4 ? run_own_loop() : hubbub_app_run(app);
    hubbub_app_free(app);
    return result ? EXIT_FAILURE : EXIT_SUCCESS;
}
