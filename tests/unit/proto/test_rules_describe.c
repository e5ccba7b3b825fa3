/* Event rules and namespaces as an operator sees them. */
#include "proto/rules_describe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void append_row(void *argument, const char *name, const char *value, const char *origin)
{
    buffer_printf(argument, "%s %s %s\n", name, value, origin);
}

static void assert_described(const char *text, const char *expected)
{
    struct namespace_list list = {0};
    struct buffer error = {0}, shown = {0};
    config_t config;

    config_init(&config);
    assert_true(config_read_string(&config, text));
    assert_int_equal(namespaces_load(&config, &list, &error), 0);
    namespaces_describe(&list, append_row, &shown);
    buffer_append_char(&shown, '\0');
    assert_string_equal(shown.data, expected);
    buffer_done(&shown);
    buffer_done(&error);
    namespaces_done(&list);
    config_destroy(&config);
}

static void defaults_are_shown_as_such(void **state)
{
    (void)state;
    assert_described("",
                     "namespaces[/] builtin=true;recovery=true;backend=false default\n"
                     "namespaces[/].events[msg] room=$.room;deliver=room;archive=true;dedup=$.id;meta=true "
                     "default\n"
                     "namespaces[/].events[typing] room=$.room;deliver=others;volatile=true;meta=true "
                     "default\n");
}

static void rules_have_their_line(void **state)
{
    (void)state;
    assert_described("events = (\n{ name = \"a\"; deliver = \"self\"; meta = false; },\n\n"
                     "{ name = \"b c\"; room = \"$2.x\"; arguments = 3; }\n);",
                     "namespaces[/] builtin=true;recovery=true;backend=false default\n"
                     "namespaces[/].events[a] deliver=self;meta=false :2\n"
                     "namespaces[/].events[b c] room=$2.x;deliver=room;meta=true;arguments=3 :4\n");
}

static void namespaces_have_their_line_and_what_they_come_to(void **state)
{
    (void)state;
    assert_described("namespaces = (\n{ name = \"/\"; tokens_required = false; events = (); },\n"
                     "{ pattern = \"/a-*\"; recovery = false; tokens_required = true;\n"
                     "events = ( { name = \"e\"; room = \"$\"; ask = true; } ); },\n"
                     "{ name = \"/b\"; builtin = false; } );",
                     "namespaces[/] builtin=true;recovery=true;backend=false;tokens_required=false :2\n"
                     "namespaces[/a-*] builtin=true;recovery=false;backend=true;tokens_required=true :3\n"
                     "namespaces[/a-*].events[e] room=$;deliver=room;meta=true;ask=true :4\n"
                     "namespaces[/b] builtin=false;recovery=true;backend=true :5\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_shown_as_such),
        cmocka_unit_test(rules_have_their_line),
        cmocka_unit_test(namespaces_have_their_line_and_what_they_come_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
