/*
 * Answers that come in parts; see gathering.h.  Texts are gathered in one buffer, and what points into it is
 * made when all of it is there.  The surprise: replies may come before the router says whom it asked, and
 * from nobody's list.
 */
#include "app/gathering.h"

#include "app/app.h"
#include "common/memory.h"

#include <stdlib.h>

enum { SID_WEIGHT = 64 }; /* what a part's id and its places take */

/* A socket that was asked, has replied, or was found; offsets into the texts. */
struct part {
    char *sid; /* owned */
    size_t from, data, address, arguments;
    size_t list; /* of offsets and, of attachments, lengths; in numbers */
    size_t list_count;
    bool asked, replied;
};

struct gathering {
    struct app_timer timer; /* must stay first; of a question */
    struct hubbub_app *app;
    uint64_t number;
    hubbub_replies_callback *on_replies;
    hubbub_findings_callback *on_findings;
    void *user;
    struct buffer texts;   /* terminated, one behind the other */
    struct buffer parts;   /* of struct part *, in the order of their coming */
    struct table by_sid;   /* of the same, of a question */
    struct buffer numbers; /* of size_t */
    size_t waiting;        /* asked and not replied */
    bool asked;            /* ASKED has come */
};

static struct part *part_at(const struct gathering *gathering, size_t i)
{
    return ((struct part **)(void *)gathering->parts.data)[i];
}

static size_t part_count(const struct gathering *gathering)
{
    return gathering->parts.length / sizeof(struct part *);
}

static size_t *number_at(const struct gathering *gathering, size_t i)
{
    return (size_t *)(void *)gathering->numbers.data + i;
}

static size_t keep_text(struct gathering *gathering, struct bytes text)
{
    size_t at = gathering->texts.length;

    buffer_append_bytes(&gathering->texts, text);
    buffer_append_char(&gathering->texts, '\0');
    return at;
}

static void keep_number(struct gathering *gathering, size_t number)
{
    buffer_append(&gathering->numbers, &number, sizeof number);
}

/* Texts, or blobs with their lengths. */
static int keep_list(struct gathering *gathering, struct part *part, struct bytes list, bool lengths)
{
    struct wire_reader reader = {0};
    int count = wire_list_open(&reader, list);

    if (count < 0)
        return ERROR_MALFORMED;
    part->list = gathering->numbers.length / sizeof(size_t);
    part->list_count = (size_t)count;
    for (int i = 0; i < count; i++) {
        struct bytes element;

        if (wire_list_text(&reader, &element) < 0)
            return ERROR_MALFORMED;
        keep_number(gathering, keep_text(gathering, element));
        if (lengths)
            keep_number(gathering, element.length);
    }
    return 0;
}

static struct bytes key_of(const void *entry)
{
    const struct part *part = entry;

    return bytes_from_text(part->sid);
}

static struct part *find_part(const struct gathering *gathering, struct bytes sid)
{
    return table_find(&gathering->by_sid, sid);
}

static struct part *add_part(struct gathering *gathering, struct bytes sid)
{
    struct part *part = memory_zero(1, sizeof *part);

    part->sid = memory_text(sid.data, sid.length);
    buffer_append(&gathering->parts, &part, sizeof part);
    return part;
}

static void clear_parts(struct gathering *gathering)
{
    for (size_t i = 0; i < part_count(gathering); i++) {
        free(part_at(gathering, i)->sid);
        free(part_at(gathering, i));
    }
    buffer_clear(&gathering->parts);
    table_done(&gathering->by_sid);
}

static size_t weight(const struct gathering *gathering)
{
    return gathering->texts.length + gathering->numbers.length +
           part_count(gathering) * (sizeof(struct part) + SID_WEIGHT);
}

/* -- the callback ---------------------------------------------------------------------------- */

static void tell_replies(struct gathering *gathering, struct hubbub_replies *result)
{
    size_t count = part_count(gathering), blobs = 0;
    const char *texts = gathering->texts.data;
    struct hubbub_reply *replies = memory_zero(count, sizeof *replies);
    const char **missing = memory_zero(count, sizeof *missing);
    struct hubbub_blob *attachments =
        memory_zero(gathering->numbers.length / sizeof(size_t), sizeof *attachments);

    for (size_t i = 0; i < count; i++) {
        const struct part *part = part_at(gathering, i);

        if (!part->replied) {
            missing[result->missing_count++] = part->sid;
            continue;
        }
        replies[result->reply_count++] = (struct hubbub_reply){.id = part->sid,
                                                               .arguments = texts + part->arguments,
                                                               .attachments = attachments + blobs,
                                                               .attachment_count = part->list_count};
        for (size_t j = 0; j < part->list_count; j++)
            attachments[blobs++] = (struct hubbub_blob){texts + *number_at(gathering, part->list + 2 * j),
                                                        *number_at(gathering, part->list + 2 * j + 1)};
    }
    result->replies = replies;
    result->missing = missing;
    gathering->on_replies(gathering->user, result);
    free(replies);
    free(missing);
    free(attachments);
}

static void tell_findings(struct gathering *gathering, struct hubbub_findings *result)
{
    size_t count = part_count(gathering), rooms_at = 0;
    const char *texts = gathering->texts.data;
    struct hubbub_found *found = memory_zero(count, sizeof *found);
    const char **rooms = memory_zero(count + gathering->numbers.length / sizeof(size_t), sizeof *rooms);

    for (size_t i = 0; i < count; i++) {
        const struct part *part = part_at(gathering, i);

        found[i] = (struct hubbub_found){.id = part->sid,
                                         .from = texts + part->from,
                                         .data = texts + part->data,
                                         .address = texts + part->address,
                                         .rooms = rooms + rooms_at,
                                         .room_count = 1 + part->list_count};
        rooms[rooms_at++] = part->sid; /* which the router does not list */
        for (size_t j = 0; j < part->list_count; j++)
            rooms[rooms_at++] = texts + *number_at(gathering, part->list + j);
    }
    result->sockets = found;
    result->count = count;
    gathering->on_findings(gathering->user, result);
    free(found);
    free(rooms);
}

static void finish(struct gathering *gathering, int error, const char *code, const char *message)
{
    timer_wheel_cancel(&gathering->timer.wheel);
    if (gathering->on_replies)
        tell_replies(gathering, &(struct hubbub_replies){.error = error, .code = code, .message = message});
    else
        tell_findings(gathering, &(struct hubbub_findings){.error = error, .code = code, .message = message});
    gathering_free(gathering);
}

void gathering_fail(struct gathering *gathering, int error, const struct wire_outcome *outcome)
{
    char *code = memory_text(outcome ? outcome->error.data : NULL, outcome ? outcome->error.length : 0);
    char *message =
        memory_text(outcome ? outcome->message.data : NULL, outcome ? outcome->message.length : 0);

    if (!gathering->on_replies) /* a part of them would look like all */
        clear_parts(gathering);
    finish(gathering, error, code, message);
    free(code);
    free(message);
}

/* The request is over. */
static void end(struct hubbub_app *app, uint64_t number, int error)
{
    struct request request = requests_take(&app->requests, requests_find(&app->requests, number));

    if (error == HUBBUB_ERROR_TOO_LARGE)
        gathering_fail(request.gathering, error, NULL);
    else
        finish(request.gathering, error, "", "");
}

static void time_is_up(struct hubbub_app *app, struct app_timer *timer)
{
    const struct gathering *gathering = (const struct gathering *)timer;

    end(app, gathering->number, HUBBUB_ERROR_TIMEOUT);
}

/* -- what comes ------------------------------------------------------------------------------ */

/* The request of that number and kind, if there is one. */
static struct request *find_request(struct hubbub_app *app, uint64_t number, enum request_kind kind)
{
    struct request *request = requests_find(&app->requests, number);

    return request && request->kind == kind ? request : NULL;
}

/* Counts what the gathering has grown by; false when that was too much, and it has ended. */
static bool charge(struct hubbub_app *app, struct request *request, size_t before)
{
    struct gathering *gathering = request->gathering;

    requests_charge(&app->requests, request, weight(gathering) - before);
    if (weight(gathering) <= app->options.queue_bytes)
        return true;
    end(app, gathering->number, HUBBUB_ERROR_TOO_LARGE);
    return false;
}

static struct part *add_asked(struct gathering *gathering, struct bytes sid)
{
    struct part *part = add_part(gathering, sid);

    table_insert(&gathering->by_sid, part);
    return part;
}

int gathering_asked(struct hubbub_app *app, const struct wire_asked *asked)
{
    struct request *request = find_request(app, asked->number, REQUEST_QUESTION);
    struct wire_reader reader = {0};
    int count = wire_list_open(&reader, asked->sids);
    struct gathering *gathering;
    size_t before;

    if (count < 0)
        return ERROR_MALFORMED;
    if (!request)
        return 0;
    gathering = request->gathering;
    before = weight(gathering);
    for (int i = 0; i < count; i++) {
        struct bytes sid;
        struct part *part;

        if (wire_list_text(&reader, &sid) < 0)
            return ERROR_MALFORMED;
        part = find_part(gathering, sid);
        if (!part)
            part = add_asked(gathering, sid);
        if (!part->asked && !part->replied)
            gathering->waiting++;
        part->asked = true;
    }
    gathering->asked = true;
    requests_sent(request);
    if (charge(app, request, before) && gathering->waiting == 0)
        end(app, asked->number, 0);
    return 0;
}

int gathering_reply(struct hubbub_app *app, const struct wire_reply *reply)
{
    struct request *request = find_request(app, reply->number, REQUEST_QUESTION);
    struct gathering *gathering;
    struct part *part;
    size_t before;

    if (!request)
        return 0; /* it came too late */
    gathering = request->gathering;
    before = weight(gathering);
    part = find_part(gathering, reply->sid);
    if (part && part->replied)
        return 0;
    if (!part)
        part = add_asked(gathering, reply->sid);
    if (keep_list(gathering, part, reply->attachments, true) < 0)
        return ERROR_MALFORMED;
    part->arguments = keep_text(gathering, reply->arguments);
    part->replied = true;
    if (part->asked)
        gathering->waiting--;
    if (charge(app, request, before) && gathering->asked && gathering->waiting == 0)
        end(app, reply->number, 0);
    return 0;
}

int gathering_found(struct hubbub_app *app, const struct wire_found *found)
{
    struct request *request = find_request(app, found->number, REQUEST_FIND);
    struct gathering *gathering;
    struct part *part;
    size_t before;

    if (!request)
        return 0;
    gathering = request->gathering;
    before = weight(gathering);
    part = add_part(gathering, found->sid);
    part->from = keep_text(gathering, found->from);
    part->data = keep_text(gathering, found->data);
    part->address = keep_text(gathering, found->address);
    if (keep_list(gathering, part, found->rooms, false) < 0)
        return ERROR_MALFORMED;
    (void)charge(app, request, before);
    return 0;
}

void gathering_found_end(struct hubbub_app *app, const struct wire_found_end *found_end)
{
    if (find_request(app, found_end->number, REQUEST_FIND))
        end(app, found_end->number, 0);
}

/* -- life ------------------------------------------------------------------------------------ */

static struct gathering *new_gathering(struct hubbub_app *app, void *user)
{
    struct gathering *gathering = memory_zero(1, sizeof *gathering);

    gathering->app = app;
    gathering->user = user;
    table_init(&gathering->by_sid, key_of);
    gathering->timer.due = time_is_up;
    keep_text(gathering, BYTES("")); /* so that there are always texts to point to */
    return gathering;
}

struct gathering *gathering_new_question(struct hubbub_app *app, hubbub_replies_callback *callback,
                                         void *user)
{
    struct gathering *gathering = new_gathering(app, user);

    gathering->on_replies = callback;
    return gathering;
}

struct gathering *gathering_new_find(struct hubbub_app *app, hubbub_findings_callback *callback, void *user)
{
    struct gathering *gathering = new_gathering(app, user);

    gathering->on_findings = callback;
    return gathering;
}

void gathering_begin(struct gathering *gathering, uint64_t number, uint64_t timeout)
{
    gathering->number = number;
    if (gathering->on_replies)
        app_timer_start(gathering->app, &gathering->timer, timeout);
}

void gathering_again(struct gathering *gathering)
{
    clear_parts(gathering);
    buffer_clear(&gathering->numbers);
    gathering->texts.length = 1;
    gathering->waiting = 0;
}

void gathering_free(struct gathering *gathering)
{
    if (!gathering)
        return;
    timer_wheel_cancel(&gathering->timer.wheel);
    clear_parts(gathering);
    buffer_done(&gathering->texts);
    buffer_done(&gathering->parts);
    buffer_done(&gathering->numbers);
    free(gathering);
}
