/* Event rules that are read again: what may change places, and what may not. */
#include "proto/rules_reload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct namespace_list load(const char *text)
{
    struct namespace_list list = {0};
    struct buffer error = {0};
    config_t config;

    config_init(&config);
    assert_true(config_read_string(&config, text));
    assert_int_equal(namespaces_load(&config, &list, &error), 0);
    config_destroy(&config);
    return list;
}

#define RULE(more) "events = ( { name = \"a\"; room = \"$\"; " more " } )"

static void changes_are_told_apart(void **state)
{
    static const struct {
        const char *one, *other;
        enum namespaces_change change;
    } cases[] = {
        {"", "", NAMESPACES_SAME},
        {RULE("") ";", "\n\n" RULE("meta = true;") ";", NAMESPACES_SAME},
        {RULE("") ";", "namespaces = ( { name = \"/\"; " RULE("") "; } );", NAMESPACES_SAME},
        {"", RULE("") ";", NAMESPACES_RULES},
        {RULE("") ";", "events = ();", NAMESPACES_RULES},
        {RULE("") ";", RULE("archive = true;") ";", NAMESPACES_RULES},
        {RULE("") ";", RULE("arguments = 1;") ";", NAMESPACES_RULES},
        {"namespaces = ( { name = \"/\"; backend = true; } );",
         "namespaces = ( { name = \"/\"; backend = true; " RULE("ask = true;") "; } );", NAMESPACES_RULES},
        {RULE("") ";", RULE("ask = true;") ";", NAMESPACES_OTHER}, /* nobody has handed its sockets to one */
        {"", "namespaces = ( { name = \"/\"; builtin = false; backend = false; } );", NAMESPACES_OTHER},
        {"", "namespaces = ( { name = \"/\"; recovery = false; } );", NAMESPACES_OTHER},
        {"", "namespaces = ( { name = \"/\"; backend = true; } );", NAMESPACES_OTHER},
        {"", "namespaces = ( { name = \"/\"; tokens_required = true; } );", NAMESPACES_OTHER},
        {"", "namespaces = ( { name = \"/b\"; } );", NAMESPACES_OTHER},
        {"", "namespaces = ( { name = \"/\"; }, { name = \"/b\"; } );", NAMESPACES_OTHER},
        {"namespaces = ( { name = \"/a\"; }, { name = \"/b\"; } );",
         "namespaces = ( { name = \"/b\"; }, { name = \"/a\"; } );", NAMESPACES_OTHER},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct namespace_list one = load(cases[i].one), other = load(cases[i].other);

        assert_int_equal(namespaces_compare(&one, &other), cases[i].change);
        assert_int_equal(namespaces_compare(&other, &one), cases[i].change);
        namespaces_done(&one);
        namespaces_done(&other);
    }
}

static void namespaces_stay_where_they_are(void **state)
{
    struct namespace_list one = load("namespaces = ( { name = \"/\"; " RULE("") "; }, { name = \"/b\"; } );");
    struct namespace_list other = load("namespaces = ( { name = \"/\"; },\n{ name = \"/b\";\nevents = ( { "
                                       "name = \"b\"; room = \"$\"; } ); } );");
    const struct namespace_config *first = namespaces_find(&one, BYTES("/"));
    const struct namespace_config *second = namespaces_find(&one, BYTES("/b"));

    (void)state;
    assert_int_equal(namespaces_compare(&one, &other), NAMESPACES_RULES);
    namespaces_exchange_rules(&one, &other);
    assert_ptr_equal(namespaces_find(&one, BYTES("/b")), second);
    assert_non_null(rules_find(&first->rules, BYTES("msg")));
    assert_null(rules_find(&first->rules, BYTES("a")));
    assert_string_equal(rules_find(&second->rules, BYTES("b"))->origin, ":3");
    assert_string_equal(second->origin, ":2");
    assert_non_null(rules_find(&other.namespaces[0].rules, BYTES("a")));
    namespaces_done(&other);
    assert_non_null(rules_find(&second->rules, BYTES("b")));
    namespaces_done(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_told_apart),
        cmocka_unit_test(namespaces_stay_where_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
