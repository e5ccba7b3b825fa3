/* Grants: what is taken, what is allowed, and that equal rights are kept once. */
#include "proto/grant.h"

#include "proto/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct grant_table table;

static struct grant *parse(const char *text)
{
    struct grant *grant = NULL;

    assert_int_equal(grant_parse(&table, bytes_from_text(text), &grant), 0);
    return grant;
}

static void expect_text(const struct grant *grant, const char *expected)
{
    struct buffer text = {0};

    grant_append_text(grant, &text);
    buffer_append_char(&text, '\0');
    assert_string_equal(text.data, expected);
    buffer_done(&text);
}

static void comes_out_as_it_came_in(void **state)
{
    static const char *const texts[] = {
        "{}",
        "{\"sub\":\"ann\"}",
        "{\"exp\":1700000000}",
        "{\"sub\":\"a\\\"\\u0008n\xc3\xa9\"}",
        "{\"sub\":\"ann\",\"exp\":1700000000,\"rights\":{\"join\":[\"a*\"],\"publish\":[],\"read\":[\"a\"]}}",
        "{\"rights\":{}}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct grant *grant;

        if (strstr(texts[i], "u0008")) { /* control characters have no place in a name */
            assert_int_equal(grant_parse(&table, bytes_from_text(texts[i]), &grant), ERROR_MALFORMED);
            continue;
        }
        grant = parse(texts[i]);
        expect_text(grant, texts[i]);
        grant_free(grant);
    }
    expect_text(NULL, "");
}

static void refuses_what_is_none(void **state)
{
    static const char *const texts[] = {
        "",
        "null",
        "[]",
        "{",
        "{\"sub\":1}",
        "{\"sub\":\"\"}",
        "{\"sub\":\"anon:abc\"}",
        "{\"sub\":\"a\\nb\"}",
        "{\"sub\":\"a\\u0000\"}",
        "{\"sub\":\"a\",\"sub\":\"b\"}",
        "{\"exp\":-1}",
        "{\"exp\":0}",
        "{\"exp\":1.5}",
        "{\"exp\":1e3}",
        "{\"exp\":\"1\"}",
        "{\"exp\":9007199254740992}",
        "{\"exp\":1,\"exp\":2}",
        "{\"rights\":[]}",
        "{\"rights\":null}",
        "{\"rights\":{},\"rights\":{}}",
        "{\"rights\":{\"join\":\"a\"}}",
        "{\"rights\":{\"join\":[1]}}",
        "{\"rights\":{\"join\":[\"\"]}}",
        "{\"rights\":{\"join\":[],\"join\":[]}}",
        "{\"rights\":{\"own\":[]}}",
    };
    struct buffer text = {0};
    struct grant *grant;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        if (grant_parse(&table, bytes_from_text(texts[i]), &grant) != ERROR_MALFORMED)
            fail_msg("%s", texts[i]);
    buffer_append_literal(&text, "{\"rights\":{\"join\":[\"0\"");
    for (int i = 1; i < GRANT_PATTERNS_MAX; i++)
        buffer_printf(&text, ",\"%d\"", i);
    buffer_append_literal(&text, "]}}");
    assert_int_equal(grant_parse(&table, buffer_bytes(&text), &grant), 0);
    grant_free(grant);
    text.length -= 3;
    buffer_append_literal(&text, ",\"more\"]}}");
    assert_int_equal(grant_parse(&table, buffer_bytes(&text), &grant), ERROR_MALFORMED);
    buffer_done(&text);
    assert_int_equal(table.rights.count, 0);
}

static void expect_allowed(const char *sub, const char *pattern, const char *room, bool allowed)
{
    struct buffer text = {0};
    struct grant *grant;

    buffer_append_char(&text, '{');
    if (*sub)
        buffer_printf(&text, "\"sub\":\"%s\",", sub);
    buffer_printf(&text, "\"rights\":{\"join\":[\"x\",\"%s\"],\"read\":[\"r\"]}}", pattern);
    assert_int_equal(grant_parse(&table, buffer_bytes(&text), &grant), 0);
    if (grant_allows(grant, RIGHT_JOIN, bytes_from_text(room)) != allowed)
        fail_msg("%s as \"%s\": %s", pattern, sub, room);
    assert_false(grant_allows(grant, RIGHT_PUBLISH, bytes_from_text(room)));
    assert_int_equal(grant_allows(grant, RIGHT_READ, bytes_from_text(room)), strcmp(room, "r") == 0);
    grant_free(grant);
    buffer_done(&text);
}

static void patterns_match(void **state)
{
    (void)state;
    expect_allowed("ann", "lobby", "lobby", true);
    expect_allowed("ann", "lobby", "lobby2", false);
    expect_allowed("ann", "lobby", "lobb", false);
    expect_allowed("ann", "lobby", "Lobby", false);
    expect_allowed("ann", "lobby*", "lobby", true);
    expect_allowed("ann", "lobby*", "lobby/1", true);
    expect_allowed("ann", "lobby*", "lobb", false);
    expect_allowed("ann", "*", "r", true);
    expect_allowed("ann", "*", "", true);
    expect_allowed("ann", "a*b", "a*b", true); /* a star elsewhere is itself */
    expect_allowed("ann", "a*b", "axb", false);
    expect_allowed("ann", "**", "*", true);
    expect_allowed("ann", "**", "a", false);
    expect_allowed("ann", "user-{sub}", "user-ann", true);
    expect_allowed("ann", "user-{sub}", "user-bob", false);
    expect_allowed("ann", "user-{sub}", "user-{sub}", false);
    expect_allowed("ann", "user-{sub}*", "user-ann/1", true);
    expect_allowed("ann", "{sub}-{sub}", "ann-ann", true);
    expect_allowed("*", "user-{sub}", "user-bob", false); /* what a sub holds is no pattern */
    expect_allowed("*", "user-{sub}", "user-*", true);
    expect_allowed("{sub}", "{sub}", "{sub}", true);
    expect_allowed("", "{sub}*", "anything", false);
    expect_allowed("", "lobby", "lobby", true);
}

static void without_rights_all_is_allowed(void **state)
{
    struct grant *grant = grant_new(BYTES("ann"));

    (void)state;
    for (enum right right = 0; right < RIGHTS; right++) {
        assert_true(grant_allows(NULL, right, BYTES("lobby")));
        assert_true(grant_allows(grant, right, BYTES("lobby")));
    }
    assert_int_equal(grant_sub(NULL).length, 0);
    grant_free(grant);
    grant = parse("{\"rights\":{}}");
    for (enum right right = 0; right < RIGHTS; right++)
        assert_false(grant_allows(grant, right, BYTES("lobby")));
    grant_free(grant);
    grant_free(NULL);
}

static void equal_rights_are_kept_once(void **state)
{
    struct grant *ann = parse("{\"sub\":\"ann\",\"rights\":{\"join\":[\"a\"]}}");
    struct grant *bob = parse("{\"sub\":\"bob\",\"exp\":5,\"rights\":{\"join\":[\"a\"]}}");
    struct grant *other = parse("{\"sub\":\"ann\",\"exp\":7,\"rights\":{\"join\":[\"b\"]}}");
    const char *sub = ann->sub;

    (void)state;
    assert_ptr_equal(ann->rights, bob->rights);
    assert_int_equal(table.rights.count, 2);
    grant_replace(ann, other);
    assert_ptr_equal(ann->sub, sub);
    assert_int_equal(ann->expires, 7);
    assert_true(grant_allows(ann, RIGHT_JOIN, BYTES("b")));
    assert_false(grant_allows(ann, RIGHT_JOIN, BYTES("a")));
    assert_true(grant_allows(bob, RIGHT_JOIN, BYTES("a")));
    grant_free(bob);
    assert_int_equal(table.rights.count, 1);
    grant_free(ann);
    assert_int_equal(table.rights.count, 0);
}

static void names_of_users(void **state)
{
    char longest[ROOM_NAME_MAX + 1];

    (void)state;
    memset(longest, 'u', sizeof longest);
    assert_true(grant_sub_valid(BYTES("ann")));
    assert_true(grant_sub_valid(BYTES("anon")));
    assert_true(grant_sub_valid(BYTES("Anon:x")));
    assert_true(grant_sub_valid(bytes_make(longest, ROOM_NAME_MAX)));
    assert_false(grant_sub_valid(bytes_make(longest, ROOM_NAME_MAX + 1)));
    assert_false(grant_sub_valid(BYTES("")));
    assert_false(grant_sub_valid(BYTES("anon:")));
    assert_false(grant_sub_valid(BYTES("anon:x")));
    assert_false(grant_sub_valid(BYTES("a\r\nb")));
    assert_false(grant_sub_valid(BYTES("\xff")));
}

static int set_up(void **state)
{
    (void)state;
    grant_table_init(&table);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    grant_table_done(&table);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(comes_out_as_it_came_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(patterns_match, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_rights_all_is_allowed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(equal_rights_are_kept_once, set_up, tear_down),
        cmocka_unit_test(names_of_users),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
