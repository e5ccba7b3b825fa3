/* Which endpoints stay on this machine. */
#include "tests/unit/common/test.h"

#include "common/endpoint.h"

static void what_stays_here(void **state)
{
    (void)state;
    assert_true(endpoint_is_local("ipc:///run/hubbub/router.ipc"));
    assert_true(endpoint_is_local("tcp://127.0.0.1:3010"));
    assert_true(endpoint_is_local("tcp://127.9.9.9:3010"));
    assert_true(endpoint_is_local("tcp://localhost:3010"));
    assert_true(endpoint_is_local("tcp://[::1]:3010"));
}

static void what_does_not(void **state)
{
    (void)state;
    assert_false(endpoint_is_local("tcp://*:3010"));
    assert_false(endpoint_is_local("tcp://0.0.0.0:3010"));
    assert_false(endpoint_is_local("tcp://10.0.0.1:3010"));
    assert_false(endpoint_is_local("tcp://router:3010"));
    assert_false(endpoint_is_local("tcp://127.0.0.1.example.org:3010"));
    assert_false(endpoint_is_local("tcp://eth0:3010"));
    assert_false(endpoint_is_local("nonsense"));
    assert_false(endpoint_is_local(""));
}

/* ZeroMQ takes the address to come from in front of the one to go to. */
static void where_it_goes_counts_and_not_where_it_comes_from(void **state)
{
    (void)state;
    assert_true(endpoint_is_local("tcp://127.0.1.1:0;127.0.0.1:3010"));
    assert_false(endpoint_is_local("tcp://127.0.0.1:0;10.0.0.1:3010"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stays_here),
        cmocka_unit_test(what_does_not),
        cmocka_unit_test(where_it_goes_counts_and_not_where_it_comes_from),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
