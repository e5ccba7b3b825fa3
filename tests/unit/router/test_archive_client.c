/* The archive's place: connection strings that are refused, and that no secret is told; what a client
 * defaults to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/archive_client.h"

#include <string.h>

static struct archive_place place(const char *uri)
{
    return (struct archive_place){.uri = uri, .collection = "messages", .timeout = 1234};
}

static void check_refused(const struct archive_place *where, const char *words)
{
    struct buffer error = {0};

    assert_int_equal(archive_place_check(where, &error), ERROR_CONFIG);
    buffer_append_char(&error, 0);
    if (!strstr(error.data, words))
        fail_msg("no \"%s\" in: %s", words, error.data);
    assert_null(strstr(error.data, "secret"));
    assert_null(strchr(error.data, '\n'));
    buffer_done(&error);
}

static void check_uri_refused(const char *uri, const char *words)
{
    struct archive_place where = place(uri);

    check_refused(&where, words);
}

static void bad_connection_strings_are_refused_and_no_secret_is_told(void **state)
{
    (void)state;
    check_uri_refused("http://user:secret@h/", "must begin with mongodb://");
    check_uri_refused("mongodb://user:se:secret@h/", "must not have unescaped chars");
    check_uri_refused("mongodb://user:a\"secret\"b:c@h/", "must not have unescaped chars");
    check_uri_refused("mongodb://us%zz:secret@h/", "URI escapes");
    check_uri_refused("mongodb://user:secret@h/?wtimeoutMS=secret", "Unsupported value for \"wtimeoutms\"");
    check_uri_refused("mongodb://user:secret@h/?w=0", "w=0");
    check_uri_refused("mongodb://h/?tls=true&tlsCAFile=/nowhere/ca.pem", "/nowhere/ca.pem can't be read");
    check_uri_refused("mongodb://h:70000/", "Invalid host");
}

static void a_password_of_its_own_file_goes_with_a_user(void **state)
{
    struct archive_place where = place("mongodb://hubbub@h/chat?authSource=admin");
    struct archive_client client = {0};
    struct buffer error = {0};
    bson_error_t reason;

    (void)state;
    where.password = "secret: /?@%";
    assert_int_equal(archive_place_check(&where, &error), 0);
    assert_int_equal(archive_client_open(&client, &where, &reason), 0);
    assert_string_equal(mongoc_uri_get_username(mongoc_client_get_uri(client.client)), "hubbub");
    assert_string_equal(mongoc_uri_get_password(mongoc_client_get_uri(client.client)), where.password);
    archive_client_close(&client);
    where.uri = "mongodb://h/chat";
    check_refused(&where, "archive_password: key archive names no user");
}

static void bad_names_are_refused(void **state)
{
    struct archive_place where = place("mongodb://h/");

    (void)state;
    where.database = "a.b";
    check_refused(&where, "archive_database");
    where.database = "fine";
    where.collection = "system.users";
    check_refused(&where, "archive_collection");
}

static void what_is_left_open_gets_a_default(void **state)
{
    struct archive_place where = place("mongodb://h/there?tls=true");
    struct archive_client client;
    bson_error_t reason;
    struct buffer error = {0};
    const mongoc_write_concern_t *concern;
    const mongoc_uri_t *uri;

    (void)state;
    assert_int_equal(archive_place_check(&where, &error), 0);
    assert_int_equal(archive_client_open(&client, &where, &reason), 0);
    concern = mongoc_client_get_write_concern(client.client);
    uri = mongoc_client_get_uri(client.client);
    assert_true(mongoc_write_concern_get_wmajority(concern));
    assert_true(mongoc_write_concern_get_journal(concern));
    assert_int_equal(mongoc_uri_get_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS, 0), 1234);
    assert_int_equal(mongoc_uri_get_option_as_int32(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, 0), 1234);
    assert_string_equal(mongoc_collection_get_name(client.collection), "messages");
    assert_string_equal(mongoc_uri_get_database(uri), "there");
    archive_client_close(&client);
    archive_client_close(&client);
}

static void what_the_connection_string_says_wins(void **state)
{
    struct archive_place where =
        place("mongodb://a,b:27018/?w=2&journal=false&wtimeoutMS=77&socketTimeoutMS=99&replicaSet=rs");
    struct archive_client client;
    bson_error_t reason;
    struct buffer text = {0};
    const mongoc_write_concern_t *concern;

    (void)state;
    assert_int_equal(archive_place_check(&where, &text), 0);
    assert_int_equal(archive_client_open(&client, &where, &reason), 0);
    concern = mongoc_client_get_write_concern(client.client);
    assert_int_equal(mongoc_write_concern_get_w(concern), 2);
    assert_false(mongoc_write_concern_get_journal(concern));
    assert_int_equal(mongoc_write_concern_get_wtimeout_int64(concern), 77);
    assert_int_equal(
        mongoc_uri_get_option_as_int32(mongoc_client_get_uri(client.client), MONGOC_URI_SOCKETTIMEOUTMS, 0),
        99);
    archive_client_close(&client);
    archive_place_append_hosts(&text, &where);
    assert_true(bytes_equal_text(buffer_bytes(&text), "a:27017,b:27018"));
    buffer_done(&text);
}

/* A name server that is away is no reason to end, nor to begin only with it. */
static void a_name_that_cannot_be_resolved_may_be_later(void **state)
{
    struct archive_place where = place("mongodb+srv://user:secret@no.such.host.invalid/");
    struct archive_client client = {0};
    struct buffer error = {0};
    bson_error_t reason;

    (void)state;
    assert_int_equal(archive_place_check(&where, &error), 0);
    assert_int_equal(error.length, 0);
    assert_int_equal(archive_client_open(&client, &where, &reason), ERROR_AGAIN);
    assert_non_null(strstr(reason.message, "no.such.host.invalid"));
    assert_null(strstr(reason.message, "secret"));
    assert_null(client.client);
    archive_client_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_connection_strings_are_refused_and_no_secret_is_told),
        cmocka_unit_test(a_password_of_its_own_file_goes_with_a_user),
        cmocka_unit_test(bad_names_are_refused),
        cmocka_unit_test(what_is_left_open_gets_a_default),
        cmocka_unit_test(what_the_connection_string_says_wins),
        cmocka_unit_test(a_name_that_cannot_be_resolved_may_be_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
