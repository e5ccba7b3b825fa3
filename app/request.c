/*
 * The ring of requests without an outcome; see request.h.  Every event that is not volatile is one: an event
 * that was handed to a router which then crashed before its disk had it is sent again, and counts once, by
 * its number.
 */
#include "app/request.h"

#include "app/app.h"
#include "app/gathering.h"
#include "common/memory.h"

#include <stdlib.h>

enum {
    FIRST_SIZE = 64,
    OVERHEAD = sizeof(struct request) + 16, /* the ring's slot, and the allocation's own */
};

void requests_init(struct requests *requests)
{
    *requests = (struct requests){
        .ring = memory_zero(FIRST_SIZE, sizeof *requests->ring), .mask = FIRST_SIZE - 1, .first = 1};
}

void requests_done(struct hubbub_app *app)
{
    struct requests *requests = &app->requests;

    /* The callbacks may ask anew, without end; nothing of that is kept. */
    app->options.queue_bytes = 0;
    for (uint64_t number = requests->first; number <= requests->last; number++) {
        struct request *found = requests_find(requests, number), request;

        if (!found)
            continue;
        request = requests_take(requests, found);
        if (request.gathering)
            gathering_fail(request.gathering, HUBBUB_ERROR_GONE, NULL);
        else if (request.callback)
            request.callback(
                request.user,
                &(struct hubbub_outcome){.error = HUBBUB_ERROR_GONE, .code = "", .message = "", .id = ""});
    }
    free(requests->ring);
    *requests = (struct requests){0};
}

static void grow(struct requests *requests)
{
    uint32_t mask = requests->mask * 2 + 1;
    struct request *ring = memory_zero((size_t)mask + 1, sizeof *ring);

    for (uint64_t n = requests->first; n <= requests->last; n++)
        ring[n & mask] = requests->ring[n & requests->mask];
    free(requests->ring);
    requests->ring = ring;
    requests->mask = mask;
}

uint64_t requests_ask(struct hubbub_app *app, const struct request *request,
                      void (*put)(struct wire_batch *batch, const void *record), const void *record)
{
    struct requests *requests = &app->requests;
    struct wire_batch *batch = link_batch(&app->link);
    struct request *kept;
    size_t mark;

    if (requests->bytes >= app->options.queue_bytes)
        return 0;
    if (!batch) {
        batch = &app->link.scratch;
        wire_batch_clear(batch);
    }
    mark = wire_batch_mark(batch);
    put(batch, record);
    if (requests->last + 1 - requests->first > requests->mask)
        grow(requests);
    kept = &requests->ring[++requests->last & requests->mask];
    *kept = *request;
    kept->length = (uint32_t)(batch->buffer.length - mark);
    kept->record = memory_text(batch->buffer.data + mark, kept->length);
    requests->bytes += kept->length + OVERHEAD;
    kept->charged = kept->length + OVERHEAD;
    if (batch != &app->link.scratch) {
        link_split(app);
        app_rouse(app);
    }
    return requests->last;
}

struct request *requests_find(struct requests *requests, uint64_t number)
{
    if (number < requests->first || number > requests->last)
        return NULL;

    struct request *request = &requests->ring[number & requests->mask];

    return request->kind == REQUEST_NONE ? NULL : request;
}

void requests_charge(struct requests *requests, struct request *request, size_t bytes)
{
    request->charged += bytes;
    requests->bytes += bytes;
}

void requests_sent(struct request *request)
{
    free(request->record);
    request->record = NULL;
}

struct request requests_take(struct requests *requests, struct request *request)
{
    struct request taken = *request;

    requests->bytes -= request->charged;
    free(request->record);
    *request = (struct request){0};
    while (requests->first <= requests->last &&
           requests->ring[requests->first & requests->mask].kind == REQUEST_NONE)
        requests->first++;
    taken.record = NULL;
    return taken;
}

/* Reads the list; memory is the caller's. */
static uint64_t *read_seqs(struct bytes list, size_t *count)
{
    struct wire_reader reader = {0};
    int n = wire_list_open(&reader, list);
    uint64_t *seqs = memory_new((n > 0 ? (size_t)n : 1) * sizeof *seqs);

    *count = 0;
    while ((int)*count < n && wire_list_u64(&reader, &seqs[*count]) == 0)
        ++*count;
    return seqs;
}

void request_tell(struct hubbub_app *app, const struct request *request, const struct wire_outcome *record)
{
    int error = record->error.length ? HUBBUB_ERROR_REFUSED : 0;
    struct hubbub_outcome outcome = {.error = error, .at = record->at};
    char *code, *message, *id;
    uint64_t *seqs;

    if (request->gathering) {
        gathering_fail(request->gathering, error ? error : HUBBUB_ERROR_GONE, record);
        return;
    }
    if (!request->callback) {
        if (error)
            app_log(app, HUBBUB_LOG_WARN, "the router refuses a %s: %.*s", wire_type_name(request->type),
                    BYTES_PRINTF(record->error));
        return;
    }
    outcome.code = code = memory_text(record->error.data, record->error.length);
    outcome.message = message = memory_text(record->message.data, record->message.length);
    outcome.id = id = memory_text(record->id.data, record->id.length);
    outcome.seqs = seqs = read_seqs(record->seqs, &outcome.seq_count);
    request->callback(request->user, &outcome);
    free(code);
    free(message);
    free(id);
    free(seqs);
}

void requests_refuse(struct hubbub_app *app, struct bytes code)
{
    struct requests *requests = &app->requests;
    uint64_t last = requests->last; /* what the callbacks ask is another matter */

    for (uint64_t number = requests->first; number <= last; number++) {
        struct request *found = requests_find(requests, number), request;

        if (!found)
            continue;
        request = requests_take(requests, found);
        request_tell(app, &request, &(struct wire_outcome){.number = number, .error = code});
    }
}

void requests_send_again(struct hubbub_app *app)
{
    struct requests *requests = &app->requests;

    for (uint64_t number = requests->first; number <= requests->last; number++) {
        struct request *request = requests_find(requests, number);

        if (!request || !request->record)
            continue;
        if (request->gathering)
            gathering_again(request->gathering);
        wire_batch_append_encoded(&app->link.batch, bytes_make(request->record, request->length));
        link_split(app);
    }
}
