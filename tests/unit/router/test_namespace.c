/* Namespaces: which ones there are, who keeps one that came from a pattern, and the limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/link.h"
#include "router/room.h"

#include "common/memory.h"

#include <stdio.h>
#include <stdlib.h>

enum { LIMIT = 3 };

struct fixture {
    struct namespace_config configs[3];
    struct namespace_list list;
    struct namespace_table table;
    struct gateway_link links[3];
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_zero(1, sizeof *fixture);

    fixture->configs[0] = (struct namespace_config){.entry = BYTES("/")};
    fixture->configs[1] =
        (struct namespace_config){.entry = BYTES("/a-*"), .is_pattern = true, .builtin = true};
    fixture->configs[2] = (struct namespace_config){.entry = BYTES("/*"), .is_pattern = true};
    fixture->list = (struct namespace_list){fixture->configs, 3};
    namespace_table_init(&fixture->table, &fixture->list, LIMIT);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    namespace_table_done(&fixture->table);
    free(fixture);
    return 0;
}

static struct namespace *open(struct fixture *fixture, const char *name)
{
    struct namespace *namespace = NULL;

    if (namespace_open(&fixture->table, bytes_from_text(name), &namespace))
        fail_msg("%s", name);
    assert_true(bytes_equal_text(namespace->name, name));
    return namespace;
}

static void test_fixed_ones_are_always_there(void **state)
{
    struct fixture *fixture = *state;
    struct namespace *main = namespace_find(&fixture->table, BYTES("/"));

    assert_non_null(main);
    assert_ptr_equal(main->config, &fixture->configs[0]);
    assert_int_equal(fixture->table.by_name.count, 1);
    assert_ptr_equal(open(fixture, "/"), main);
    namespace_release(&fixture->table, main);
    assert_ptr_equal(namespace_find(&fixture->table, BYTES("/")), main);
}

static void test_what_is_not_served(void **state)
{
    static const char *const names[] = {"", "a", "/a/b", "/a?x=1", "/a,b", "/a\n", "/\xff"};
    struct fixture *fixture = *state;
    struct namespace *untouched = (struct namespace *)fixture;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(namespace_open(&fixture->table, bytes_from_text(names[i]), &untouched),
                         ERROR_NOT_FOUND);
        assert_null(namespace_recall(&fixture->table, bytes_from_text(names[i])));
    }
    assert_ptr_equal(untouched, fixture);
    assert_int_equal(fixture->table.by_name.count, 1);
}

static void test_one_of_a_pattern_lives_while_it_is_held(void **state)
{
    struct fixture *fixture = *state;
    struct namespace *one = open(fixture, "/a-1"), *two = open(fixture, "/a-2"), *other = open(fixture, "/b");

    assert_ptr_equal(one->config, &fixture->configs[1]);
    assert_ptr_equal(two->config, &fixture->configs[1]);
    assert_ptr_equal(other->config, &fixture->configs[2]);
    assert_ptr_not_equal(one, two);
    assert_ptr_equal(open(fixture, "/a-1"), one);
    namespace_release(&fixture->table, one);
    assert_ptr_equal(namespace_find(&fixture->table, BYTES("/a-1")), one);
    namespace_release(&fixture->table, one);
    assert_null(namespace_find(&fixture->table, BYTES("/a-1")));
    namespace_release(&fixture->table, two);
    namespace_release(&fixture->table, other);
    assert_int_equal(fixture->table.by_name.count, 1);
}

static void test_sockets_are_counted_by_gateway(void **state)
{
    struct fixture *fixture = *state;
    struct namespace *namespace = open(fixture, "/a-1");

    for (unsigned i = 0; i < 6; i++)
        namespace_add_socket(&fixture->table, namespace, &fixture->links[i % 3]);
    assert_int_equal(namespace->link_count, 3);
    assert_int_equal(fixture->table.in_use, 1);
    for (unsigned i = 0; i < 6; i++) {
        assert_true(namespace_has_link(namespace, &fixture->links[i / 2]));
        namespace_remove_socket(&fixture->table, namespace, &fixture->links[i / 2]);
        assert_int_equal(namespace_has_link(namespace, &fixture->links[i / 2]), i % 2 == 0);
    }
    assert_int_equal(fixture->table.in_use, 0);
    namespace_release(&fixture->table, namespace);
}

static void test_the_limit_counts_those_of_patterns_with_sockets(void **state)
{
    struct fixture *fixture = *state;
    struct namespace *used[LIMIT], *one_more = NULL;
    char name[16];

    for (unsigned i = 0; i < LIMIT; i++) {
        snprintf(name, sizeof name, "/a-%u", i);
        used[i] = open(fixture, name);
        namespace_add_socket(&fixture->table, used[i], &fixture->links[0]);
    }
    assert_int_equal(namespace_open(&fixture->table, BYTES("/a-more"), &one_more), ERROR_BUSY);
    assert_null(one_more);
    assert_null(namespace_find(&fixture->table, BYTES("/a-more")));
    namespace_release(&fixture->table, open(fixture, "/a-1")); /* there already */
    namespace_release(&fixture->table, open(fixture, "/"));
    /* A message that memory holds is not refused; a socket there is one more. */
    one_more = namespace_recall(&fixture->table, BYTES("/a-more"));
    assert_non_null(one_more);
    assert_int_equal(namespace_open(&fixture->table, BYTES("/a-more"), &one_more), ERROR_BUSY);
    assert_int_equal(one_more->references, 1);
    namespace_remove_socket(&fixture->table, used[0], &fixture->links[0]);
    assert_ptr_equal(open(fixture, "/a-more"), one_more);
    namespace_release(&fixture->table, one_more);
    namespace_release(&fixture->table, one_more);
    namespace_release(&fixture->table, used[0]);
    for (unsigned i = 1; i < LIMIT; i++) {
        namespace_remove_socket(&fixture->table, used[i], &fixture->links[0]);
        namespace_release(&fixture->table, used[i]);
    }
    assert_int_equal(fixture->table.by_name.count, 1);
}

static void test_a_room_keeps_its_namespace(void **state)
{
    struct fixture *fixture = *state;
    struct namespace *one = open(fixture, "/a-1"), *two = open(fixture, "/a-2");
    struct rooms rooms;
    struct room *room, *same_name;

    rooms_init(&rooms, &fixture->table, 0);
    room = room_hold(rooms_get(&rooms, one, BYTES("r")));
    same_name = room_hold(rooms_get(&rooms, two, BYTES("r")));
    assert_ptr_not_equal(room, same_name);
    namespace_release(&fixture->table, one);
    namespace_release(&fixture->table, two);
    assert_ptr_equal(namespace_find(&fixture->table, BYTES("/a-1")), one);
    assert_ptr_equal(rooms_find(&rooms, one, BYTES("r")), room);
    room_release(&rooms, room);
    assert_null(namespace_find(&fixture->table, BYTES("/a-1")));
    assert_ptr_equal(rooms_find(&rooms, two, BYTES("r")), same_name);
    rooms_done(&rooms);
    assert_null(namespace_find(&fixture->table, BYTES("/a-2")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fixed_ones_are_always_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_served, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_of_a_pattern_lives_while_it_is_held, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sockets_are_counted_by_gateway, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_limit_counts_those_of_patterns_with_sockets, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_room_keeps_its_namespace, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
