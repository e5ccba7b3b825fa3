/*
 * Pages of history for whoever may connect to the stats socket; see transcript.h.  stats.c calls it.  Its one
 * surprising rule: it asks for no membership and makes no room, so it finds what a room held whose namespace
 * is served no more.
 */
#include "router/transcript.h"

#include "common/memory.h"
#include "proto/json_scan.h"
#include "proto/json_text.h"
#include "proto/socketio.h"
#include "proto/utf8.h"
#include "router/page.h"

#include <stdlib.h>

enum { PAGE_DEFAULT = 50 };

/* -- lines ------------------------------------------------------------------------------------ */

static bool is_break(char c)
{
    return c == '\n' || c == '\r';
}

static bool has_break(struct bytes text)
{
    return text.length && (memchr(text.data, '\n', text.length) || memchr(text.data, '\r', text.length));
}

/* In JSON a line break can only stand between tokens. */
static void append_in_one_line(struct buffer *out, struct bytes json)
{
    for (size_t i = 0; i < json.length; i++)
        buffer_append_char(out, is_break(json.data[i]) ? ' ' : json.data[i]);
}

/* The arguments as they were sent, as the archive's documents have them too. */
static void append_raw(struct buffer *out, struct bytes arguments)
{
    struct buffer text = {0};

    buffer_append_char(&text, '[');
    buffer_append_bytes(&text, arguments);
    buffer_append_char(&text, ']');
    buffer_append_literal(out, ",\"raw\":");
    json_append_string(out, buffer_bytes(&text));
    buffer_done(&text);
}

static void append_line(struct buffer *out, const struct journal_message *fields)
{
    message_append_head(out, fields);
    if (fields->attachments.length)
        message_append_attachments(out, fields);
    if (has_break(fields->arguments))
        append_raw(out, fields->arguments);
    buffer_append_literal(out, ",\"args\":[");
    append_in_one_line(out, fields->arguments);
    buffer_append_literal(out, "]}\n");
}

static void append_page(const struct router *router, bool newest, struct listing *listing, struct buffer *out)
{
    listing_bound_bytes(listing, newest, router->settings->max_history_bytes);
    for (unsigned i = 0; i < listing->count; i++)
        append_line(out, listing->items[i]);
    buffer_append_text(out, listing->more ? "{\"more\":true}\n\n" : "{\"more\":false}\n\n");
}

/* -- questions -------------------------------------------------------------------------------- */

struct question {
    char namespace[SOCKETIO_NAMESPACE_MAX], room[ROOM_NAME_MAX];
    size_t namespace_length, room_length;
    struct page_bounds bounds;
};

/* What is not there leaves the outputs as they are. */
static int take_text(struct json_value object, const char *key, char *out, size_t capacity, size_t *length)
{
    struct json_value value;
    int result = json_object_find(object, key, &value);

    if (result == ERROR_NOT_FOUND)
        return 0;
    if (result || value.kind != JSON_STRING)
        return ERROR_MALFORMED;
    return json_string_decode(value, out, capacity, length);
}

static int take_number(struct json_value object, const char *key, bool *found, uint64_t *out)
{
    struct json_value value;
    unsigned long long number;
    int result = json_object_find(object, key, &value);

    if (result == ERROR_NOT_FOUND)
        return 0;
    if (result || value.kind != JSON_NUMBER || bytes_parse_u64(value.text, &number) || number > INT64_MAX)
        return ERROR_MALFORMED;
    *found = true;
    *out = number;
    return 0;
}

static struct bytes question_namespace(const struct question *question)
{
    return bytes_make(question->namespace, question->namespace_length);
}

static struct bytes question_room(const struct question *question)
{
    return bytes_make(question->room, question->room_length);
}

static int parse(struct bytes text, struct question *question)
{
    struct page_bounds *bounds = &question->bounds;
    struct json_value object;
    uint64_t limit = PAGE_DEFAULT;
    bool has_before = false, has_limit = false;

    question->namespace[0] = '/';
    question->namespace_length = 1;
    if (!utf8_valid(text) || json_scan(text, &object) || object.kind != JSON_OBJECT ||
        take_text(object, "namespace", question->namespace, sizeof question->namespace,
                  &question->namespace_length) ||
        take_text(object, "room", question->room, sizeof question->room, &question->room_length) ||
        take_number(object, "before", &has_before, &bounds->before) ||
        take_number(object, "after", &bounds->has_after, &bounds->after) ||
        take_number(object, "limit", &has_limit, &limit))
        return ERROR_MALFORMED;
    if (limit == 0 || limit > LISTING_MAX || (has_before && (bounds->before == 0 || bounds->has_after)))
        return ERROR_MALFORMED;
    bounds->limit = (unsigned)limit;
    return 0;
}

struct transcript {
    struct page page; /* must stay first */
    stats_done *done;
    void *argument;
    bool cancelled;
    struct question question;
};

/* -- answers ---------------------------------------------------------------------------------- */

static const struct room *find_room(const struct router *router, struct bytes namespace, struct bytes room)
{
    const struct namespace *found = namespace_find(&router->namespaces, namespace);

    return found ? rooms_find(&router->rooms, found, room) : NULL;
}

static void append_error(struct buffer *out, int result)
{
    if (result == ERROR_BUSY)
        buffer_append_literal(out, "error busy: too many pages are on their way\n\n");
    else if (result == ERROR_AGAIN)
        buffer_append_literal(out,
                              "error unavailable: the archive can't be read; the router's log says why\n\n");
    else
        buffer_append_literal(out, "error unavailable: the page can't be read\n\n");
}

/* Nobody is in it, and nothing was ever said there. */
static bool is_no_room(const struct transcript *transcript, const struct listing *listing)
{
    const struct page *page = &transcript->page;

    return listing->count == 0 && !page->bounds.has_after && page->bounds.before == 0 &&
           !find_room(page->router, page->namespace, page->room);
}

static void answer(struct transcript *transcript, int result)
{
    struct listing listing = {0};
    struct buffer out = {0};

    if (result) {
        append_error(&out, result);
    } else {
        page_list(&transcript->page, &listing);
        if (is_no_room(transcript, &listing))
            buffer_append_literal(&out, "error no such room\n\n");
        else
            append_page(transcript->page.router, !transcript->page.bounds.has_after, &listing, &out);
    }
    transcript->done(transcript->argument, buffer_bytes(&out));
    buffer_done(&out);
}

static void on_page(struct page *page, int result)
{
    struct transcript *transcript = (struct transcript *)page;

    if (!transcript->cancelled)
        answer(transcript, result);
    page_free(page);
    free(transcript);
}

static bool is_wanted(const struct page *page)
{
    return !((const struct transcript *)page)->cancelled;
}

static struct transcript *make_transcript(const struct question *question)
{
    struct transcript *transcript = memory_zero(1, sizeof *transcript);

    transcript->question = *question;
    transcript->page.namespace = question_namespace(&transcript->question);
    transcript->page.room = question_room(&transcript->question);
    transcript->page.bounds = question->bounds;
    transcript->page.enough = question->bounds.limit;
    transcript->page.done = on_page;
    transcript->page.wanted = is_wanted;
    return transcript;
}

/* At once, if memory has the page. */
static bool answer_from_memory(struct router *router, const struct question *question, struct buffer *out)
{
    const struct room *room = find_room(router, question_namespace(question), question_room(question));
    struct listing listing = {0};

    if (!room || !room->seq_known || !page_from_memory(room, &question->bounds, &listing))
        return false;
    append_page(router, !question->bounds.has_after, &listing, out);
    return true;
}

struct transcript *transcript_start(struct router *router, struct bytes text, stats_done *done,
                                    void *argument, struct buffer *out)
{
    struct question question = {0};
    struct transcript *transcript = NULL;

    if (parse(text, &question)) {
        buffer_append_literal(
            out,
            "error expected {\"room\":R,\"namespace\":NS,\"before\" or \"after\":SEQ,\"limit\":1..200}\n\n");
    } else if (!namespace_name_valid(question_namespace(&question)) ||
               !room_name_valid(question_room(&question))) {
        buffer_append_literal(out, "error no room or namespace can have that name\n\n");
    } else {
        router->counters.pages_shown++;
        if (router->draining) {
            buffer_append_literal(out, "error unavailable: the router stops\n\n");
        } else if (!answer_from_memory(router, &question, out)) {
            transcript = make_transcript(&question);
            transcript->done = done;
            transcript->argument = argument;
            if (page_start(router, &transcript->page)) {
                append_error(out, ERROR_BUSY);
                free(transcript);
                transcript = NULL;
            }
        }
    }
    return transcript;
}

void transcript_cancel(struct transcript *transcript)
{
    transcript->cancelled = true;
}
