/* Namespaces of a gateway: which ones there are, and that those of patterns last as long as their sockets. */
#include "tests/unit/gateway/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { LIMIT = 2 };

static struct namespace_config configs[] = {
    {.entry = {"/", 1}},
    {.entry = {"/a-*", 4}, .is_pattern = true, .builtin = true},
    {.entry = {"/*", 2}, .is_pattern = true},
    {.entry = {"/a-fixed", 8}},
};
static const struct namespace_list list = {configs, 4};

static struct namespace_rooms *open(struct namespace_table *table, const char *name)
{
    struct namespace_rooms *namespace = NULL;

    if (namespace_open(table, bytes_from_text(name), &namespace))
        fail_msg("%s", name);
    assert_true(bytes_equal_text(namespace->name, name));
    return namespace;
}

static void fixed_ones_are_always_there(void **state)
{
    struct namespace_table table;
    struct namespace_rooms *fixed;

    (void)state;
    namespace_table_init(&table, &list, LIMIT);
    assert_int_equal(table.by_name.count, 2);
    fixed = namespace_find(&table, BYTES("/a-fixed"));
    assert_ptr_equal(fixed->config, &configs[3]);
    assert_ptr_equal(open(&table, "/a-fixed"), fixed);
    namespace_release(&table, fixed);
    assert_ptr_equal(namespace_find(&table, BYTES("/a-fixed")), fixed);
    assert_int_equal(table.of_patterns, 0);
    namespace_table_done(&table);
}

static void those_of_patterns_come_and_go(void **state)
{
    struct namespace_table table;
    struct namespace_rooms *one, *two, *untouched = NULL;

    (void)state;
    namespace_table_init(&table, &list, LIMIT);
    assert_null(namespace_find(&table, BYTES("/a-1")));
    one = open(&table, "/a-1");
    two = open(&table, "/b");
    assert_ptr_equal(one->config, &configs[1]);
    assert_ptr_equal(two->config, &configs[2]);
    assert_true(bytes_equal(buffer_bytes(&one->event_head), BYTES("42/a-1,")));
    assert_ptr_equal(open(&table, "/a-1"), one);
    assert_int_equal(namespace_open(&table, BYTES("/c"), &untouched), ERROR_BUSY);
    assert_int_equal(namespace_open(&table, BYTES("/c/d"), &untouched), ERROR_NOT_FOUND);
    assert_int_equal(namespace_open(&table, BYTES("/a-1?x=1"), &untouched), ERROR_NOT_FOUND);
    assert_null(untouched);
    namespace_release(&table, one);
    assert_ptr_equal(namespace_find(&table, BYTES("/a-1")), one);
    namespace_release(&table, one);
    assert_null(namespace_find(&table, BYTES("/a-1")));
    namespace_release(&table, open(&table, "/c"));
    namespace_release(&table, two);
    assert_int_equal(table.of_patterns, 0);
    namespace_table_done(&table);
}

static void a_socket_keeps_its_namespace(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer peer = fixture_peer(gateway);
    struct namespace_table *table = &gateway->namespaces;
    struct socket *socket;
    struct namespace_rooms *namespace;

    (void)state;
    table->list = &list;
    namespace = open(table, "/a-1");
    socket = socket_new(gateway, peer.connection, namespace, (struct bytes){0});
    namespace_release(table, namespace);
    assert_ptr_equal(namespace_find(table, BYTES("/a-1")), namespace);
    room_add(gateway, socket, BYTES("r"), 0, false);
    socket_close(gateway, socket, CLOSE_CLIENT_CLOSE);
    assert_null(namespace_find(table, BYTES("/a-1")));
    socket_new(gateway, peer.connection, open(table, "/a-2"), (struct bytes){0});
    namespace_release(table, namespace_find(table, BYTES("/a-2")));
    connection_drop(gateway, peer.connection, CLOSE_PEER_GONE);
    assert_null(namespace_find(table, BYTES("/a-2")));
    assert_int_equal(table->of_patterns, 0);
    fixture_flush(gateway);
    fixture_peer_done(&peer);
    fixture_stop(gateway);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_ones_are_always_there),
        cmocka_unit_test(those_of_patterns_come_and_go),
        cmocka_unit_test(a_socket_keeps_its_namespace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
