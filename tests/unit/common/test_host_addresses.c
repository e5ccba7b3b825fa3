/* Where one listens for the name of a host. */
#include "tests/unit/common/test.h"

#include "common/host_addresses.h"

#include <netinet/in.h>
#include <string.h>

static void localhost_is_both_without_being_looked_up(void **state)
{
    struct host_address found[HOST_ADDRESSES_MAX];
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&found[0].address;
    const struct sockaddr_in *four = (const struct sockaddr_in *)&found[1].address;
    const char *reason = NULL;

    (void)state;
    assert_int_equal(host_addresses("localhost", 3000, found, &reason), 2);
    assert_int_equal(six->sin6_family, AF_INET6);
    assert_memory_equal(&six->sin6_addr, &in6addr_loopback, sizeof six->sin6_addr);
    assert_int_equal(ntohs(six->sin6_port), 3000);
    assert_int_equal(four->sin_family, AF_INET);
    assert_int_equal(ntohl(four->sin_addr.s_addr), INADDR_LOOPBACK);
    assert_int_equal(ntohs(four->sin_port), 3000);
}

static void an_address_is_itself(void **state)
{
    struct host_address found[HOST_ADDRESSES_MAX];
    const char *reason = NULL;

    (void)state;
    assert_int_equal(host_addresses("192.0.2.7", 80, found, &reason), 1);
    assert_int_equal(found[0].length, sizeof(struct sockaddr_in));
    assert_int_equal(host_addresses("::", 80, found, &reason), 1);
    assert_int_equal(found[0].length, sizeof(struct sockaddr_in6));
}

static void what_is_no_host_says_why(void **state)
{
    struct host_address found[HOST_ADDRESSES_MAX];
    const char *reason = NULL;

    (void)state;
    assert_int_equal(host_addresses("no host at all", 80, found, &reason), ERROR_NOT_FOUND);
    assert_non_null(reason);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(localhost_is_both_without_being_looked_up),
        cmocka_unit_test(an_address_is_itself),
        cmocka_unit_test(what_is_no_host_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
