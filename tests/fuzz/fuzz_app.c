/*
 * What a router says to a backend: a batch, handled by an app that is live, with callbacks that do what
 * programs do; or, when it is no batch, a text for the helpers for JSON.
 */
#include "app/app.h"
#include "app/records.h"
#include "common/clock.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static void on_connecting(void *user, struct hubbub_socket *socket)
{
    (void)user;
    if (hubbub_socket_handshake(socket)->auth[0] != '{' || hubbub_socket_id(socket)[0] == 'r')
        hubbub_reject(socket, "no", NULL);
    else if (hubbub_socket_id(socket)[0] != 'l')
        hubbub_accept(socket);
}

static void on_connection(void *user, struct hubbub_socket *socket)
{
    (void)user;
    hubbub_join(socket, "room");
    hubbub_socket_set_data(socket, hubbub_socket_from(socket));
}

static void on_event(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    struct hubbub_app *app = hubbub_socket_app(socket);

    (void)user;
    if (event->name[0] == 'l')
        hubbub_later(app, event->task);
    else if (event->name[0] == 'k')
        hubbub_disconnect(socket, HUBBUB_LEAVE_NAMESPACE);
    else
        hubbub_answer_binary(app, event->task, event->arguments, event->attachments, event->attachment_count);
}

static void on_judge(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    (void)user;
    hubbub_change(hubbub_socket_app(socket), event->task, event->arguments, event->attachments,
                  event->attachment_count);
}

static void on_replies(void *user, const struct hubbub_replies *replies)
{
    (void)user;
    (void)replies;
}

static void on_findings(void *user, const struct hubbub_findings *findings)
{
    (void)user;
    (void)findings;
}

static void on_outcome(void *user, const struct hubbub_outcome *outcome)
{
    (void)user;
    (void)outcome;
}

static void handle(struct wire_reader *reader)
{
    static const struct hubbub_handlers handlers = {.on_connecting = on_connecting,
                                                    .on_connection = on_connection,
                                                    .on_event = on_event,
                                                    .on_judge = on_judge};
    struct hubbub_options options = {.router = "inproc://nobody", .queue_bytes = 4096};
    struct hubbub_app *app;
    unsigned type;

    require(hubbub_app_new(&options, &app) == 0 && hubbub_serve(app, "/", &handlers, NULL, NULL) == 0 &&
            hubbub_serve(app, "/*", NULL, NULL, NULL) == 0);
    app->link.state = LINK_LIVE; /* with no socket: what it would send is only gathered */
    app->link.serial = 1;
    app->link.lease_from = clock_boot_ms();
    hubbub_ask(hubbub_of(app, "/"), "e", NULL, on_replies, NULL);
    hubbub_fetch_sockets(hubbub_of(app, "/"), on_findings, NULL);
    hubbub_emit(hubbub_on_outcome(hubbub_of(app, "/"), on_outcome, NULL), "e", NULL);
    while (!app->link.broken && wire_batch_size(&app->link.batch) < WIRE_BATCH_SPLIT / 2 &&
           wire_reader_next(reader, &type) == 1)
        if (records_handle(app, reader, type) < 0)
            break;
    sockets_sweep(&app->sockets);
    app->link.state = LINK_DOWN;
    hubbub_app_free(app);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_reader reader;
    const char *found;
    char *text, *decoded;
    long long number;
    size_t length;

    if (wire_reader_open(&reader, bytes_make((const char *)data, size)) == 0) {
        handle(&reader);
        return 0;
    }
    text = memcpy(calloc(1, size + 1), data, size);
    if (hubbub_json_find(text, "$2.a", &found, &length) == 0)
        require(found >= text && found + length <= text + strlen(text));
    (void)hubbub_json_integer(text, "$", &number);
    decoded = hubbub_json_text(text, "$");
    free(decoded);
    free(text);
    return 0;
}
