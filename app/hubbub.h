/*
 * libhubbub-app: the server side of an application behind Hubbub, in the vocabulary of Socket.IO's server.
 *
 * A program that links this library is a backend.  It connects to the router, names the namespaces that it
 * serves, and is called back for what their clients do.  Gateways hold the clients' connections, so a backend
 * may stop, crash or be replaced, and no client is disconnected: its sockets are handed to another backend,
 * or to its successor.  docs/server-api.md has a tutorial, and a table from each call of Socket.IO's server
 * to the one here.
 *
 *     static void on_chat(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
 *     {
 *         hubbub_emit(hubbub_to(hubbub_broadcast(socket), "lobby"), "chat", event->arguments);
 *         hubbub_answer(hubbub_socket_app(socket), event->task, "{\"ok\":true}");
 *     }
 *
 *     struct hubbub_options options = {.router = "tcp://127.0.0.1:3010", .name = "chat"};
 *     struct hubbub_app *app;
 *     struct hubbub_namespace *chat;
 *
 *     if (hubbub_app_new(&options, &app) == 0 && hubbub_serve(app, "/", NULL, NULL, &chat) == 0 &&
 *         hubbub_on(chat, "chat", on_chat, NULL) == 0)
 *         hubbub_app_run(app);
 *
 * Threads.  An app and all that belongs to it are for one thread: the one that runs it.  Other threads may
 * only call hubbub_app_post() and hubbub_app_stop().  Different apps may be run by different threads.
 *
 * Texts are terminated UTF-8.  Whatever is handed in is copied before the call returns.  Whatever a callback
 * is given is valid until it returns.
 *
 * Arguments, of events and of answers, are JSON texts joined by commas, as they would stand between the
 * parentheses of emit(): "\"hello\",{\"a\":1}" are two; "" or NULL is none.  Binary is an attachment beside
 * them: the object {"_placeholder":true,"num":N} in the arguments stands for the N-th, from 0.
 *
 * Errors.  Functions that can fail return 0 or a negative enum hubbub_error, and have done nothing then.
 * Wrong arguments are an error like any other.  Only want of memory ends the program.
 *
 * Callbacks may call any function here but hubbub_app_run() and hubbub_app_process(), which refuse.  A
 * callback that blocks holds up everything else; one that blocks for longer than the router's `dead` (5 s)
 * loses the sockets to another backend.
 */
#ifndef HUBBUB_H
#define HUBBUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define HUBBUB_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define HUBBUB_PRINTF(text, first)
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct hubbub_app;
struct hubbub_namespace;
struct hubbub_socket;
struct hubbub_target;

/* -- errors ------------------------------------------------------------------------------------ */

enum hubbub_error {
    HUBBUB_ERROR_ARGUMENT = -1,  /* NULL where something is needed, a bad name, a number out of range */
    HUBBUB_ERROR_JSON = -2,      /* not JSON, not UTF-8, or placeholders that don't fit the attachments */
    HUBBUB_ERROR_TOO_LARGE = -3, /* more than the router takes */
    HUBBUB_ERROR_BUSY = -4,      /* too much waits for the router already: try later */
    HUBBUB_ERROR_STATE = -5,     /* not at this time: a target used twice, a namespace after the start */
    HUBBUB_ERROR_NOT_FOUND = -6, /* no such thing, or no more: a task that was answered, a key in JSON */
    HUBBUB_ERROR_GONE = -7,      /* the socket has left, or is another backend's; or the app was freed */
    HUBBUB_ERROR_TIMEOUT = -8,   /* not everyone has answered in time */
    HUBBUB_ERROR_REFUSED = -9,   /* the router refuses it; a code and a message say why */
    HUBBUB_ERROR_CONFIG = -10,   /* a key file that can't be used */
    HUBBUB_ERROR_SYSTEM = -11,   /* a system call or ZeroMQ failed: no descriptors, a bad endpoint */
};

/* A short text for a code; "success" for 0.  Static. */
const char *hubbub_error_text(int code);

/* Of the library that is running, such as "0.1.0".  Static. */
const char *hubbub_version(void);

/* -- the app ----------------------------------------------------------------------------------- */

enum hubbub_state {
    HUBBUB_CONNECTING, /* there is no router, or it has not answered yet; calls are kept until it does */
    HUBBUB_LIVE,       /* the router has taken this backend in */
};

enum hubbub_level { HUBBUB_LOG_ERROR, HUBBUB_LOG_WARN, HUBBUB_LOG_INFO };

/* Zero-initialise it; what is NULL or 0 has its default. */
struct hubbub_options {
    /* The router's ZeroMQ endpoint; "tcp://127.0.0.1:3010". */
    const char *router;

    /* For people, in the router's statistics and log, 1 to 255 bytes; "backend". */
    const char *name;

    /* CURVE, when the router has keys: the files with its public key and with this backend's secret key, both
     * or neither (`hubbub keygen` makes a pair). */
    const char *router_key_file;
    const char *secret_key_file;

    /* How many bytes may wait for the router before calls return BUSY; 16 MB. */
    size_t queue_bytes;

    /* Called when the state changes; NULL: nobody is told. */
    void (*on_state)(void *user, struct hubbub_app *app, enum hubbub_state state);

    /* Called with a line without its end; NULL: nothing is said. */
    void (*log)(void *user, enum hubbub_level level, const char *line);

    /* Handed to both. */
    void *user;
};

/*
 * Makes an app.  It begins to connect with the first hubbub_app_run() or hubbub_app_process().  Free it with
 * hubbub_app_free().  ARGUMENT; CONFIG for a bad key file, SYSTEM for a bad endpoint, and log() was told why.
 */
int hubbub_app_new(const struct hubbub_options *options, struct hubbub_app **out);

/*
 * Tells the router that this backend stops, so that its sockets are handed to others at once, and frees
 * everything.  Callbacks of calls that are still without an outcome are called with GONE; those for sockets
 * are not called.  Takes NULL.  Inside a callback it takes effect when hubbub_app_run() or
 * hubbub_app_process() returns.
 */
void hubbub_app_free(struct hubbub_app *app);

/*
 * A loop of its own: returns 0 after hubbub_app_stop(), or SYSTEM when waiting itself fails.  It may be run
 * again.  STATE inside a callback, or when the app was freed in one.
 */
int hubbub_app_run(struct hubbub_app *app);

/* hubbub_app_run() returns soon.  From any thread, and from a signal handler. */
void hubbub_app_stop(struct hubbub_app *app);

/*
 * In a loop of the caller's: wait until the descriptor is readable (poll, epoll, select), or for as many
 * milliseconds as hubbub_app_timeout() says at that time (-1: for ever); then call hubbub_app_process(),
 * which never blocks.  Calls that are made outside of callbacks make the descriptor readable, too.  The
 * descriptor stays the library's, and the same for the app's life.  SYSTEM or STATE as hubbub_app_run().
 */
int hubbub_app_fd(const struct hubbub_app *app);
int hubbub_app_timeout(const struct hubbub_app *app);
int hubbub_app_process(struct hubbub_app *app);

/*
 * Has call(arg) called on the app's thread, soon, in the order of the posts.  From any thread, as long as the
 * app is not being freed.  What was not called when the app is freed never is.
 */
int hubbub_app_post(struct hubbub_app *app, void (*call)(void *arg), void *arg);

/* Has call(arg) called once, that many milliseconds from now, at most a day; never if the app goes before. */
int hubbub_app_after(struct hubbub_app *app, uint64_t delay_ms, void (*call)(void *arg), void *arg);

enum hubbub_state hubbub_app_state(const struct hubbub_app *app);

/* -- namespaces and what happens in them ------------------------------------------------------- */

enum { HUBBUB_ATTACHMENTS_MAX = 10 };

struct hubbub_blob {
    const void *data;
    size_t length;
};

/* An event of a client's, or one to be judged. */
struct hubbub_event {
    const char *name;
    size_t name_length;
    const char *arguments;
    const struct hubbub_blob *attachments;
    size_t attachment_count;
    const char *room;  /* where it is to be published, of one to be judged; else NULL */
    bool wants_answer; /* the client has asked for an acknowledgement */
    bool again;        /* a backend may have begun with it already: it died, or its link to the router did */
    uint64_t task;     /* for hubbub_answer() and the functions beside it; never used twice by an app */
};

typedef void hubbub_event_callback(void *user, struct hubbub_socket *socket,
                                   const struct hubbub_event *event);

/*
 * What a namespace wants to be told; each may be NULL.  All that concerns one socket comes in order, and none
 * of it goes to another backend at the same time.
 */
struct hubbub_handlers {
    /* A client asks to be let in, as the functions of Socket.IO's namespace.use() are asked.  Somebody must
     * call hubbub_accept() or hubbub_reject() for it, now or later.  NULL: everybody is let in. */
    void (*on_connecting)(void *user, struct hubbub_socket *socket);

    /* A socket is connected, and is this backend's; hubbub_socket_arrival() says in which way.  It comes
     * before anything else about the socket. */
    void (*on_connection)(void *user, struct hubbub_socket *socket);

    /* Any event of a client's, before the function for its name (hubbub_on()).  An event that wants an answer
     * and that neither is there for is answered with the error `unknown_event`. */
    hubbub_event_callback *on_event;

    /* An event whose rule says `ask`: hubbub_pass(), hubbub_change() or hubbub_refuse() must be called for
     * its task, now or later.  NULL: it is refused with `forbidden`. */
    hubbub_event_callback *on_judge;

    /* The socket has entered a room, or is out of it, whoever had it do so.  Neither is called for the rooms
     * that it has at on_connection, nor for those that it leaves with on_disconnect. */
    void (*on_join)(void *user, struct hubbub_socket *socket, const char *room);
    void (*on_leave)(void *user, struct hubbub_socket *socket, const char *room);

    /* It is gone, for a reason in Socket.IO's words such as "transport close"; its rooms can still be asked
     * for.  Its memory goes when the callback has returned. */
    void (*on_disconnect)(void *user, struct hubbub_socket *socket, const char *reason);

    /* It lives on, but is another backend's now, or nobody's (after a lost link also: it has gone in the
     * meantime).  Its memory goes when the callback has returned. */
    void (*on_handover)(void *user, struct hubbub_socket *socket);
};

/*
 * Serves a namespace, or with '*' in its name all that the pattern stands for ("/orders-*"; '*' is one or
 * more characters other than '/').  A namespace of exactly that name goes before patterns, these in the order
 * in which they were added; at most 64 in all.  handlers is copied, and may be NULL for none; out may be
 * NULL.  The namespace lives as long as the app.  ARGUMENT, also for a name that is there; STATE once the app
 * has been run.
 */
int hubbub_serve(struct hubbub_app *app, const char *name, const struct hubbub_handlers *handlers, void *user,
                 struct hubbub_namespace **out);

/* Has events of that name, 1 to 255 bytes, handled by a function.  ARGUMENT also for "connect", "disconnect"
 * and the other names that Socket.IO keeps for itself, which no client can send; STATE for a second one of a
 * name. */
int hubbub_on(struct hubbub_namespace *name_space, const char *event, hubbub_event_callback *callback,
              void *user);

/* -- answers ----------------------------------------------------------------------------------- */

/*
 * An event is done with when its callbacks have returned, without an acknowledgement if none of them has
 * given one.  hubbub_later() leaves it open beyond that, until one of the others is called; events that are
 * open when this backend goes away are given to another one.
 *
 * All of these: NOT_FOUND for a task that is done with, that was taken away with its socket, or that never
 * was; STATE for one of the other kind.  In the middle of an outage they succeed, and the router is told when
 * it is back.
 */
int hubbub_later(struct hubbub_app *app, uint64_t task);

/* Acknowledges it.  When the client has not asked for that, the event is just done with. */
int hubbub_answer(struct hubbub_app *app, uint64_t task, const char *arguments);
int hubbub_answer_binary(struct hubbub_app *app, uint64_t task, const char *arguments,
                         const struct hubbub_blob *attachments, size_t count);

/* Done with, and the client gets no acknowledgement. */
int hubbub_done(struct hubbub_app *app, uint64_t task);

/* The verdict on an event that on_judge was asked about: it is published as it is, ... */
int hubbub_pass(struct hubbub_app *app, uint64_t task);

/* ... with these arguments instead of its own, ... */
int hubbub_change(struct hubbub_app *app, uint64_t task, const char *arguments,
                  const struct hubbub_blob *attachments, size_t count);

/* ... or not, and the sender is told: code is a word of at most 64 bytes (NULL: "forbidden"), message for
 * people. */
int hubbub_refuse(struct hubbub_app *app, uint64_t task, const char *code, const char *message);

/* -- sockets ----------------------------------------------------------------------------------- */

enum hubbub_arrival {
    HUBBUB_NEW,       /* it has just connected */
    HUBBUB_RECOVERED, /* it came back within the recovery window with rooms and data, and missed nothing */
    HUBBUB_HANDED,    /* it was another backend's, or nobody's; rooms and data are as they were left */
};

/* Socket.IO's socket.handshake.  All texts are the socket's. */
struct hubbub_handshake {
    const char *address;                /* the client's, as its gateway saw it */
    const char *url;                    /* the request's target */
    const char *time;                   /* when it came, in ISO 8601 */
    uint64_t issued;                    /* the same in ms since 1970 */
    bool secure;                        /* false: gateways speak no TLS */
    const char *query, *headers, *auth; /* JSON objects */
    const char *json;                   /* all of it, one JSON object */
};

/*
 * A socket is valid until on_disconnect or on_handover have returned for it.  Texts that a function gives out
 * stay valid until the socket changes in that respect; NULL, 0 or false for a socket that is NULL.
 */
const char *hubbub_socket_id(const struct hubbub_socket *socket);
const char *hubbub_socket_namespace(const struct hubbub_socket *socket);
struct hubbub_app *hubbub_socket_app(const struct hubbub_socket *socket);
enum hubbub_arrival hubbub_socket_arrival(const struct hubbub_socket *socket);

/* Who it is: the subject of its token, or "anon:<id>". */
const char *hubbub_socket_from(const struct hubbub_socket *socket);
const struct hubbub_handshake *hubbub_socket_handshake(const struct hubbub_socket *socket);

/* Whether it is let in, has not left, and is surely this backend's. */
bool hubbub_socket_connected(const struct hubbub_socket *socket);

/* The rooms that it is in; the first is its private one, named as its id.  A join shows when on_join tells of
 * it. */
size_t hubbub_socket_rooms(const struct hubbub_socket *socket, const char *const **out);
bool hubbub_socket_in(const struct hubbub_socket *socket, const char *room);

/* Its data: a JSON text of at most 16 KB, "" for none.  The router keeps it; it comes back with recovery and
 * goes along to another backend. */
const char *hubbub_socket_data(const struct hubbub_socket *socket);
int hubbub_socket_set_data(struct hubbub_socket *socket, const char *json);

/* A pointer of the caller's, in this process only. */
void *hubbub_socket_user(const struct hubbub_socket *socket);
void hubbub_socket_set_user(struct hubbub_socket *socket, void *user);

/* This backend's socket of that id; NULL when there is none. */
struct hubbub_socket *hubbub_socket_find(struct hubbub_app *app, const char *id);

/* Calls each(user, socket) for every connected socket of this backend, in no particular order. */
void hubbub_sockets_each(struct hubbub_app *app, void (*each)(void *user, struct hubbub_socket *socket),
                         void *user);

/*
 * Lets a client in that on_connecting was asked about; on_connection is called within the call.  Or refuses
 * it: it gets CONNECT_ERROR with message and perhaps data, a JSON text or NULL; its socket is gone when
 * on_connecting has returned, or this call if that is later.  STATE for one that is connected.
 */
int hubbub_accept(struct hubbub_socket *socket);
int hubbub_reject(struct hubbub_socket *socket, const char *message, const char *data);

/* It enters or leaves a room, 1 to 255 bytes.  Events that are sent to the room afterwards go by that. */
int hubbub_join(struct hubbub_socket *socket, const char *room);
int hubbub_leave(struct hubbub_socket *socket, const char *room);

enum hubbub_parting {
    HUBBUB_LEAVE_NAMESPACE,  /* socket.disconnect(): the client stays connected to other namespaces */
    HUBBUB_CLOSE_CONNECTION, /* socket.disconnect(true): also the connection is closed */
    HUBBUB_DROP_CONNECTION,  /* socket.conn.close(): as if the network had failed; the client may recover */
};

/* No event of it is handled any more; on_disconnect follows. */
int hubbub_disconnect(struct hubbub_socket *socket, enum hubbub_parting parting);

/* socket.emit(): to that one. */
int hubbub_socket_emit(struct hubbub_socket *socket, const char *event, const char *arguments);

/* -- whom something is for --------------------------------------------------------------------- */

/*
 * A target says which sockets, on whatever gateway, and in which manner.  It begins with hubbub_of(),
 * hubbub_broadcast() or hubbub_self(); the functions below narrow it and give it back, so that calls nest;
 * and it is used up by the one that does something with it.  One that is never used must be freed with
 * hubbub_target_free().
 *
 *     io.of("/chat").to("a").to("b").except("c").emit("news", 1)
 *     hubbub_emit(hubbub_except(hubbub_to(hubbub_to(hubbub_of(app, "/chat"), "a"), "b"), "c"), "news", "1")
 *
 * What is wrong with it is remembered and returned in the end; no function returns NULL.
 */

/* Everyone in a namespace, which must be served by this app. */
struct hubbub_target *hubbub_of(struct hubbub_app *app, const char *name);

/* Everyone in the socket's namespace but itself; with hubbub_to(), in a room. */
struct hubbub_target *hubbub_broadcast(struct hubbub_socket *socket);

/* The socket alone. */
struct hubbub_target *hubbub_self(struct hubbub_socket *socket);

/* Only who is in that room, or in another that is named so; a socket's id is the name of its private room.
 * At most 64 names. */
struct hubbub_target *hubbub_to(struct hubbub_target *target, const char *room);

/* Not who is in that room.  At most 64 names, too. */
struct hubbub_target *hubbub_except(struct hubbub_target *target, const char *room);

void hubbub_target_free(struct hubbub_target *target);

/* -- sending ----------------------------------------------------------------------------------- */

/*
 * An event is *logged* unless one of the next two says otherwise: it is on the router's disk before anyone
 * gets it, and a client that comes back within the recovery window gets it, too.
 */

/* Never written; dropped for clients that read slowly, and while there is no router. */
struct hubbub_target *hubbub_volatile(struct hubbub_target *target);

/* Numbered in its room and kept for good, as archived events of clients are.  Needs a room that is no id. */
struct hubbub_target *hubbub_archived(struct hubbub_target *target);

/* Counts once: an id of 8 to 64 bytes.  Whatever is sent with it again in the namespace within 24 hours, by
 * any backend, gets the first one's outcome. */
struct hubbub_target *hubbub_id(struct hubbub_target *target, const char *id);

/* {"room":..,"seq":..,"id":..,"at":..} goes behind the arguments. */
struct hubbub_target *hubbub_meta(struct hubbub_target *target);

/* Binary: the next attachment, from 0; at most HUBBUB_ATTACHMENTS_MAX. */
struct hubbub_target *hubbub_attach(struct hubbub_target *target, const void *data, size_t length);

/* What became of a call. */
struct hubbub_outcome {
    int error;            /* 0, REFUSED, or GONE */
    const char *code;     /* of a refusal: a word such as "storage_full" (docs/protocol.md); else "" */
    const char *message;  /* for people; else "" */
    const char *id;       /* of an event: its id */
    const uint64_t *seqs; /* of an archived event: its number in each room, in the order of hubbub_to() */
    size_t seq_count;
    uint64_t at; /* and when it was committed, ms since 1970; else 0 */
};

typedef void hubbub_outcome_callback(void *user, const struct hubbub_outcome *outcome);

/* Has the outcome told, once, if the call that uses the target up returns 0.  Not for volatile events. */
struct hubbub_target *hubbub_on_outcome(struct hubbub_target *target, hubbub_outcome_callback *callback,
                                        void *user);

/*
 * Sends an event.  Events to one room arrive in the order of these calls.  When the router goes away in
 * between, they are sent again, and count once.  ARGUMENT, JSON, TOO_LARGE, BUSY; GONE for a target that
 * began with a socket that has left; STATE for one that was used before.
 */
int hubbub_emit(struct hubbub_target *target, const char *event, const char *arguments);

/* -- asking clients ---------------------------------------------------------------------------- */

enum { HUBBUB_ASK_TIMEOUT_MS = 10000 };

struct hubbub_reply {
    const char *id; /* the socket's */
    const char *arguments;
    const struct hubbub_blob *attachments;
    size_t attachment_count;
};

struct hubbub_replies {
    int error;           /* 0: all have answered; TIMEOUT; REFUSED, GONE; TOO_LARGE: more than queue_bytes */
    const char *code;    /* of a refusal, as in an outcome */
    const char *message; /* the same */
    const struct hubbub_reply *replies; /* those that came, in their order */
    size_t reply_count;
    const char *const *missing; /* the ids of those who have not answered */
    size_t missing_count;
};

typedef void hubbub_replies_callback(void *user, const struct hubbub_replies *replies);

/* How long hubbub_ask() waits: 1 ms to an hour; HUBBUB_ASK_TIMEOUT_MS when it is not said. */
struct hubbub_target *hubbub_timeout(struct hubbub_target *target, uint64_t milliseconds);

/*
 * Sends an event that asks for an acknowledgement, to one socket or many, as emitWithAck() does.  The
 * callback comes once, when all of them have answered or time is up.  It is neither kept for those who
 * recover nor dropped.  With nobody there it comes without replies and without an error.
 */
int hubbub_ask(struct hubbub_target *target, const char *event, const char *arguments,
               hubbub_replies_callback *callback, void *user);

/* -- many sockets ------------------------------------------------------------------------------ */

struct hubbub_found {
    const char *id, *from, *address;
    const char *data;         /* JSON, "" for none */
    const char *const *rooms; /* the first is its private one, named as its id */
    size_t room_count;
};

struct hubbub_findings {
    int error;           /* 0, REFUSED, GONE, TOO_LARGE */
    const char *code;    /* of a refusal, as in an outcome */
    const char *message; /* the same */
    const struct hubbub_found *sockets;
    size_t count;
};

typedef void hubbub_findings_callback(void *user, const struct hubbub_findings *findings);

/* The target's sockets, on all gateways and whosever they are: fetchSockets(). */
int hubbub_fetch_sockets(struct hubbub_target *target, hubbub_findings_callback *callback, void *user);

/* They all enter or leave a room, or are disconnected: socketsJoin(), socketsLeave(), disconnectSockets(). */
int hubbub_sockets_join(struct hubbub_target *target, const char *room);
int hubbub_sockets_leave(struct hubbub_target *target, const char *room);
int hubbub_sockets_disconnect(struct hubbub_target *target, enum hubbub_parting parting);

/* -- JSON -------------------------------------------------------------------------------------- */

/*
 * Enough for handlers; a program with more to do with JSON uses a library of its choice.
 *
 * A path is "$" for the first of the arguments, "$2" for the second, then .key of letters, digits, _ and -:
 * "$2.room".  Of a single JSON text, such as a handshake's auth, it begins with "$" as well.
 */

/* What stands there; it points into json and has no terminator.  NOT_FOUND; JSON; ARGUMENT for a bad path. */
int hubbub_json_find(const char *json, const char *path, const char **out, size_t *length);

/* The text of a string there, to be freed with free(); NULL when there is none, or one with U+0000 in it. */
char *hubbub_json_text(const char *json, const char *path);

/* A whole number there, up to 2^53 - 1 either way. */
int hubbub_json_integer(const char *json, const char *path, long long *out);

/*
 * JSON in the manner of printf(), to be freed with free(): %s and %.*s become JSON strings, quoted and
 * escaped (null for NULL); %d %i %u with l, ll or z, and %% are as usual; everything else stands for itself.
 * So what a client sent can't break out of its place:  hubbub_json("{\"from\":%s,\"count\":%d}", name, 3).
 * NULL for another conversion, and when the result is no JSON (texts that are not UTF-8).
 */
HUBBUB_PRINTF(1, 2)
char *hubbub_json(const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif
