/* What a restart makes of the rows of sessions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/away.h"
#include "router/rows.h"

#include "common/memory.h"

#include <stdlib.h>

struct fixture {
    struct namespace_config config;
    struct namespace_list list;
    struct router_settings settings;
    struct gateway_link link;
    struct router router;
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_zero(1, sizeof *fixture);
    struct router *router = &fixture->router;

    fixture->config = (struct namespace_config){.entry = BYTES("/"), .recovery = true};
    fixture->list = (struct namespace_list){&fixture->config, 1};
    fixture->settings.recovery_window = 60000;
    router->settings = &fixture->settings;
    router->loop = loop_new();
    namespace_table_init(&router->namespaces, &fixture->list, 1);
    rooms_init(&router->rooms, &router->namespaces, 1000);
    sessions_init(&router->sessions, &router->rooms);
    session_set_init(&fixture->link.sessions);
    away_init(router);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    struct router *router = &fixture->router;

    away_done(router);
    rows_done(router);
    session_set_done(&fixture->link.sessions);
    sessions_done(&router->sessions);
    rooms_done(&router->rooms);
    namespace_table_done(&router->namespaces);
    loop_free(router->loop);
    free(fixture);
    return 0;
}

static void restore(struct fixture *fixture, uint64_t id, const char *namespace, const char *sid)
{
    struct journal_session row = {.id = id,
                                  .sid = bytes_from_text(sid),
                                  .secret = BYTES("ssssssssssssssssssssss"),
                                  .namespace = bytes_from_text(namespace),
                                  .generation = 1};

    away_restore(&fixture->router, &row);
}

/* The row leaves later, and would take the new session's along. */
static void test_a_dropped_row_keeps_its_number(void **state)
{
    struct fixture *fixture = *state;
    struct sessions *sessions = &fixture->router.sessions;
    struct namespace *namespace = namespace_recall(&fixture->router.namespaces, BYTES("/"));
    struct session *fresh;
    uint64_t serial;

    restore(fixture, 3, "/", "aaaaaaaaaaaaaaaaaaaa");
    restore(fixture, 9, "/gone", "bbbbbbbbbbbbbbbbbbbb");
    restore(fixture, 8, "/gone", "cccccccccccccccccccc");
    assert_int_equal(sessions->away, 1);
    assert_non_null(fixture->router.rows_refused);

    fresh = session_new(sessions, &fixture->link.sessions, &fixture->link, 1, namespace,
                        BYTES("dddddddddddddddddddd"), BYTES(""));
    serial = fresh->serial;
    session_remove(sessions, &fixture->link.sessions, fresh);
    namespace_release(&fixture->router.namespaces, namespace);
    assert_int_equal(serial, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_dropped_row_keeps_its_number, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
