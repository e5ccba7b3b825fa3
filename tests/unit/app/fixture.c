#include "tests/unit/app/fixture.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t stood_still;
uint64_t __real_clock_boot_ms(void); /* the linker's names */
uint64_t __wrap_clock_boot_ms(void);

uint64_t __wrap_clock_boot_ms(void)
{
    return __real_clock_boot_ms() + stood_still;
}

void tell(struct fixture *fixture, const char *what, const char *which)
{
    size_t length = strlen(fixture->told);

    snprintf(fixture->told + length, sizeof fixture->told - length, "%s%s %s", length ? ", " : "", what,
             which);
}

static bool was_told(void *argument)
{
    struct fixture *fixture = argument;

    return fixture->told[0];
}

void assert_told(struct fixture *fixture, const char *expected)
{
    router_until(&fixture->router, was_told, fixture);
    assert_string_equal(fixture->told, expected);
    fixture->told[0] = '\0';
}

static void on_connection(void *user, struct hubbub_socket *socket)
{
    tell(user, "connection", hubbub_socket_id(socket));
}

static void on_event(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    struct fixture *fixture = user;

    tell(fixture, event->name, hubbub_socket_id(socket));
    fixture->task = event->task;
    if (fixture->quiet)
        return;
    if (fixture->later)
        assert_int_equal(hubbub_later(hubbub_socket_app(socket), event->task), 0);
    else
        assert_int_equal(hubbub_answer(hubbub_socket_app(socket), event->task, event->arguments), 0);
    if (fixture->block)
        stood_still += 6000;
}

static void on_disconnect(void *user, struct hubbub_socket *socket, const char *reason)
{
    tell(user, reason, hubbub_socket_id(socket));
}

static void on_handover(void *user, struct hubbub_socket *socket)
{
    tell(user, "handover", hubbub_socket_id(socket));
}

static void on_join(void *user, struct hubbub_socket *socket, const char *room)
{
    (void)socket;
    tell(user, "join", room);
}

static void on_leave(void *user, struct hubbub_socket *socket, const char *room)
{
    (void)socket;
    tell(user, "leave", room);
}

int set_up(void **state)
{
    static const struct hubbub_handlers handlers = {.on_connection = on_connection,
                                                    .on_event = on_event,
                                                    .on_disconnect = on_disconnect,
                                                    .on_handover = on_handover,
                                                    .on_join = on_join,
                                                    .on_leave = on_leave};
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct hubbub_options options = {.name = "tested"};

    router_open(&fixture->router);
    options.router = fixture->router.endpoint;
    assert_int_equal(hubbub_app_new(&options, &fixture->router.app), 0);
    assert_int_equal(hubbub_serve(fixture->router.app, "/", &handlers, fixture, &fixture->root), 0);
    assert_int_equal(hubbub_serve(fixture->router.app, "/dyn-*", NULL, NULL, NULL), 0);
    *state = fixture;
    return 0;
}

int tear_down(void **state)
{
    struct fixture *fixture = *state;

    router_close(&fixture->router);
    free(fixture);
    stood_still = 0;
    return 0;
}

void begin(struct fixture *fixture)
{
    struct played_router *router = &fixture->router;

    router_take_in(router, 0);
    put_connection(router, 0, WIRE_CONNECTION_HANDED, "s");
    router_send(router);
    assert_told(fixture, "connection s");
}

struct hubbub_socket *socket_s(struct fixture *fixture)
{
    struct hubbub_socket *socket = hubbub_socket_find(fixture->router.app, "s");

    assert_non_null(socket);
    return socket;
}
