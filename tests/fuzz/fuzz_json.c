/* Any bytes through the JSON scanner: its ways to read a text must agree with each other. */
#include "fuzz.h"
#include "proto/json_scan.h"
#include "proto/json_text.h"

static void check_string(struct json_value string)
{
    struct buffer text = {0};
    char *bytes = malloc(string.text.length);
    char *again = malloc(string.text.length);
    struct json_value value;
    size_t length;
    size_t length_again;

    require(bytes && again);
    if (json_string_decode(string, bytes, string.text.length, &length) == 0) {
        json_append_string(&text, bytes_make(bytes, length));
        require(json_scan(buffer_bytes(&text), &value) == 0);
        require(json_string_decode(value, again, string.text.length, &length_again) == 0);
        require(bytes_equal(bytes_make(bytes, length), bytes_make(again, length_again)));
        if (length)
            require(json_string_decode(string, again, length - 1, &length_again) == ERROR_TOO_LARGE);
    }
    buffer_done(&text);
    free(bytes);
    free(again);
}

static void check_value(struct json_value value)
{
    struct json_value whole;
    struct json_value found;
    struct json_cursor cursor;
    long long integer;
    int code;

    require(json_scan(value.text, &whole) == 0);
    require(whole.kind == value.kind && bytes_equal(whole.text, value.text));
    if (value.kind == JSON_STRING)
        check_string(value);
    if (json_integer_decode(value, &integer) == 0)
        require(value.kind == JSON_NUMBER);
    code = json_object_find(value, "a", &found);
    require(code == 0 || code == ERROR_NOT_FOUND || code == ERROR_EXISTS);
    if (code == 0)
        require(json_scan(found.text, &whole) == 0 && whole.kind == found.kind);
    cursor = json_array_cursor(value);
    while ((code = json_cursor_next(&cursor, &found)) == 0)
        require(json_scan(found.text, &whole) == 0 && whole.kind == found.kind);
    require(code == ERROR_NOT_FOUND);
}

/* A list is what an array holds: with brackets around it, and behind another value, it stays what it is. */
static void check_list(struct bytes text)
{
    struct buffer array = {0};
    struct json_value value, first;
    struct json_cursor cursor;
    int code = json_list_scan(text);
    int whole;

    buffer_append_char(&array, '[');
    buffer_append_bytes(&array, text);
    buffer_append_char(&array, ']');
    whole = json_scan(buffer_bytes(&array), &value);
    if (code == 0) {
        require(whole == 0 && value.kind == JSON_ARRAY && value.text.length == array.length);
        cursor = json_array_cursor(value);
        require(text.length == 0 || json_cursor_next(&cursor, &first) == 0);
    } else if (whole == 0 && value.text.length == array.length) {
        cursor = json_array_cursor(value);
        require(code == ERROR_MALFORMED && json_cursor_next(&cursor, &first) == ERROR_NOT_FOUND);
    }
    buffer_done(&array);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const texts[] = {"$", "$.a", "$.a.b", "$2.a"};
    struct bytes text = bytes_make((const char *)data, size);
    struct json_path paths[JSON_PATHS_MAX];
    struct json_value values[JSON_PATHS_MAX];
    struct json_value value;
    struct json_event event;
    int code = json_scan(text, &value);
    int event_code;

    if (code == 0)
        check_value(value);
    check_list(text);
    for (size_t i = 0; i < JSON_PATHS_MAX; i++)
        require(json_path_parse(bytes_from_text(texts[i]), &paths[i]) == 0);
    event_code = json_event_begin(text, &event);
    if (event_code == 0)
        event_code = json_event_finish(&event, paths, JSON_PATHS_MAX, values);
    if (event_code == 0 || event_code == ERROR_EXISTS)
        require(code == 0 && value.kind == JSON_ARRAY);
    if (event_code == 0) {
        size_t count = 0;
        struct json_cursor cursor = json_list_cursor(event.arguments);

        while (json_cursor_next(&cursor, &value) == 0)
            count++;
        require(count == event.argument_count);
        for (size_t i = 0; i < JSON_PATHS_MAX; i++)
            if (values[i].kind != JSON_ABSENT)
                check_value(values[i]);
    }
    return 0;
}
