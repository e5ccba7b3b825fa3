/* Names and patterns; the matcher is held against one that tries everything. */
#include "proto/name.h"

#include "proto/socketio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void room_names(void **state)
{
    static const struct bytes good[] = {BYTES("a"),
                                        BYTES(" "),
                                        BYTES("room 1/\"x\""),
                                        BYTES("\xc3\xa9"),
                                        BYTES("\xc2\xa0"),
                                        BYTES("\xf0\x9f\x98\x80"),
                                        BYTES("\xdf\xbf\xc2\xa0\xe0\xa0\x80")};
    static const struct bytes refused[] = {
        BYTES(""),         BYTES("\0"),           BYTES("a\nb"),    BYTES("\x1f"), BYTES("a\x7f"),
        BYTES("\xc2\x80"), BYTES("x\xc2\x9f"),    BYTES("\xff"),    BYTES("\xc2"), BYTES("\xc3("),
        BYTES("\xc0\x80"), BYTES("\xed\xa0\x80"), BYTES("\xf0\x9f")};
    char longest[ROOM_NAME_MAX + 1];

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(room_name_valid(good[i]));
    for (size_t i = 0; i < COUNT(refused); i++)
        assert_false(room_name_valid(refused[i]));
    memset(longest, 'r', sizeof longest);
    assert_true(room_name_valid(bytes_make(longest, ROOM_NAME_MAX)));
    assert_false(room_name_valid(bytes_make(longest, ROOM_NAME_MAX + 1)));
    assert_false(room_name_valid((struct bytes){NULL, 0}));
}

static void namespace_names(void **state)
{
    static const struct bytes good[] = {BYTES("/"),  BYTES("/a"),        BYTES("/a/b?c=1"),
                                        BYTES("//"), BYTES("/\xc3\xa9"), BYTES("/a*")};
    static const struct bytes refused[] = {BYTES(""),      BYTES("a"),   BYTES("/a,b"),  BYTES("/,"),
                                           BYTES("/a\nb"), BYTES("/\0"), BYTES("/\x7f"), BYTES("/\xc2\x80"),
                                           BYTES("/\xff"), BYTES("*"),   BYTES(" /a")};
    char longest[SOCKETIO_NAMESPACE_MAX + 1];

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(namespace_name_valid(good[i]));
    for (size_t i = 0; i < COUNT(refused); i++)
        assert_false(namespace_name_valid(refused[i]));
    memset(longest, '/', sizeof longest);
    assert_true(namespace_name_valid(bytes_make(longest, SOCKETIO_NAMESPACE_MAX)));
    assert_false(namespace_name_valid(bytes_make(longest, SOCKETIO_NAMESPACE_MAX + 1)));
}

static void patterns(void **state)
{
    static const char *const good[] = {"/*", "/orders-*", "/*/*", "/a*b*c", "/\xc3\xa9*", "/*?x"};
    static const char *const refused[] = {"", "*", "/", "/a", "/**", "/a*,", "a*", "/*\n", "/*\xff"};

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(namespace_pattern_valid(bytes_from_text(good[i])));
    for (size_t i = 0; i < COUNT(refused); i++)
        assert_false(namespace_pattern_valid(bytes_from_text(refused[i])));
}

static void what_patterns_stand_for(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"/orders-*", "/orders-17", true},
        {"/orders-*", "/orders-", false},
        {"/orders-*", "/orders-1/2", false},
        {"/orders-*", "/orders-17?x=1", false},
        {"/orders-*", "/order-17", false},
        {"/orders-*", "/orders-*", true},
        {"/orders-*", "x/orders-17", false},
        {"/*", "/", false},
        {"/*", "/custom", true},
        {"/*", "/a,b", false},
        {"/*", "/a\nb", false},
        {"/*", "/\xff", false},
        {"/*", "/\xc3\xa9", true},
        {"/*/*", "/a/b", true},
        {"/*/*", "/a/b/c", false},
        {"/*/chat", "/shop/chat", true},
        {"/*/chat", "/shop/chats", false},
        {"/*-a-*", "/x-a-a-y", true},
        {"/*-a-*", "/-a-y", false},
        {"/*-a-*", "/x-a-", false},
        {"/*ab*ab", "/xabyab", true},
        {"/*ab*ab", "/xabab", false},
        {"/*ab*ab", "/xababab", true},
        {"/*a/*b", "/aa/ab", true},
        {"/*a/*b", "/aa/a/b", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (namespace_pattern_matches(bytes_from_text(cases[i].pattern), bytes_from_text(cases[i].name)) !=
            cases[i].matches)
            fail_msg("%s %s", cases[i].pattern, cases[i].name);
}

/* By trying everything. */
static bool matches_slowly(struct bytes pattern, struct bytes name)
{
    if (pattern.length == 0)
        return name.length == 0;
    if (name.length == 0)
        return false;
    if (pattern.data[0] != '*')
        return pattern.data[0] == name.data[0] &&
               matches_slowly(bytes_make(pattern.data + 1, pattern.length - 1),
                              bytes_make(name.data + 1, name.length - 1));
    for (size_t taken = 1; taken <= name.length && name.data[taken - 1] != '/' && name.data[taken - 1] != '?';
         taken++)
        if (matches_slowly(bytes_make(pattern.data + 1, pattern.length - 1),
                           bytes_make(name.data + taken, name.length - taken)))
            return true;
    return false;
}

/* The text number `index` of '/' and up to length - 1 letters of the alphabet. */
static struct bytes spell(char *out, unsigned index, const char *alphabet)
{
    size_t letters = strlen(alphabet), length = 1;

    out[0] = '/';
    for (; index; index = (unsigned)((index - 1) / letters))
        out[length++] = alphabet[(index - 1) % letters];
    return bytes_make(out, length);
}

static void every_short_pattern_and_name(void **state)
{
    enum { PATTERNS = 1365, NAMES = 1365 }; /* of up to five letters out of four */
    unsigned matched = 0;
    char pattern_space[16], name_space[16];

    (void)state;
    for (unsigned p = 1; p < PATTERNS; p++) {
        struct bytes pattern = spell(pattern_space, p, "*/ab");

        if (!namespace_pattern_valid(pattern))
            continue;
        for (unsigned n = 0; n < NAMES; n++) {
            struct bytes name = spell(name_space, n, "/a?b");
            bool matches = namespace_pattern_matches(pattern, name);

            if (matches != matches_slowly(pattern, name))
                fail_msg("%.*s %.*s", BYTES_PRINTF(pattern), BYTES_PRINTF(name));
            matched += matches;
        }
    }
    assert_true(matched > 1000);
}

/* What takes a matcher that goes back to every star longer than anybody waits. */
static void a_hostile_name_takes_no_time(void **state)
{
    char pattern[SOCKETIO_NAMESPACE_MAX], name[SOCKETIO_NAMESPACE_MAX];

    (void)state;
    pattern[0] = '/';
    for (size_t i = 1; i < sizeof pattern; i++)
        pattern[i] = i % 2 ? '*' : 'a';
    memset(name, 'a', sizeof name);
    name[0] = '/';
    assert_true(namespace_pattern_matches(bytes_make(pattern, 200), bytes_make(name, sizeof name)));
    pattern[100] = 'b';
    for (unsigned i = 0; i < 1000; i++)
        assert_false(namespace_pattern_matches(bytes_make(pattern, 200), bytes_make(name, sizeof name)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_names),
        cmocka_unit_test(namespace_names),
        cmocka_unit_test(patterns),
        cmocka_unit_test(what_patterns_stand_for),
        cmocka_unit_test(every_short_pattern_and_name),
        cmocka_unit_test(a_hostile_name_takes_no_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
