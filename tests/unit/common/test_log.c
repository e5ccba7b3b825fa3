/* Log lines, read back from standard error through a pipe. */
#include "tests/unit/common/test.h"

#include "common/clock.h"
#include "common/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int pipe_ends[2];
static int saved_stderr;
static char lines[65536];

static int set_up(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_INFO);
    assert_int_equal(pipe2(pipe_ends, O_NONBLOCK), 0);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(saved_stderr >= 0);
    assert_true(dup2(pipe_ends[1], STDERR_FILENO) >= 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
    close(saved_stderr);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    return 0;
}

/* What was written since the last call. */
static const char *written(void)
{
    ssize_t n = read(pipe_ends[0], lines, sizeof lines - 1);

    lines[n > 0 ? n : 0] = '\0';
    return lines;
}

/* The one line that was written, without its time, which must be there. */
static const char *line(void)
{
    int year, month, day, hour, minute, second, millisecond, length = 0;
    char *newline;

    written();
    assert_int_equal(sscanf(lines, "time=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %n", &year, &month, &day, &hour,
                            &minute, &second, &millisecond, &length),
                     7);
    assert_int_equal(length, strlen("time=2026-01-31T10:00:00.123Z "));
    newline = strchr(lines, '\n');
    assert_non_null(newline);
    assert_string_equal(newline, "\n");
    *newline = '\0';
    return lines + length;
}

static void fields_and_message(void **state)
{
    (void)state;
    log_warn("connection closed", "conn=%u reason=%s", 7u, "slow_reader");
    assert_string_equal(line(), "level=warn message=\"connection closed\" conn=7 reason=slow_reader");
    log_error("stopped");
    assert_string_equal(line(), "level=error message=stopped");
}

static void every_conversion(void **state)
{
    (void)state;
    log_info("kinds", "d=%d i=%i u=%u x=%08x o=%o c=%c s=%s f=%.2f e=%.1e g=%g percent=5%% pair=%d:%d", -1, 2,
             3u, 0xabcu, 8u, 'c', "s", 1.5, 1000.0, 0.25, 1, 2);
    assert_string_equal(line(),
                        "level=info message=kinds d=-1 i=2 u=3 x=00000abc o=10 c=c s=s f=1.50 e=1.0e+03 "
                        "g=0.25 percent=5% pair=1:2");
    log_info("widths", "ld=%ld lld=%lld lu=%lu llu=%llu zu=%zu jd=%jd hhd=%hhd", -1L, -2LL, 3UL,
             18446744073709551615ULL, (size_t)4, (intmax_t)-5, (signed char)6);
    assert_string_equal(
        line(), "level=info message=widths ld=-1 lld=-2 lu=3 llu=18446744073709551615 zu=4 jd=-5 hhd=6");
    log_info("stars", "a=%*d b=%.*s c=%-*.*s", 3, 7, 2, "abc", 4, 1, "xyz");
    assert_string_equal(line(), "level=info message=stars a=\"  7\" b=ab c=\"x   \"");
}

static void values_cannot_forge_fields_or_lines(void **state)
{
    const char *volatile absent = NULL;

    (void)state;
    log_info("values", "empty=%s space=%s quote=%s back=%s equals=%s line=%s high=%s null=%s", "", "a b",
             "a\"b", "a\\b", "a=b", "a\nlevel=error", "\xc3\xa4\x1b[2J", absent);
    assert_string_equal(line(),
                        "level=info message=values empty=\"\" space=\"a b\" quote=\"a\\\"b\" back=\"a\\\\b\" "
                        "equals=\"a=b\" line=\"a\\x0alevel=error\" high=\"\\xc3\\xa4\\x1b[2J\" null=(null)");
}

static void long_values_are_cut(void **state)
{
    char text[2000];
    const char *got;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_info("long", "value=%s after=1", text);
    got = line();
    assert_int_equal(strlen(got), strlen("level=info message=long value=... after=1") + LOG_VALUE_MAX);
    assert_non_null(strstr(got, "x... after=1"));
}

static void graver_lines_only(void **state)
{
    (void)state;
    log_debug("not now");
    assert_string_equal(written(), "");
    log_set_level(LOG_LEVEL_ERROR);
    log_warn("not now");
    assert_string_equal(written(), "");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("now");
    assert_string_equal(line(), "level=debug message=now");
}

static void flood(unsigned i)
{
    log_warn("flood", "i=%u", i);
}

static void a_flood_is_cut_per_site_and_its_rest_is_counted(void **state)
{
    unsigned lines_seen = 0;
    unsigned long suppressed = 0;
    uint64_t start;
    bool whole;

    (void)state;
    do { /* until all of the flood has fallen into one second */
        while (clock_monotonic_ms() % 1000 > 500)
            ;
        start = clock_monotonic_ms() / 1000;
        log_warn("before it");
        written(); /* with what was suppressed when it had not */
        for (unsigned i = 0; i < 100; i++)
            flood(i);
        log_warn("another site");
        whole = clock_monotonic_ms() / 1000 == start;
        written();
    } while (!whole);
    for (const char *at = lines; (at = strstr(at, "message=flood")); at++)
        lines_seen++;
    assert_int_equal(lines_seen, LOG_BURST);
    assert_non_null(strstr(lines, "message=\"another site\"\n"));
    while (clock_monotonic_ms() / 1000 == start)
        ;
    log_warn("the next second");
    written();
    assert_int_equal(sscanf(strstr(lines, "level="), "level=warn message=flood suppressed=%lu", &suppressed),
                     1);
    assert_int_equal(suppressed, 100 - LOG_BURST);
    assert_non_null(strstr(lines, "message=\"the next second\"\n"));
    flood(1);
    assert_string_equal(line(), "level=warn message=flood i=1");
}

static void the_program_has_a_field(void **state)
{
    (void)state;
    log_set_program("gateway-1");
    log_info("named");
    assert_string_equal(line(), "level=info program=gateway-1 message=named");
    log_set_program(NULL);
}

static void levels_are_found_by_their_text(void **state)
{
    enum log_level level = LOG_LEVEL_INFO;

    (void)state;
    assert_int_equal(log_level_find(BYTES("debug"), &level), 0);
    assert_int_equal(level, LOG_LEVEL_DEBUG);
    assert_int_equal(log_level_find(BYTES("error"), &level), 0);
    assert_int_equal(level, LOG_LEVEL_ERROR);
    assert_int_equal(log_level_find(BYTES("Debug"), &level), ERROR_NOT_FOUND);
    assert_int_equal(log_level_find(BYTES(""), &level), ERROR_NOT_FOUND);
    assert_int_equal(level, LOG_LEVEL_ERROR);
    log_set_level(LOG_LEVEL_WARN);
    assert_int_equal(log_get_level(), LOG_LEVEL_WARN);
    log_set_level(LOG_LEVEL_INFO);
}

int main(void)
{
#define SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        SCENE(fields_and_message),
        SCENE(every_conversion),
        SCENE(values_cannot_forge_fields_or_lines),
        SCENE(long_values_are_cut),
        SCENE(graver_lines_only),
        SCENE(a_flood_is_cut_per_site_and_its_rest_is_counted),
        SCENE(the_program_has_a_field),
        SCENE(levels_are_found_by_their_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
