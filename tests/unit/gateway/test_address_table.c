/* The table of addresses against a plain count, and its bounds. */
#include "gateway/address_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SECOND = 1000000, NETWORKS = 40, HELD = 300 };

static const struct token_rate no_rate, slow = {.per_second = 1, .burst = 2};

static struct ip_address address(const char *text)
{
    struct ip_address out;

    assert_int_equal(ip_address_parse(bytes_from_text(text), &out), 0);
    return out;
}

static struct ip_address numbered(unsigned number)
{
    struct ip_address out = address("::ffff:10.0.0.0");

    out.bytes[14] = (uint8_t)(number >> 8);
    out.bytes[15] = (uint8_t)number;
    return out;
}

static void connections_are_counted_by_address(void **state)
{
    struct ip_address one = address("::ffff:192.0.2.1"), two = address("::ffff:192.0.2.2");
    struct client_network *held[3], *none = NULL;
    struct address_table table;

    (void)state;
    address_table_init(&table, 10);
    assert_int_equal(address_admit(&table, &one, &no_rate, 2, 0, &held[0]), ADDRESS_ADMITTED);
    assert_int_equal(address_admit(&table, &one, &no_rate, 2, 0, &held[1]), ADDRESS_ADMITTED);
    assert_int_equal(address_admit(&table, &one, &no_rate, 2, 0, &none), ADDRESS_TOO_MANY);
    assert_null(none);
    assert_int_equal(address_admit(&table, &two, &no_rate, 2, 0, &held[2]), ADDRESS_ADMITTED);
    address_release(&table, held[0], 0);
    assert_int_equal(address_admit(&table, &one, &no_rate, 2, 0, &held[0]), ADDRESS_ADMITTED);
    for (unsigned i = 0; i < 3; i++)
        address_release(&table, held[i], 0);
    assert_int_equal(table.by_network.count, 0);
    address_table_done(&table);
}

static void connects_have_a_rate_that_outlives_the_connection(void **state)
{
    struct ip_address one = address("::ffff:192.0.2.1");
    struct address_table table;
    struct client_network *held;

    (void)state;
    address_table_init(&table, 10);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(address_admit(&table, &one, &slow, 0, SECOND, &held), ADDRESS_ADMITTED);
        address_release(&table, held, SECOND);
    }
    assert_int_equal(address_admit(&table, &one, &slow, 0, SECOND, &held), ADDRESS_TOO_FAST);
    assert_int_equal(table.by_network.count, 1);
    assert_int_equal(address_admit(&table, &one, &slow, 0, 2 * SECOND, &held), ADDRESS_ADMITTED);
    address_release(&table, held, 2 * SECOND);
    address_table_done(&table);
}

static void ipv6_counts_by_network(void **state)
{
    struct ip_address one = address("2001:db8:1:2::1"), same = address("2001:db8:1:2:ffff:1:2:3"),
                      other = address("2001:db8:1:3::1");
    struct address_table table;
    struct client_network *a, *b, *c;

    (void)state;
    address_table_init(&table, 10);
    assert_int_equal(address_admit(&table, &one, &no_rate, 1, 0, &a), ADDRESS_ADMITTED);
    assert_int_equal(address_admit(&table, &same, &no_rate, 1, 0, &b), ADDRESS_TOO_MANY);
    assert_int_equal(address_admit(&table, &other, &no_rate, 1, 0, &c), ADDRESS_ADMITTED);
    address_release(&table, a, 0);
    address_release(&table, c, 0);
    address_table_done(&table);
}

static void many_addresses_do_not_make_it_grow(void **state)
{
    struct address_table table;
    struct client_network *kept, *held;
    struct ip_address first = numbered(0);

    (void)state;
    address_table_init(&table, 100);
    assert_int_equal(address_admit(&table, &first, &slow, 0, SECOND, &kept), ADDRESS_ADMITTED);
    for (unsigned i = 1; i < 10000; i++) {
        struct ip_address from = numbered(i);

        assert_int_equal(address_admit(&table, &from, &slow, 0, SECOND, &held), ADDRESS_ADMITTED);
        address_release(&table, held, SECOND);
        assert_true(table.by_network.count <= 101);
    }
    assert_int_equal(kept->connections, 1); /* who is connected stays known */
    address_release(&table, kept, SECOND);
    assert_true(table.by_network.count <= 100);

    /* When the buckets are full again, whoever comes next clears the table. */
    assert_int_equal(address_admit(&table, &first, &slow, 0, 100ULL * SECOND, &kept), ADDRESS_ADMITTED);
    assert_int_equal(table.by_network.count, 1);
    address_release(&table, kept, 200ULL * SECOND);
    assert_int_equal(table.by_network.count, 0);
    address_table_done(&table);
}

static void many_that_mean_nothing_leave_by_and_by(void **state)
{
    enum { MANY = 5000, STEP_MAX = 500 };
    struct address_table table;
    struct client_network *held;
    unsigned calls = 0;

    (void)state;
    address_table_init(&table, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        struct ip_address from = numbered(i);

        assert_int_equal(address_admit(&table, &from, &slow, 0, SECOND, &held), ADDRESS_ADMITTED);
        address_release(&table, held, SECOND);
    }
    assert_int_equal(table.by_network.count, MANY);
    while (table.oldest) { /* all their buckets are full again */
        struct ip_address from = numbered(MANY + calls++);
        uint32_t before = table.by_network.count;

        assert_int_equal(address_admit(&table, &from, &slow, 0, 100ULL * SECOND, &held), ADDRESS_ADMITTED);
        assert_true(table.by_network.count + STEP_MAX > before);
        before = table.by_network.count;
        address_release(&table, held, 200ULL * SECOND);
        assert_true(table.by_network.count + STEP_MAX > before);
        assert_in_range(calls, 1, MANY / 100);
    }
    assert_int_equal(table.by_network.count, 0);
    address_table_done(&table);
}

static void it_agrees_with_a_plain_count(void **state)
{
    struct address_table table;
    struct client_network *held[HELD];
    unsigned from[HELD], counts[NETWORKS] = {0}, count = 0;

    (void)state;
    srandom(7);
    address_table_init(&table, 5);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned n = (unsigned)random() % NETWORKS;
        struct ip_address key = numbered(n);

        if (count < HELD && random() % 3) {
            enum address_verdict verdict = address_admit(&table, &key, &no_rate, 10, step, &held[count]);

            assert_int_equal(verdict, counts[n] < 10 ? ADDRESS_ADMITTED : ADDRESS_TOO_MANY);
            if (verdict == ADDRESS_ADMITTED) {
                counts[n]++;
                from[count++] = n;
            }
        } else if (count) {
            unsigned i = (unsigned)random() % count;

            assert_int_equal(held[i]->connections, counts[from[i]]);
            address_release(&table, held[i], step);
            counts[from[i]]--;
            held[i] = held[--count];
            from[i] = from[count];
        }
    }
    while (count)
        address_release(&table, held[--count], 20000);
    assert_int_equal(table.by_network.count, 0);
    address_table_done(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_counted_by_address),
        cmocka_unit_test(connects_have_a_rate_that_outlives_the_connection),
        cmocka_unit_test(ipv6_counts_by_network),
        cmocka_unit_test(many_addresses_do_not_make_it_grow),
        cmocka_unit_test(many_that_mean_nothing_leave_by_and_by),
        cmocka_unit_test(it_agrees_with_a_plain_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
