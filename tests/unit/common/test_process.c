/* The process' own figures, against what the process does. */
#include "tests/unit/common/test.h"

#include "common/clock.h"
#include "common/process.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { DESCRIPTORS = 50, MEGABYTES = 32 };

static void both_ways_count_every_descriptor(void **state)
{
    int copies[DESCRIPTORS];

    (void)state;
    for (int way = 0; way < 2; way++) {
        unsigned long before = process_count_descriptors(way);

        if (way == 1 && before == 0)
            continue; /* an older kernel */
        for (int i = 0; i < DESCRIPTORS; i++)
            assert_true((copies[i] = dup(STDERR_FILENO)) >= 0);
        assert_int_equal(process_count_descriptors(way), before + DESCRIPTORS);
        for (int i = 0; i < DESCRIPTORS; i++)
            close(copies[i]);
        assert_int_equal(process_count_descriptors(way), before);
    }
}

static void figures_are_those_of_this_process(void **state)
{
    struct process_figures before, after;
    struct rlimit limit;
    void *memory;

    (void)state;
    process_measure(&before);
    memory = mmap(NULL, MEGABYTES << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                  -1, 0);
    assert_true(memory != MAP_FAILED);
    for (process_measure(&after); after.cpu <= before.cpu; process_measure(&after))
        ;
    assert_true(after.resident_bytes >= before.resident_bytes + (MEGABYTES << 20) * 0.9);
    munmap(memory, MEGABYTES << 20);
    assert_true(after.virtual_bytes >= after.resident_bytes);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(after.max_descriptors == (double)limit.rlim_cur);
    assert_true(after.open_descriptors >= 3);
    assert_true(after.started == before.started);
    assert_true(after.started <= (double)clock_wall_ms() / 1e3 + 1);
    assert_true(after.started >= (double)clock_wall_ms() / 1e3 - 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_count_every_descriptor),
        cmocka_unit_test(figures_are_those_of_this_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
