/* The configuration engine: each source of values, and each error with its place. */
#include "tests/unit/common/test.h"

#include "common/config.h"
#include "common/config_describe.h"
#include "common/exit_code.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum colour { COLOUR_RED, COLOUR_GREEN };

struct settings {
    bool flag;
    uint16_t port;
    uint64_t pause;
    uint32_t limit;
    uint64_t big;
    char *name;
    char *file;
    char *title;
    enum colour colour;
    bool loud;
    long long rules; /* what finish() found */
    char *place;
    char **origins;
};

static const char *const colours[] = {"red", "green", NULL};

#define KEY(section_name, key, kind)                                                                         \
    .section = section_name, .name = #key, .type = CONFIG_KEY_##kind, CONFIG_FIELD(struct settings, key)

static const struct config_key keys[] = {
    {KEY("server", flag, BOOL), .fallback = "true", .help = "a flag"},
    {KEY("server", port, INTEGER), .minimum = 1, .maximum = 65535, .fallback = "3000", .help = "a port"},
    {KEY("server", pause, DURATION), .minimum = 10, .maximum = 600000, .fallback = "25 s", .help = "a pause"},
    {KEY("server", limit, SIZE), .maximum = 1 << 30, .fallback = "8 KB", .help = "a limit"},
    {KEY("other", big, INTEGER), .unit = "things", .help = "a big number"},
    {KEY("other", name, STRING), .minimum = 1, .maximum = 8, .fallback = "anna", .help = "a name"},
    {KEY("other", file, PATH), .help = "a file"},
    {KEY("other", colour, CHOICE), .choices = colours, .fallback = "red", .help = "a colour"},
    {KEY(NULL, title, STRING), .fallback = "", .help = "a title"},
    {KEY(NULL, loud, SWITCH), .help = "a switch"},
    {KEY(NULL, place, STRING), .help = "a place with a password in it", .secret = true},
};

static const char *const others[] = {"rules", "neighbour", NULL};

static int finish(const config_t *file, void *settings, struct buffer *error)
{
    const config_setting_t *rules = config_lookup(file, "rules");

    if (!rules)
        return 0;
    if (!config_setting_is_list(rules)) {
        config_complain(error, rules, "rules is not a list; expected rules = ( ... );");
        return ERROR_CONFIG;
    }
    ((struct settings *)settings)->rules = config_setting_length(rules);
    return 0;
}

static const struct config_program program = {
    .name = "hubbub-test",
    .summary = "a program that only a test knows",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
    .origins = offsetof(struct settings, origins),
    .others = others,
    .positional_maximum = 2,
    .positional_help = "[A [B]]",
    .finish = finish,
};

static char folder[64];
static struct settings settings;
static struct config_result result;

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/hubbub-test-config.XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    settings = (struct settings){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    config_settings_done(&program, &settings);
    buffer_done(&result.output);
    unlink("main.conf");
    unlink("more.conf");
    unlink("inc/part.conf");
    rmdir("inc");
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(folder), 0);
    return 0;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

/* Loads with these arguments (up to a NULL). */
#define LOAD(...) load((char *[]){"hubbub-test", __VA_ARGS__, NULL})
static int load(char **argv)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    config_settings_done(&program, &settings);
    settings = (struct settings){0};
    buffer_done(&result.output);
    return config_load(&program, argc, argv, &settings, &result);
}

static void assert_output(const char *text)
{
    assert_int_equal(result.output.length, strlen(text));
    assert_memory_equal(result.output.data, text, strlen(text));
}

static bool output_has(const char *text)
{
    return memmem(result.output.data, result.output.length, text, strlen(text)) != NULL;
}

/* main.conf with that text is refused with exactly that line. */
static void assert_refused(const char *text, const char *line)
{
    write_file("main.conf", text);
    assert_int_equal(LOAD("--config", "main.conf"), ERROR_CONFIG);
    assert_int_equal(result.exit_code, EXIT_CONFIGURATION);
    if (strncmp(result.output.data, line, strlen(line)) != 0 || result.output.data[strlen(line)] != '\n')
        fail_msg("expected %s\nbut got %.*s", line, BYTES_PRINTF(buffer_bytes(&result.output)));
    assert_int_equal(result.output.length, strlen(line) + 1);
    assert_null(settings.name);
    assert_null(settings.title);
}

static void assert_usage(int status, const char *line)
{
    assert_int_equal(status, ERROR_USAGE);
    assert_int_equal(result.exit_code, EXIT_USAGE);
    assert_output(line);
}

static void defaults_fill_every_field(void **state)
{
    (void)state;
    assert_int_equal(load((char *[]){"hubbub-test", NULL}), 0);
    assert_true(settings.flag);
    assert_int_equal(settings.port, 3000);
    assert_int_equal(settings.pause, 25000);
    assert_int_equal(settings.limit, 8192);
    assert_int_equal(settings.big, 0);
    assert_string_equal(settings.name, "anna");
    assert_null(settings.file);
    assert_int_equal(settings.colour, COLOUR_RED);
    assert_string_equal(settings.title, "");
    assert_int_equal(result.positional_count, 0);
    assert_null(result.file_name);
}

static void the_file_goes_over_defaults_and_options_over_the_file(void **state)
{
    (void)state;
    write_file("main.conf",
               "title = \"From the file\";\n"
               "server = { port = 1; pause = \"2 min\"; limit = 1000; flag = false; };\n"
               "other = { name = \"bert\"; colour = \"green\"; big = 5000000000L; file = \"x/y\"; };\n"
               "neighbour = { whatever = [1, 2]; };\nrules = ( 1, 2, 3 );\n");
    assert_int_equal(LOAD("--port=2", "--config", "main.conf", "--pause", "30 ms", "--flag=true"), 0);
    assert_string_equal(result.file_name, "main.conf");
    assert_int_equal(settings.port, 2);
    assert_int_equal(settings.pause, 30);
    assert_true(settings.flag);
    assert_int_equal(settings.limit, 1000);
    assert_true(settings.big == UINT64_C(5000000000));
    assert_string_equal(settings.name, "bert");
    assert_string_equal(settings.file, "x/y");
    assert_string_equal(settings.title, "From the file");
    assert_int_equal(settings.colour, COLOUR_GREEN);
    assert_int_equal(settings.rules, 3);
}

static void units_of_durations_and_sizes(void **state)
{
    static const struct {
        char *pause;
        uint64_t expected;
    } pauses[] = {{"10", 10}, {"10ms", 10}, {"1s", 1000}, {"1 s", 1000}, {"2  min", 120000}};
    static const struct {
        char *limit;
        uint64_t expected;
    } limits[] = {{"0", 0}, {"7 B", 7}, {"2KB", 2048}, {"3 MB", 3 << 20}, {"1 GB", 1 << 30}};

    (void)state;
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        assert_int_equal(LOAD("--pause", pauses[i].pause), 0);
        assert_int_equal(settings.pause, pauses[i].expected);
    }
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        assert_int_equal(LOAD("--limit", limits[i].limit), 0);
        assert_int_equal(settings.limit, limits[i].expected);
    }
}

static void included_files_are_found_beside_the_main_one(void **state)
{
    char path[128];

    (void)state;
    assert_int_equal(mkdir("inc", 0700), 0);
    write_file("main.conf", "server = {\n  @include \"inc/part.conf\"\n};\n");
    write_file("inc/part.conf", "port = 77;\n");
    snprintf(path, sizeof path, "%s/main.conf", folder);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(LOAD("--config", path), 0);
    assert_int_equal(settings.port, 77);
    assert_int_equal(chdir(folder), 0);
}

static void errors_in_included_files_name_that_file(void **state)
{
    (void)state;
    assert_int_equal(mkdir("inc", 0700), 0);
    write_file("inc/part.conf", "\nport = 0;\n");
    assert_refused("server = {\n  @include \"inc/part.conf\"\n};\n",
                   "inc/part.conf:2: server.port: '0' is not valid; expected 1 to 65535");
    write_file("inc/part.conf", "\nport = 4294967297;\n");
    assert_refused("server = {\n  @include \"inc/part.conf\"\n};\n",
                   "inc/part.conf:2: the number needs an L at its end (numbers beyond 2147483647 do)");
    write_file("inc/part.conf", "port 5;\n");
    assert_refused("server = {\n  @include \"inc/part.conf\"\n};\n", "inc/part.conf:1: syntax error");
}

static void bad_values_name_file_line_and_what_was_expected(void **state)
{
    static const char *const bad[][2] = {
        {"server = {\n port = 70000; };",
         "main.conf:2: server.port: '70000' is not valid; expected 1 to 65535"},
        {"server = {\n port = -1; };", "main.conf:2: server.port: '-1' is not valid; expected 1 to 65535"},
        {"server = { port = \"80\"; };",
         "main.conf:1: server.port: a value of this type is not valid; expected 1 to 65535"},
        {"server = { port = 80.5; };",
         "main.conf:1: server.port: a value of this type is not valid; expected 1 to 65535"},
        {"server = { port = (1); };",
         "main.conf:1: server.port: a value of this type is not valid; expected 1 to 65535"},
        {"server = { pause = \"1 day\"; };",
         "main.conf:1: server.pause: '1 day' is not valid; expected 10 ms to 10 min"},
        {"server = { pause = \"9 ms\"; };",
         "main.conf:1: server.pause: '9 ms' is not valid; expected 10 ms to 10 min"},
        {"server = { pause = \"99999999999999999999 h\"; };",
         "main.conf:1: server.pause: '99999999999999999999 h' is not valid; expected 10 ms to 10 min"},
        {"server = { pause = \"9999999999999999999 h\"; };",
         "main.conf:1: server.pause: '9999999999999999999 h' is not valid; expected 10 ms to 10 min"},
        {"server = { limit = \"2 GB\"; };",
         "main.conf:1: server.limit: '2 GB' is not valid; expected 0 to 1 GB"},
        {"server = { flag = \"yes\"; };",
         "main.conf:1: server.flag: a value of this type is not valid; expected true or false"},
        {"other = { name = \"\"; };",
         "main.conf:1: other.name: '' is not valid; expected text of 1 to 8 bytes (in quotes)"},
        {"other = { name = \"123456789\"; };",
         "main.conf:1: other.name: '123456789' is not valid; expected text of 1 to 8 bytes (in quotes)"},
        {"other = { name = \"a\\nb\"; };",
         "main.conf:1: other.name: 'a?b' is not valid; expected text of 1 to 8 bytes (in quotes)"},
        {"other = { name = 5; };", "main.conf:1: other.name: a value of this type is not valid; expected "
                                   "text of 1 to 8 bytes (in quotes)"},
        {"other = { colour = \"blue\"; };",
         "main.conf:1: other.colour: 'blue' is not valid; expected red or green (in quotes)"},
        {"\n\ntitle = 1;", "main.conf:3: title: a value of this type is not valid; expected text of 0 to "
                           "4095 bytes (in quotes)"},
        {"rules = {};", "main.conf:1: rules is not a list; expected rules = ( ... );"},
        {"\nneighbour = 1;",
         "main.conf:2: neighbour is no single value; expected neighbour = { ... }; or ( ... );"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_refused(bad[i][0], bad[i][1]);
}

static void assert_many_keys_are_not_listed(void)
{
    struct config_key many[9];
    struct config_program crowded = program;

    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        many[i] = keys[5]; /* under nine names, all of section other */
    many[0].name = "one", many[1].name = "two", many[2].name = "three", many[3].name = "four";
    many[4].name = "five", many[5].name = "six", many[6].name = "seven", many[7].name = "eight";
    many[8].name = "nine";
    crowded.keys = many;
    crowded.key_count = sizeof many / sizeof *many;
    buffer_done(&result.output);
    write_file("main.conf", "other = { thousands = 1; };");
    assert_int_equal(config_load(&crowded, 3, (char *[]){"hubbub-test", "--config", "main.conf", NULL},
                                 &settings, &result),
                     ERROR_CONFIG);
    assert_output(
        "main.conf:1: unknown key other.thousands; hubbub-test --help lists those that there are\n");
}

static void unknown_names_say_what_was_expected(void **state)
{
    (void)state;
    assert_refused("server = {\n\n prot = 80; };",
                   "main.conf:3: unknown key server.prot; did you mean port?");
    assert_refused("server = {\n\n surname = 80; };",
                   "main.conf:3: unknown key server.surname; expected one of flag, port, pause, limit");
    assert_refused("\nsurfer = { port = 80; };",
                   "main.conf:2: unknown section or key surfer; did you mean server?");
    assert_refused("neighbours = 1;",
                   "main.conf:1: unknown section or key neighbours; did you mean neighbour?");
    assert_refused(
        "\nwhatever = { port = 80; };",
        "main.conf:2: unknown section or key whatever; expected one of server, other, title, place, "
        "rules, neighbour");
    assert_many_keys_are_not_listed();
    assert_refused("server = 1;", "main.conf:1: server is a section; expected server = { ... };");
}

static void what_libconfig_would_take_wrongly_is_refused(void **state)
{
    (void)state;
    assert_refused("a = 1;\nb =;", "main.conf:2: syntax error");
    assert_refused("title = \"a\";\ntitle = \"b\";", "main.conf:2: duplicate setting name");
    assert_refused("server = { port = 4294967376; };",
                   "main.conf:1: the number needs an L at its end (numbers beyond 2147483647 do)");
    assert_refused("server = { port = 0x100000050; };",
                   "main.conf:1: the number needs an L at its end (numbers beyond 2147483647 do)");
    assert_refused("other = {\n big = 99999999999999999999L; };", "main.conf:2: the number is too large");
    assert_refused("title = \"x\";\n/* a comment", "main.conf:2: the comment does not end");
    assert_refused("\ntitle = \"x;\n\n", "main.conf:2: the text in quotes does not end");
    assert_refused("@include \"/etc/passwd\"\n",
                   "main.conf:1: the included file must be given relative to the folder of the main file");
    assert_refused("\n@include \"none.conf\"\n",
                   "main.conf:2: cannot read ./none.conf: No such file or directory");
    assert_refused("@include \".\"\n", "cannot read ./.: not a regular file");
    assert_refused("@include \"main.conf\"\n", "main.conf:1: included files are nested too deep");
}

static void numbers_in_comments_and_texts_are_no_numbers(void **state)
{
    (void)state;
    write_file("main.conf",
               "# 99999999999\n// 99999999999\n/* 99999999999\n */ title = \"99999999999 \\\" 1\";\n"
               "neighbour = { a99999999999 = 1.5e30; b = 2147483647; c = -2147483648; };\n");
    assert_int_equal(LOAD("--config", "main.conf"), 0);
    assert_string_equal(settings.title, "99999999999 \" 1");
}

static void files_that_cannot_be_read(void **state)
{
    (void)state;
    assert_int_equal(LOAD("--config", "none.conf"), ERROR_CONFIG);
    assert_output("cannot read none.conf: No such file or directory\n");
    assert_int_equal(LOAD("--config", "."), ERROR_CONFIG);
    assert_output("cannot read .: not a regular file\n");
    assert_int_equal(result.exit_code, EXIT_CONFIGURATION);
}

static void bad_options_are_usage_errors(void **state)
{
    (void)state;
    assert_usage(LOAD("--prot", "1"),
                 "hubbub-test: unknown option '--prot'; did you mean --port? (see --help)\n");
    assert_usage(LOAD("--por=1"),
                 "hubbub-test: unknown option '--por=1'; did you mean --port? (see --help)\n");
    assert_usage(LOAD("--check_config"),
                 "hubbub-test: unknown option '--check_config'; did you mean --check-config? (see --help)\n");
    assert_usage(LOAD("--nonsense"), "hubbub-test: unknown option '--nonsense' (see --help)\n");
    assert_usage(LOAD("-p"),
                 "hubbub-test: unknown option '-p'; as an argument it stands behind -- (see --help)\n");
    assert_usage(LOAD("--help=1"),
                 "hubbub-test: unknown option '--help=1'; did you mean --help? (see --help)\n");
    assert_usage(LOAD("--port"), "hubbub-test: --port needs a value (see --help)\n");
    assert_usage(LOAD("--config"), "hubbub-test: --config needs a value (see --help)\n");
    assert_usage(LOAD("--loud=true"), "hubbub-test: --loud takes no value (see --help)\n");
    assert_usage(LOAD("--port", "0"),
                 "hubbub-test: --port: '0' is not valid; expected 1 to 65535 (see --help)\n");
    assert_usage(LOAD("--flag", "yes"),
                 "hubbub-test: --flag: 'yes' is not valid; expected true or false (see --help)\n");
    assert_usage(
        LOAD("--big=1x"),
        "hubbub-test: --big: '1x' is not valid; expected 0 to 18446744073709551615 things (see --help)\n");
    assert_usage(LOAD("a", "b", "c"), "hubbub-test: unexpected argument 'c' (see --help)\n");
    assert_usage(LOAD("a", "b", "-"), "hubbub-test: unexpected argument '-' (see --help)\n");
    assert_usage(LOAD("--", "-x", "b", "--port"),
                 "hubbub-test: unexpected argument '--port': nothing is an option behind -- (see --help)\n");
}

static void a_switch_stands_alone(void **state)
{
    (void)state;
    assert_int_equal(LOAD("one"), 0);
    assert_false(settings.loud);
    config_settings_done(&program, &settings);
    assert_int_equal(LOAD("--loud", "one"), 0);
    assert_true(settings.loud);
    assert_int_equal(result.positional_count, 1);
    assert_string_equal(result.positional[0], "one");
    config_settings_done(&program, &settings);
    assert_refused("loud = true;", "main.conf:1: unknown section or key loud; expected one of server, other, "
                                   "title, place, rules, neighbour");
}

static void arguments_that_are_no_options_are_handed_on(void **state)
{
    (void)state;
    assert_int_equal(LOAD("json", "--port", "5", "--", "--port"), 0);
    assert_int_equal(result.positional_count, 2);
    assert_string_equal(result.positional[0], "json");
    assert_string_equal(result.positional[1], "--port");
    assert_int_equal(settings.port, 5);
    assert_int_equal(LOAD("-"), 0);
    assert_string_equal(result.positional[0], "-");
}

static void help_is_made_from_the_table(void **state)
{
    (void)state;
    assert_int_equal(LOAD("--help", "--nonsense"), 1);
    assert_int_equal(result.exit_code, EXIT_OK);
    assert_true(output_has("Usage: hubbub-test [options] [A [B]]\n"));
    assert_true(output_has(
        "  --pause DURATION\n        a pause\n        key server.pause, 10 ms to 10 min, default 25 s\n"));
    assert_true(output_has(
        "  --file PATH\n        a file\n        key other.file, a path of 0 to 4095 bytes, no default\n"));
    assert_true(output_has("key other.colour, red or green, default red\n"));
    assert_true(output_has("key title, text of 0 to 4095 bytes, default empty\n"));
    assert_true(output_has("  78\tthe configuration is wrong\n"));
}

static void append_described(void *argument, const char *name, const char *value, const char *origin)
{
    buffer_printf(argument, "%s=%s (%s)\n", name, value ? value : "absent", origin);
}

static void every_value_is_described_with_its_origin(void **state)
{
    struct buffer text = {0};

    (void)state;
    write_file("main.conf", "server = { port = 4000;\n limit = \"2 KB\"; };\n@include \"more.conf\"\n");
    write_file("more.conf", "\nother = { colour = \"green\"; big = 7; };\n"
                            "place = \"mongodb://anna:s@cr3t@host/db?w=majority\";");
    assert_int_equal(LOAD("--config", "main.conf", "--big=9", "--pause", "1500"), 0);
    config_describe(&program, &settings, append_described, &text);
    buffer_append_char(&text, '\0');
    assert_string_equal(text.data, "server.flag=true (default)\n"
                                   "server.port=4000 (main.conf:1)\n"
                                   "server.pause=1500ms (--pause)\n"
                                   "server.limit=2KB (main.conf:2)\n"
                                   "other.big=9 (--big)\n"
                                   "other.name=anna (default)\n"
                                   "other.file=absent (default)\n"
                                   "other.colour=green (more.conf:2)\n"
                                   "title= (default)\n"
                                   "place=mongodb://anna:***@host/db?w=majority (more.conf:3)\n");
    buffer_done(&text);
}

static void secrets_are_masked(void **state)
{
    static const char *const masked[][2] = {
        {"", ""},
        {"plain", "***"},
        {"mongodb://host", "mongodb://host"},
        {"mongodb://anna@host/db", "mongodb://anna@host/db"},
        {"mongodb://anna:pass@host:27017,other:27018/db", "mongodb://anna:***@host:27017,other:27018/db"},
        {"mongodb://anna:pa/ss@w@host/db", "mongodb://anna:***@host/db"},
        {"mongodb+srv://anna:p?w=1@host/?tls=true", "mongodb+srv://anna:***@host/?tls=true"},
        {"mongodb://h/?tlsCertificateKeyFilePassword=pw&w=1&authMechanismProperties=AWS_SESSION_TOKEN:x",
         "mongodb://h/?tlsCertificateKeyFilePassword=***&w=1&authMechanismProperties=***"},
        {"mongodb://h/?&&password", "mongodb://h/?&&password"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof masked / sizeof *masked; i++) {
        struct buffer text = {0};

        config_append_masked(&text, masked[i][0]);
        buffer_append_char(&text, '\0');
        assert_string_equal(text.data, masked[i][1]);
        buffer_done(&text);
    }
}

static void version_and_check(void **state)
{
    (void)state;
    assert_int_equal(LOAD("--version"), 1);
    assert_output("hubbub-test " HUBBUB_VERSION "\n");
    assert_int_equal(LOAD("--check-config"), 1);
    assert_int_equal(result.exit_code, EXIT_OK);
    assert_output("configuration ok\n");
    assert_null(settings.name);
    write_file("main.conf", "server = { port = 0; };");
    assert_int_equal(LOAD("--check-config", "--config=main.conf"), ERROR_CONFIG);
    assert_int_equal(result.exit_code, EXIT_CONFIGURATION);
    assert_int_equal(LOAD("--check-config", "--port=0"), ERROR_USAGE);
}

static void secrets_leave_the_command_line(void **state)
{
    char first[] = "program", second[] = "--place=mongodb://u:pass@h/", third[] = "--place",
         fourth[] = "word", fifth[] = "--name", sixth[] = "--place";
    char *argv[] = {first, second, third, fourth, fifth, sixth, NULL};

    (void)state;
    config_hide_secrets(&program, 6, argv);
    assert_string_equal(second, "--place=xxxxxxxxxxxxxxxxxxx");
    assert_string_equal(fourth, "xxxx");
    assert_string_equal(sixth, "--place"); /* the value of another option */
    assert_string_equal(argv[1], "--place=mongodb://u:pass@h/");
    assert_string_equal(argv[3], "word");
    assert_ptr_equal(argv[2], third);
    free(argv[1]);
    free(argv[3]);
}

static void errors_do_not_show_secrets(void **state)
{
    char first[] = "program", second[] = "--place=p\x01ssword";
    char *argv[] = {first, second, NULL};

    (void)state;
    settings = (struct settings){0};
    assert_int_equal(config_load(&program, 2, argv, &settings, &result), ERROR_USAGE);
    buffer_append_char(&result.output, '\0');
    assert_null(strstr(result.output.data, "ssword"));
    assert_non_null(strstr(result.output.data, "--place"));
    buffer_done(&result.output);
}

int main(void)
{
#define SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        SCENE(defaults_fill_every_field),
        SCENE(the_file_goes_over_defaults_and_options_over_the_file),
        SCENE(units_of_durations_and_sizes),
        SCENE(included_files_are_found_beside_the_main_one),
        SCENE(errors_in_included_files_name_that_file),
        SCENE(bad_values_name_file_line_and_what_was_expected),
        SCENE(unknown_names_say_what_was_expected),
        SCENE(what_libconfig_would_take_wrongly_is_refused),
        SCENE(numbers_in_comments_and_texts_are_no_numbers),
        SCENE(files_that_cannot_be_read),
        SCENE(bad_options_are_usage_errors),
        SCENE(a_switch_stands_alone),
        SCENE(arguments_that_are_no_options_are_handed_on),
        SCENE(help_is_made_from_the_table),
        SCENE(every_value_is_described_with_its_origin),
        SCENE(secrets_are_masked),
        SCENE(secrets_leave_the_command_line),
        SCENE(errors_do_not_show_secrets),
        SCENE(version_and_check),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
