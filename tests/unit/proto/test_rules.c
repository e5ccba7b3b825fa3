/* Event rules: what the configuration may say, and the line of everything that it may not. */
#include "proto/rules.h"

#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Loads a configuration from text, through a file so that errors have a place; error is the caller's to free.
 */
static int load(const char *text, struct namespace_list *out, struct buffer *error)
{
    char path[] = "/tmp/hubbub-test-rules-XXXXXX";
    int fd = mkstemp(path);
    config_t config;
    int code;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    config_init(&config);
    if (!config_read_file(&config, path))
        fail_msg("line %d: %s", config_error_line(&config), config_error_text(&config));
    unlink(path);
    code = namespaces_load(&config, out, error);
    config_destroy(&config);
    return code;
}

static struct namespace_list load_good(const char *text)
{
    struct namespace_list list = {0};
    struct buffer error = {0};

    if (load(text, &list, &error))
        fail_msg("%.*s", BYTES_PRINTF(buffer_bytes(&error)));
    return list;
}

static void expect_path(const struct json_path *path, const char *want)
{
    char text[JSON_PATH_TEXT_MAX];

    assert_true(bytes_equal_text(bytes_make(text, json_path_text(path, text)), want));
}

static void expect_default_rules(const struct rule_set *rules)
{
    const struct event_rule *rule = rules_find(rules, BYTES("msg"));

    assert_int_equal(rules->count, 2);
    assert_non_null(rule);
    expect_path(&rule->paths[RULE_PATH_ROOM], "$.room");
    expect_path(&rule->paths[RULE_PATH_DEDUP], "$.id");
    assert_int_equal(rule->deliver, RULE_DELIVER_ROOM);
    assert_int_equal(rule->class, RULE_ARCHIVED);
    assert_true(rule->meta);
    rule = rules_find(rules, BYTES("typing"));
    assert_non_null(rule);
    expect_path(&rule->paths[RULE_PATH_ROOM], "$.room");
    expect_path(&rule->paths[RULE_PATH_DEDUP], "");
    assert_int_equal(rule->deliver, RULE_DELIVER_OTHERS);
    assert_int_equal(rule->class, RULE_VOLATILE);
    assert_true(rule->meta);
    assert_null(rules_find(rules, BYTES("join")));
    assert_null(rules_find(rules, BYTES("ms")));
    assert_null(rules_find(rules, BYTES("")));
}

static void nothing_configured_is_the_default(void **state)
{
    struct namespace_list list = load_good("gateway: { port = 3000; };");
    const struct namespace_config *found = namespaces_find(&list, BYTES("/"));

    (void)state;
    assert_int_equal(list.count, 1);
    assert_non_null(found);
    assert_true(found->builtin);
    assert_true(found->recovery);
    expect_default_rules(&found->rules);
    assert_null(namespaces_find(&list, BYTES("/other")));
    namespaces_done(&list);
}

static void the_documented_default_is_the_default(void **state)
{
    struct namespace_list list = load_good(
        "events = (\n"
        "  { name = \"msg\"; room = \"$.room\"; deliver = \"room\"; archive = true; dedup = \"$.id\"; meta = "
        "true; },\n"
        "  { name = \"typing\"; room = \"$.room\"; deliver = \"others\"; volatile = true; meta = true; }\n"
        ");\n");
    struct namespace_list none = load_good("");

    (void)state;
    expect_default_rules(&list.namespaces[0].rules);
    assert_true(namespaces_digest(&list) == namespaces_digest(&none));
    namespaces_done(&list);
    namespaces_done(&none);
}

static void every_key_is_read(void **state)
{
    struct namespace_list list = load_good(
        "namespaces = (\n"
        "  { name = \"/\"; },\n"
        "  { name = \"/game\"; builtin = false; recovery = false; events = (\n"
        "    { name = \"join\"; room = \"$2\"; deliver = \"others\"; meta = false; },\n"
        "    { name = \"me\"; deliver = \"self\"; volatile = true; },\n"
        "    { name = \"all\"; deliver = \"namespace\"; },\n"
        "    { name = \"plain\"; room = \"$\"; volatile = false; archive = false; dedup = \"$3.k\"; } ); },\n"
        "  { name = \"/none\"; events = (); },\n"
        "  { name = \"/backend\"; backend = true; },\n"
        "  { name = \"/its-own\"; builtin = false; },\n"
        "  { name = \"/asks\"; events = ( { name = \"a\"; room = \"$\"; },\n"
        "                                { name = \"b\"; room = \"$\"; ask = true; } ); }\n"
        ");\n");
    const struct namespace_config *found;
    const struct event_rule *rule;

    (void)state;
    assert_int_equal(list.count, 6);
    expect_default_rules(&list.namespaces[0].rules);
    assert_false(list.namespaces[0].backend);
    found = namespaces_find(&list, BYTES("/game"));
    assert_non_null(found);
    assert_false(found->builtin);
    assert_false(found->recovery);
    assert_false(found->backend); /* its rules are all that it has */
    rule = rules_find(&found->rules, BYTES("join"));
    assert_int_equal(rule->deliver, RULE_DELIVER_OTHERS);
    assert_int_equal(rule->class, RULE_LOGGED);
    assert_false(rule->meta);
    expect_path(&rule->paths[RULE_PATH_ROOM], "$2");
    rule = rules_find(&found->rules, BYTES("me"));
    assert_int_equal(rule->deliver, RULE_DELIVER_SELF);
    assert_int_equal(rule->class, RULE_VOLATILE);
    expect_path(&rule->paths[RULE_PATH_ROOM], "");
    rule = rules_find(&found->rules, BYTES("all"));
    assert_int_equal(rule->deliver, RULE_DELIVER_NAMESPACE);
    assert_int_equal(rule->class, RULE_LOGGED);
    rule = rules_find(&found->rules, BYTES("plain"));
    assert_int_equal(rule->deliver, RULE_DELIVER_ROOM);
    assert_int_equal(rule->class, RULE_LOGGED);
    assert_true(rule->meta);
    expect_path(&rule->paths[RULE_PATH_DEDUP], "$3.k");
    assert_int_equal(namespaces_find(&list, BYTES("/none"))->rules.count, 0);
    assert_false(namespaces_find(&list, BYTES("/none"))->backend);
    found = namespaces_find(&list, BYTES("/backend"));
    assert_true(found->backend);
    expect_default_rules(&found->rules);
    found = namespaces_find(&list, BYTES("/its-own"));
    assert_true(found->backend);
    assert_int_equal(found->rules.count, 0);
    found = namespaces_find(&list, BYTES("/asks"));
    assert_true(found->backend);
    assert_false(rules_find(&found->rules, BYTES("a"))->ask);
    assert_true(rules_find(&found->rules, BYTES("b"))->ask);
    namespaces_done(&list);
}

static void fixed_names_come_before_patterns_and_these_in_their_order(void **state)
{
    struct namespace_list list = load_good("namespaces = (\n"
                                           "  { pattern = \"/a-*\"; recovery = false; },\n"
                                           "  { name = \"/\"; },\n"
                                           "  { pattern = \"/*-*\"; builtin = false; events = (); },\n"
                                           "  { name = \"/a-fixed\"; }\n"
                                           ");\n");
    const struct namespace_config *first = &list.namespaces[0], *second = &list.namespaces[2];

    (void)state;
    assert_int_equal(list.count, 4);
    assert_true(first->is_pattern && second->is_pattern);
    assert_false(list.namespaces[1].is_pattern);
    assert_false(first->recovery);
    assert_false(second->builtin);
    assert_int_equal(second->rules.count, 0);
    expect_default_rules(&first->rules);
    assert_ptr_equal(namespaces_find(&list, BYTES("/")), &list.namespaces[1]);
    assert_ptr_equal(namespaces_find(&list, BYTES("/a-fixed")), &list.namespaces[3]);
    assert_ptr_equal(namespaces_find(&list, BYTES("/a-17")), first);
    assert_ptr_equal(namespaces_find(&list, BYTES("/b-17")), second);
    /* What a pattern is called is a name like others, if it matches. */
    assert_ptr_equal(namespaces_find(&list, BYTES("/a-*")), first);
    assert_ptr_equal(namespaces_find(&list, BYTES("/*-*")), second);
    assert_null(namespaces_find(&list, BYTES("/a-17?x=1")));
    assert_null(namespaces_find(&list, BYTES("/a-")));
    assert_null(namespaces_find(&list, BYTES("/a")));
    namespaces_done(&list);
}

static const struct {
    const char *text;
    const char *line;
    const char *says; /* a part of the message */
} bad[] = {
    {"events = 5;", ":1: ", "a list"},
    {"events = { name = \"a\"; };", ":1: ", "a list"},
    {"\nevents = ( 5 );", ":2: ", "expected { name"},
    {"events = (\n{ room = \"$\"; }\n);", ":2: ", "no name"},
    {"events = ( { name = \"a\";\nroom = \"$\";\ncolour = 1; } );", ":3: ", "unknown key \"colour\""},
    {"events = ( { name = \"a\";\nroom = 5; } );", ":2: ", "a text in quotes"},
    {"events = ( { name = \"a\"; room = \"$\";\n\narchive = \"yes\"; } );", ":3: ", "true or false"},
    {"events = ( { name = \"a\"; room = \"$\";\nmeta = 1; } );", ":2: ", "true or false"},
    {"events = ( { name = \"a\";\nroom = \"room\"; } );", ":2: ", "is not a path"},
    {"events = ( { name = \"a\"; room = \"$\";\ndedup = \"$.\"; } );", ":2: ", "is not a path"},
    {"events = ( { name = \"a\";\nroom = \"$.1.2.3.4.5.6.7.8.9\"; } );", ":2: ", "is not a path"},
    {"events = ( { name = \"a\"; room = \"$\";\ndeliver = \"all\"; } );",
     ":2: ", "room others self namespace"},
    {"events = ( { name = \"a\"; room = \"$\"; archive = true;\nvolatile = true; } );",
     ":2: ", "archive and volatile"},
    {"events = ( { name = \"a\"; room = \"$\"; volatile = true;\ndedup = \"$.id\"; } );",
     ":2: ", "dedup and volatile"},
    {"events = ( { name = \"a\"; room = \"$2\";\narguments = 1; } );", ":2: ", "expected 2 to 64"},
    {"events = ( { name = \"a\"; room = \"$\";\narguments = 65; } );", ":2: ", "expected 1 to 64"},
    {"events = ( { name = \"a\"; room = \"$\";\narguments = -1; } );", ":2: ", "expected 1 to 64"},
    {"events = ( { name = \"a\"; room = \"$\";\narguments = true; } );", ":2: ", "a whole number"},
    {"events = (\n{ name = \"a\"; } );", ":2: ", "has no room"},
    {"events = ( { name = \"a\";\ndeliver = \"others\"; } );", ":2: ", "has no room"},
    {"events = ( { name = \"a\"; archive = true;\ndeliver = \"self\"; } );", ":2: ", "has no room"},
    {"events = ( { room = \"$\";\nname = \"\"; } );", ":2: ", "1 to 255 bytes"},
    {"events = ( { room = \"$\";\nname = \"a\\n\"; } );", ":2: ", "1 to 255 bytes"},
    {"events = ( { room = \"$\";\nname = \"\\xff\"; } );", ":2: ", "1 to 255 bytes"},
    {"events = ( { room = \"$\";\nname = \"disconnect\"; } );", ":2: ", "reserved"},
    {"events = ( { room = \"$\";\nname = \"hubbub:x\"; } );", ":2: ", "reserved"},
    {"events = ( { room = \"$\";\nname = \"join\"; } );", ":2: ", "broker itself"},
    {"events = ( { name = \"a\"; room = \"$\"; },\n{ name = \"a\"; room = \"$2\"; } );", ":2: ", "twice"},
    {"namespaces = 5;", ":1: ", "a list of 1 to"},
    {"namespaces = ();", ":1: ", "a list of 1 to"},
    {"namespaces = ( \"/\" );", ":1: ", "expected { name"},
    {"namespaces = (\n{ builtin = true; } );", ":2: ", "no name"},
    {"namespaces = ( {\nname = \"game\"; } );", ":2: ", "expected /"},
    {"namespaces = ( {\nname = \"\"; } );", ":2: ", "expected /"},
    {"namespaces = ( {\nname = \"/a,b\"; } );", ":2: ", "commas"},
    {"namespaces = ( { name = \"/\";\nname_ = 1; } );", ":2: ", "unknown key \"name_\""},
    {"namespaces = ( { name = \"/\";\nevents = [ 1 ]; } );", ":2: ", "a list"},
    {"namespaces = ( { name = \"/\";\nbackend = \"b\"; } );", ":2: ", "true or false"},
    {"events = ( { name = \"a\";\nask = 1; } );", ":2: ", "true or false"},
    {"namespaces = ( { name = \"/\"; },\n{ name = \"/\"; } );", ":2: ", "twice"},
    {"namespaces = ( { name = \"/\"; events = (\n{ name = \"leave\"; room = \"$\"; } ); } );",
     ":2: ", "broker itself"},
    {"namespaces = ( { builtin = true;\npattern = \"/a-b\"; } );", ":2: ", "at least one *"},
    {"namespaces = ( {\npattern = \"\"; } );", ":2: ", "at least one *"},
    {"namespaces = ( {\npattern = \"a*\"; } );", ":2: ", "expected /"},
    {"namespaces = ( {\npattern = \"/a**\"; } );", ":2: ", "side by side"},
    {"namespaces = ( {\npattern = \"/*,\"; } );", ":2: ", "commas"},
    {"namespaces = ( {\npattern = \"/*\\n\"; } );", ":2: ", "control"},
    {"namespaces = ( {\npattern = 5; } );", ":2: ", "a text in quotes"},
    {"namespaces = (\n{ name = \"/a\"; pattern = \"/*\"; } );", ":2: ", "both name and pattern"},
    {"namespaces = ( { builtin = true;\nname = \"/a*\"; } );", ":2: ", "expected pattern = \"/a*\""},
    {"namespaces = ( { pattern = \"/*\"; }, {\npattern = \"/*\"; } );", ":2: ", "twice"},
    {"namespaces = ( { name = \"/\"; } );\nevents = ();", ":2: ", "beside namespaces"},
};

static void mistakes_are_refused_with_their_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct namespace_list list = {.count = 77};
        struct buffer error = {0};
        char *text;

        if (load(bad[i].text, &list, &error) != ERROR_CONFIG)
            fail_msg("accepted: %s", bad[i].text);
        assert_int_equal(list.count, 77);
        text = memory_text(error.data, error.length);
        if (!strstr(text, bad[i].line) || !strstr(text, bad[i].says) || !strstr(text, "expected") ||
            strchr(text, '\n'))
            fail_msg("%s\n%s", bad[i].text, text);
        free(text);
        buffer_done(&error);
    }
}

static void names_have_a_limit(void **state)
{
    (void)state;
    for (size_t length = 255; length <= 256; length++) {
        char *name = memory_zero(length + 1, 1);
        struct rule_set set = {0};
        struct buffer error = {0};
        struct event_rule_source source = {.name = name, .room = "$"};

        memset(name, 'n', length);
        assert_int_equal(rules_add(&set, &source, &error), length == 255 ? 0 : ERROR_CONFIG);
        assert_true((error.length > 0) == (length == 256));
        rules_done(&set);
        buffer_done(&error);
        free(name);
    }
}

static void rules_have_a_limit(void **state)
{
    struct rule_set set = {0};
    struct buffer error = {0};
    char name[16];
    struct event_rule_source source = {.name = name, .room = "$"};

    (void)state;
    for (int i = 0; i < RULES_MAX; i++) {
        snprintf(name, sizeof name, "e%d", i);
        assert_int_equal(rules_add(&set, &source, &error), 0);
    }
    snprintf(name, sizeof name, "more");
    assert_int_equal(rules_add(&set, &source, &error), ERROR_CONFIG);
    assert_int_equal(set.count, RULES_MAX);
    assert_ptr_equal(rules_find(&set, BYTES("e200")), &set.rules[200]);
    rules_done(&set);
    assert_int_equal(set.count, 0);
    buffer_done(&error);
}

/* Each differs from the others in one thing. */
static void digests_tell_configurations_apart(void **state)
{
    static const char *const texts[] = {
        "",
        "events = ();",
        "events = ( { name = \"a\"; room = \"$\"; } );",
        "events = ( { name = \"b\"; room = \"$\"; } );",
        "events = ( { name = \"a\"; room = \"$2\"; } );",
        "events = ( { name = \"a\"; room = \"$.r\"; } );",
        "events = ( { name = \"a\"; room = \"$\"; dedup = \"$2\"; } );",
        "events = ( { name = \"a\"; room = \"$\"; deliver = \"others\"; } );",
        "events = ( { name = \"a\"; room = \"$\"; archive = true; } );",
        "events = ( { name = \"a\"; room = \"$\"; volatile = true; } );",
        "events = ( { name = \"a\"; room = \"$\"; meta = false; } );",
        "events = ( { name = \"a\"; room = \"$\"; ask = true; } );",
        "events = ( { name = \"a\"; room = \"$\"; arguments = 1; } );",
        "events = ( { name = \"a\"; room = \"$\"; arguments = 2; } );",
        "namespaces = ( { name = \"/a\"; } );",
        "namespaces = ( { name = \"/\"; builtin = false; } );",
        "namespaces = ( { name = \"/\"; recovery = false; } );",
        "namespaces = ( { name = \"/\"; backend = true; } );",
        "namespaces = ( { name = \"/\"; }, { name = \"/a\"; } );",
        "namespaces = ( { pattern = \"/*\"; } );",
        "namespaces = ( { pattern = \"/a*\"; } );",
        "namespaces = ( { pattern = \"/*\"; recovery = false; } );",
        "namespaces = ( { pattern = \"/a*\"; }, { pattern = \"/*\"; } );",
        "namespaces = ( { pattern = \"/*\"; }, { pattern = \"/a*\"; } );",
    };
    uint64_t digests[COUNT(texts)];
    struct namespace_list same;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct namespace_list list = load_good(texts[i]);

        digests[i] = namespaces_digest(&list);
        for (size_t k = 0; k < i; k++)
            assert_true(digests[k] != digests[i]);
        namespaces_done(&list);
    }
    same = load_good(
        "namespaces = ( { recovery = true; name = \"/\"; events = ( { deliver = \"room\"; room = \"$1\"; "
        "name = \"a\"; meta = true; archive = false; } ); } );");
    assert_true(namespaces_digest(&same) == digests[2]);
    namespaces_done(&same);
}

/* A gateway of one build and a router of another must agree; a change here is a change of the link's
 * protocol. */
static void the_default_digest_stays(void **state)
{
    struct namespace_list list = load_good("");

    (void)state;
    assert_int_equal(namespaces_digest(&list), UINT64_C(0x2f642f621fc11d7a));
    namespaces_done(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_configured_is_the_default),
        cmocka_unit_test(the_documented_default_is_the_default),
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(fixed_names_come_before_patterns_and_these_in_their_order),
        cmocka_unit_test(mistakes_are_refused_with_their_line),
        cmocka_unit_test(names_have_a_limit),
        cmocka_unit_test(rules_have_a_limit),
        cmocka_unit_test(digests_tell_configurations_apart),
        cmocka_unit_test(the_default_digest_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
