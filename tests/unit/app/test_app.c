/* The app's life: options, namespaces, loops of either kind, posts, timers, and wrong arguments. */
#include "tests/unit/app/fixture.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

static void on_event(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    (void)user;
    (void)socket;
    (void)event;
}

/* There may be a warning, too, that the link is not encrypted. */
static void keep_error(void *user, enum hubbub_level level, const char *line)
{
    if (level == HUBBUB_LOG_ERROR)
        snprintf(user, 256, "%s", line);
}

static void test_wrong_options(void **state)
{
    char line[256] = "";
    struct hubbub_app *app = NULL;
    struct hubbub_options options = {.router = "nowhere", .log = keep_error, .user = line};

    (void)state;
    assert_int_equal(hubbub_app_new(NULL, &app), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_app_new(&options, NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_app_new(&options, &app), HUBBUB_ERROR_SYSTEM);
    assert_non_null(strstr(line, "nowhere"));
    options.router = NULL;
    options.name = "a\nb";
    assert_int_equal(hubbub_app_new(&options, &app), HUBBUB_ERROR_ARGUMENT);
    options.name = NULL;
    options.secret_key_file = "/nowhere/key";
    assert_int_equal(hubbub_app_new(&options, &app), HUBBUB_ERROR_ARGUMENT);
    options.router_key_file = "/nowhere/key.pub";
    assert_int_equal(hubbub_app_new(&options, &app), HUBBUB_ERROR_CONFIG);
    assert_non_null(strstr(line, "/nowhere/key"));
    assert_null(app);
}

/* -- CURVE ----------------------------------------------------------------------------------- */

static void write_key(char *path, const char *folder, const char *name, const char *key)
{
    FILE *file;

    snprintf(path, 128, "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%s\n", key);
    fclose(file);
    assert_int_equal(chmod(path, 0600), 0);
}

static void test_encrypted(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    char folder[] = "/tmp/hubbub-app-XXXXXX", secret[128], public[128], router_public[41], router_secret[41],
         own_public[41], own_secret[41];
    struct hubbub_options options = {.secret_key_file = secret, .router_key_file = public};
    size_t size = sizeof router->endpoint;

    assert_int_equal(zmq_curve_keypair(router_public, router_secret), 0);
    assert_int_equal(zmq_curve_keypair(own_public, own_secret), 0);
    assert_non_null(mkdtemp(folder));
    write_key(secret, folder, "own", own_secret);
    write_key(public, folder, "router", router_public);
    /* A second endpoint of the same router, which takes the options that it has at the time of the bind. */
    assert_int_equal(zmq_setsockopt(router->socket, ZMQ_CURVE_SERVER, &(int){1}, sizeof(int)), 0);
    assert_int_equal(zmq_setsockopt(router->socket, ZMQ_CURVE_SECRETKEY, router_secret, 41), 0);
    assert_int_equal(zmq_bind(router->socket, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(router->socket, ZMQ_LAST_ENDPOINT, router->endpoint, &size), 0);
    hubbub_app_free(router->app);
    options.router = router->endpoint;
    assert_int_equal(hubbub_app_new(&options, &router->app), 0);
    assert_int_equal(hubbub_serve(router->app, "/", NULL, NULL, NULL), 0);
    router_take_in(router, 0);
    unlink(secret);
    unlink(public);
    rmdir(folder);
}

static void test_wrong_namespaces(void **state)
{
    struct fixture *fixture = *state;
    struct hubbub_app *app = fixture->router.app;
    struct hubbub_namespace *out = NULL;
    char name[16];

    assert_int_equal(hubbub_serve(NULL, "/a", NULL, NULL, &out), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_serve(app, NULL, NULL, NULL, &out), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_serve(app, "a", NULL, NULL, &out), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_serve(app, "/a,b", NULL, NULL, &out), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_serve(app, "/a-**", NULL, NULL, &out), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_serve(app, "/", NULL, NULL, &out), HUBBUB_ERROR_ARGUMENT);
    assert_null(out);
    for (int i = 2; i < 64; i++) {
        snprintf(name, sizeof name, "/%d", i);
        assert_int_equal(hubbub_serve(app, name, NULL, NULL, NULL), 0);
    }
    assert_int_equal(hubbub_serve(app, "/too-many", NULL, NULL, NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_on(NULL, "e", on_event, NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_on(fixture->root, "", on_event, NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_on(fixture->root, NULL, on_event, NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_on(fixture->root, "e", NULL, NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_on(fixture->root, "\xff", on_event, NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_on(fixture->root, "disconnect", on_event, NULL), HUBBUB_ERROR_ARGUMENT);
}

static void test_no_namespaces_after_the_start(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(hubbub_app_process(fixture->router.app), 0);
    assert_int_equal(hubbub_serve(fixture->router.app, "/late", NULL, NULL, NULL), HUBBUB_ERROR_STATE);
}

static void test_the_exact_name_goes_before_patterns(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    assert_int_equal(hubbub_serve(router->app, "/dyn-7", NULL, NULL, NULL), 0);
    assert_int_equal(hubbub_serve(router->app, "/dyn-7*", NULL, NULL, NULL), 0);
    router_take_in(router, 0);
    assert_int_equal(hubbub_emit(hubbub_of(router->app, "/dyn-7"), "e", NULL), 0);
    EXPECT(router, SEND, send, send);
    assert_bytes(send.namespace, "/dyn-7");
}

static void test_null_everywhere(void **state)
{
    const char *const *rooms;

    (void)state;
    hubbub_app_free(NULL);
    hubbub_app_stop(NULL);
    assert_int_equal(hubbub_app_run(NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_app_process(NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_app_fd(NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_app_timeout(NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_app_post(NULL, free, NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_app_after(NULL, 1, free, NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_app_state(NULL), HUBBUB_CONNECTING);
    assert_null(hubbub_socket_id(NULL));
    assert_null(hubbub_socket_namespace(NULL));
    assert_null(hubbub_socket_app(NULL));
    assert_null(hubbub_socket_from(NULL));
    assert_null(hubbub_socket_handshake(NULL));
    assert_null(hubbub_socket_data(NULL));
    assert_null(hubbub_socket_user(NULL));
    assert_null(hubbub_socket_find(NULL, "s"));
    assert_int_equal(hubbub_socket_rooms(NULL, &rooms), 0);
    assert_int_equal(hubbub_socket_arrival(NULL), HUBBUB_NEW);
    assert_false(hubbub_socket_connected(NULL));
    assert_false(hubbub_socket_in(NULL, "r"));
    hubbub_socket_set_user(NULL, NULL);
    hubbub_sockets_each(NULL, NULL, NULL);
    assert_int_equal(hubbub_socket_set_data(NULL, "1"), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_accept(NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_reject(NULL, NULL, NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_join(NULL, "r"), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_leave(NULL, "r"), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_socket_emit(NULL, "e", NULL), HUBBUB_ERROR_ARGUMENT);
    for (int code = 1; code > -20; code--)
        assert_true(strlen(hubbub_error_text(code)) > 0);
    assert_string_not_equal(hubbub_error_text(HUBBUB_ERROR_SYSTEM), hubbub_error_text(-99));
}

/* -- the loop -------------------------------------------------------------------------------- */

struct posting {
    struct fixture *fixture;
    const char *what;
};

static void say(void *arg)
{
    struct posting *posting = arg;

    tell(posting->fixture, "post", posting->what);
}

static void *post_from_a_thread(void *arg)
{
    struct posting *posting = arg;

    assert_int_equal(hubbub_app_post(posting[0].fixture->router.app, say, &posting[0]), 0);
    assert_int_equal(hubbub_app_post(posting[1].fixture->router.app, say, &posting[1]), 0);
    return NULL;
}

static void test_posts_of_another_thread(void **state)
{
    struct fixture *fixture = *state;
    struct posting postings[] = {{fixture, "one"}, {fixture, "two"}};
    struct pollfd ready = {.fd = hubbub_app_fd(fixture->router.app), .events = POLLIN};
    pthread_t thread;

    router_take_in(&fixture->router, 0);
    assert_int_equal(pthread_create(&thread, NULL, post_from_a_thread, postings), 0);
    while (!fixture->told[0]) {
        poll(&ready, 1, hubbub_app_timeout(fixture->router.app));
        assert_int_equal(hubbub_app_process(fixture->router.app), 0);
    }
    pthread_join(thread, NULL);
    assert_int_equal(hubbub_app_process(fixture->router.app), 0);
    assert_told(fixture, "post one, post two");
}

static void test_a_call_outside_of_callbacks_makes_the_descriptor_readable(void **state)
{
    struct fixture *fixture = *state;
    struct pollfd ready = {.fd = hubbub_app_fd(fixture->router.app), .events = POLLIN};

    begin(fixture);
    for (int i = 0; i < 3 || hubbub_app_timeout(fixture->router.app) == 0; i++)
        assert_int_equal(hubbub_app_process(fixture->router.app), 0);
    assert_int_equal(hubbub_emit(hubbub_of(fixture->router.app, "/"), "e", NULL), 0);
    assert_int_equal(poll(&ready, 1, 0), 1);
    assert_int_equal(hubbub_app_process(fixture->router.app), 0);
    (void)router_expect(&fixture->router, WIRE_TYPE_SEND);
}

static void stop(void *arg)
{
    struct fixture *fixture = arg;

    tell(fixture, "stop", "now");
    assert_int_equal(hubbub_app_process(fixture->router.app), HUBBUB_ERROR_STATE);
    assert_int_equal(hubbub_app_run(fixture->router.app), HUBBUB_ERROR_STATE);
    hubbub_app_stop(fixture->router.app);
}

static struct hubbub_app *to_be_stopped;

static void on_signal(int number)
{
    (void)number;
    hubbub_app_stop(to_be_stopped);
}

static void raise_signal(void *arg)
{
    (void)arg;
    raise(SIGUSR1);
}

static void test_its_own_loop(void **state)
{
    struct fixture *fixture = *state;
    struct hubbub_app *app = fixture->router.app;
    struct posting posting = {fixture, "first"};

    assert_int_equal(hubbub_app_after(app, 0, say, &posting), 0);
    assert_int_equal(hubbub_app_after(app, 30, stop, fixture), 0);
    assert_int_equal(hubbub_app_after(app, 24 * 3600 * 1000 + 1, say, &posting), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_app_run(app), 0);
    assert_told(fixture, "post first, stop now");
    /* Again, and stopped by a signal. */
    to_be_stopped = app;
    signal(SIGUSR1, on_signal);
    assert_int_equal(hubbub_app_after(app, 10, raise_signal, NULL), 0);
    assert_int_equal(hubbub_app_after(app, 3600000, say, &posting), 0); /* never called, and freed */
    assert_int_equal(hubbub_app_run(app), 0);
    signal(SIGUSR1, SIG_DFL);
}

static void free_app(void *arg)
{
    struct fixture *fixture = arg;

    hubbub_app_free(fixture->router.app);
    assert_int_equal(hubbub_app_state(fixture->router.app), HUBBUB_CONNECTING); /* it is there yet */
}

static void test_freed_in_a_callback(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(hubbub_app_post(fixture->router.app, free_app, fixture), 0);
    assert_int_equal(hubbub_app_run(fixture->router.app), HUBBUB_ERROR_STATE);
    fixture->router.app = NULL;
}

static void on_state(void *user, struct hubbub_app *app, enum hubbub_state state)
{
    tell(user, "state", state == HUBBUB_LIVE ? "live" : "connecting");
    assert_int_equal(hubbub_app_state(app), state);
    assert_int_equal(hubbub_emit(hubbub_of(app, "/"), "state", NULL), 0);
}

static void test_states_are_told(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    struct hubbub_options options = {.router = router->endpoint, .on_state = on_state, .user = fixture};

    hubbub_app_free(router->app);
    assert_int_equal(hubbub_app_new(&options, &router->app), 0);
    assert_int_equal(hubbub_serve(router->app, "/", NULL, NULL, NULL), 0);
    router_take_in(router, 0);
    assert_told(fixture, "state live");
    (void)router_expect(router, WIRE_TYPE_SEND);
    wire_put_resync(&router->out, &(struct wire_resync){0});
    router_send(router);
    assert_told(fixture, "state connecting");
    router_take_in(router, 0);
    assert_told(fixture, "state live");
    for (int i = 0; i < 3; i++)
        (void)router_expect(router, WIRE_TYPE_SEND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_options),
        TEST(test_encrypted),
        TEST(test_wrong_namespaces),
        TEST(test_no_namespaces_after_the_start),
        TEST(test_the_exact_name_goes_before_patterns),
        cmocka_unit_test(test_null_everywhere),
        TEST(test_posts_of_another_thread),
        TEST(test_a_call_outside_of_callbacks_makes_the_descriptor_readable),
        TEST(test_its_own_loop),
        TEST(test_freed_in_a_callback),
        TEST(test_states_are_told),
    };

    return cmocka_run_group_tests_name("app/app", tests, NULL, NULL);
}
