/*
 * Tasks and the functions that answer them; see task.h and hubbub.h.  The surprise: an answer of an earlier
 * link is not sent on the new one by itself, but when the router asks again.  If it doesn't, it has the
 * answer.
 */
#include "app/task.h"

#include "app/app.h"
#include "common/memory.h"
#include "proto/json_text.h"
#include "proto/name.h"
#include "proto/refusal.h"
#include "proto/utf8.h"

#include <stdlib.h>

enum {
    CODE_MAX = 64,
    MESSAGE_MAX = 4096,
    ANSWERS_FACTOR =
        4, /* so many times queue_bytes may answers take: a full queue of requests does not stop them */
};

static struct bytes key_of(const void *entry)
{
    const struct task *task = entry;

    return bytes_make((const char *)&task->number, sizeof task->number);
}

void tasks_init(struct tasks *tasks)
{
    table_init(&tasks->by_number, key_of);
    tasks->end = &tasks->first;
}

static void give_to(struct task *task, struct hubbub_socket *socket)
{
    if (!socket)
        return;
    task->socket = socket;
    task->older = socket->tasks;
    if (task->older)
        task->older->newer = task;
    socket->tasks = task;
}

static void take_from_socket(struct task *task)
{
    if (!task->socket)
        return;
    if (task->older)
        task->older->newer = task->newer;
    if (task->newer)
        task->newer->older = task->older;
    else
        task->socket->tasks = task->older;
    task->newer = task->older = NULL;
    task->socket = NULL;
}

static void drop(struct tasks *tasks, struct task *task)
{
    take_from_socket(task);
    table_remove(&tasks->by_number, task);
    slot_table_remove(&tasks->by_handle, task->handle);
    tasks->bytes -= task->record.length;
    free((char *)task->record.data);
    free(task);
}

void tasks_done(struct tasks *tasks)
{
    uint32_t cursor = 0;
    struct task *task;

    while ((task = slot_table_next(&tasks->by_handle, &cursor)))
        drop(tasks, task);
    table_done(&tasks->by_number);
    slot_table_done(&tasks->by_handle);
}

struct task *tasks_by_number(const struct tasks *tasks, uint64_t number)
{
    return table_find(&tasks->by_number, bytes_make((const char *)&number, sizeof number));
}

struct task *tasks_by_handle(const struct tasks *tasks, uint64_t handle)
{
    return slot_table_find(&tasks->by_handle, handle);
}

struct task *tasks_add(struct hubbub_app *app, uint64_t number, enum task_kind kind,
                       struct hubbub_socket *socket)
{
    struct task *task = memory_zero(1, sizeof *task);

    task->number = number;
    task->kind = kind;
    task->serial = app->link.serial;
    give_to(task, socket);
    task->handle = slot_table_add(&app->tasks.by_handle, task);
    table_insert(&app->tasks.by_number, task);
    return task;
}

/* Its record is in the batch of this turn. */
static void enqueue(struct hubbub_app *app, struct task *task)
{
    task->batch = link_batch_number(&app->link);
    task->next = NULL;
    *app->tasks.end = task;
    app->tasks.end = &task->next;
    link_split(app);
}

void task_ask_again(struct hubbub_app *app, struct task *task)
{
    struct wire_batch *batch = link_batch(&app->link);

    task->serial = app->link.serial;
    if (task->state != TASK_ANSWERED || task->batch || !batch)
        return;
    wire_batch_append_encoded(batch, task->record);
    enqueue(app, task);
}

void task_answer(struct hubbub_app *app, struct task *task,
                 void (*put)(struct wire_batch *batch, uint64_t number, const void *record),
                 const void *record)
{
    struct wire_batch *batch = task->serial == app->link.serial ? link_batch(&app->link) : NULL;
    bool now = batch && link_leased(app);
    size_t mark;

    if (!now) {
        batch = &app->link.scratch;
        wire_batch_clear(batch);
    }
    mark = wire_batch_mark(batch);
    put(batch, task->number, record);
    task->record.length = batch->buffer.length - mark;
    task->record.data = memory_text(batch->buffer.data + mark, task->record.length);
    task->state = TASK_ANSWERED;
    app->tasks.bytes += task->record.length;
    if (now) {
        enqueue(app, task);
        app_rouse(app);
    }
}

void tasks_acknowledged(struct tasks *tasks, uint64_t batch)
{
    struct task *task;

    while ((task = tasks->first) && task->batch <= batch) {
        tasks->first = task->next;
        drop(tasks, task);
    }
    if (!tasks->first)
        tasks->end = &tasks->first;
}

void tasks_unlink(struct tasks *tasks)
{
    for (struct task *task = tasks->first; task; task = task->next)
        task->batch = 0;
    tasks->first = NULL;
    tasks->end = &tasks->first;
}

static void dequeue(struct tasks *tasks, struct task *task)
{
    struct task **at = &tasks->first;

    if (!task->batch)
        return;
    while (*at != task)
        at = &(*at)->next;
    *at = task->next;
    if (tasks->end == &task->next)
        tasks->end = at;
}

void tasks_forget_socket(struct tasks *tasks, struct hubbub_socket *socket, bool taken_away)
{
    struct task *task;

    while ((task = socket->tasks)) {
        take_from_socket(task);
        if (taken_away) {
            dequeue(tasks, task);
            drop(tasks, task);
        }
    }
}

void tasks_prune(struct tasks *tasks, uint64_t serial)
{
    uint32_t cursor = 0;
    struct task *task;

    while ((task = slot_table_next(&tasks->by_handle, &cursor)))
        if (task->serial != serial && !(task->state == TASK_RUNNING))
            drop(tasks, task);
}

/* -- what answers say ------------------------------------------------------------------------ */

static void put_handled(struct wire_batch *batch, uint64_t number, const void *record)
{
    struct wire_handled handled = *(const struct wire_handled *)record;

    handled.task = number;
    wire_put_handled(batch, &handled);
}

static void put_verdict(struct wire_batch *batch, uint64_t number, const void *record)
{
    struct wire_verdict verdict = *(const struct wire_verdict *)record;

    verdict.task = number;
    wire_put_verdict(batch, &verdict);
}

void task_finish_call(struct hubbub_app *app, struct task *task, struct bytes arguments)
{
    task_answer(
        app, task, put_handled,
        &(struct wire_handled){.answered = arguments.data && task->wants_answer, .arguments = arguments});
}

/* The task of that handle, if it waits for such an answer. */
static int find(struct hubbub_app *app, uint64_t handle, enum task_kind kind, struct task **out)
{
    struct task *task;

    if (!app)
        return HUBBUB_ERROR_ARGUMENT;
    task = tasks_by_handle(&app->tasks, handle);
    if (!task || task->state == TASK_ANSWERED)
        return HUBBUB_ERROR_NOT_FOUND;
    if (task->kind != kind)
        return HUBBUB_ERROR_STATE;
    *out = task;
    return 0;
}

int hubbub_later(struct hubbub_app *app, uint64_t handle)
{
    struct task *task;
    int result = find(app, handle, TASK_CALL, &task);

    if (!result)
        task->state = TASK_OPEN;
    return result;
}

/* Checks arguments and attachments, and builds the list of the latter. */
static int check(struct hubbub_app *app, const char *arguments, const struct hubbub_blob *attachments,
                 size_t count, struct bytes *text, struct bytes *blobs)
{
    size_t total = 0;
    int result;

    if (count > HUBBUB_ATTACHMENTS_MAX || (count && !attachments))
        return HUBBUB_ERROR_ARGUMENT;
    wire_list_clear(&app->link.list);
    for (size_t i = 0; i < count; i++) {
        if (attachments[i].length && !attachments[i].data)
            return HUBBUB_ERROR_ARGUMENT;
        total += attachments[i].length;
        if (attachments[i].length > app->link.max_event || total > app->link.max_event)
            return HUBBUB_ERROR_TOO_LARGE;
        wire_list_put_blob(&app->link.list, bytes_make(attachments[i].data, attachments[i].length));
    }
    result = app_check_arguments(app, arguments, count, text);
    if (result)
        return result;
    if (text->length + total > app->link.max_event)
        return HUBBUB_ERROR_TOO_LARGE;
    *blobs = count ? wire_list_finish(&app->link.list) : (struct bytes){0};
    return app->tasks.bytes > app->options.queue_bytes * ANSWERS_FACTOR ? HUBBUB_ERROR_BUSY : 0;
}

int hubbub_answer_binary(struct hubbub_app *app, uint64_t handle, const char *arguments,
                         const struct hubbub_blob *attachments, size_t count)
{
    struct wire_handled handled = {.answered = 1};
    struct task *task;
    int result = find(app, handle, TASK_CALL, &task);

    if (result)
        return result;
    result = check(app, arguments, attachments, count, &handled.arguments, &handled.attachments);
    if (result)
        return result;
    if (!task->wants_answer)
        handled = (struct wire_handled){0};
    task_answer(app, task, put_handled, &handled);
    return 0;
}

int hubbub_answer(struct hubbub_app *app, uint64_t handle, const char *arguments)
{
    return hubbub_answer_binary(app, handle, arguments, NULL, 0);
}

int hubbub_done(struct hubbub_app *app, uint64_t handle)
{
    struct task *task;
    int result = find(app, handle, TASK_CALL, &task);

    if (!result)
        task_finish_call(app, task, (struct bytes){0});
    return result;
}

int hubbub_pass(struct hubbub_app *app, uint64_t handle)
{
    struct task *task;
    int result = find(app, handle, TASK_JUDGE, &task);

    if (!result)
        task_answer(app, task, put_verdict, &(struct wire_verdict){.verdict = WIRE_VERDICT_PASS});
    return result;
}

int hubbub_change(struct hubbub_app *app, uint64_t handle, const char *arguments,
                  const struct hubbub_blob *attachments, size_t count)
{
    struct wire_verdict verdict = {.verdict = WIRE_VERDICT_CHANGE};
    struct task *task;
    int result = find(app, handle, TASK_JUDGE, &task);

    if (result)
        return result;
    result = check(app, arguments, attachments, count, &verdict.arguments, &verdict.attachments);
    if (!result)
        task_answer(app, task, put_verdict, &verdict);
    return result;
}

int hubbub_refuse(struct hubbub_app *app, uint64_t handle, const char *code, const char *message)
{
    struct wire_verdict verdict = {.verdict = WIRE_VERDICT_REFUSE,
                                   .code = bytes_from_text(code ? code : refusal_text(REFUSAL_FORBIDDEN)),
                                   .message = bytes_from_text(message ? message : "not allowed")};
    struct task *task;
    int result = find(app, handle, TASK_JUDGE, &task);

    if (result)
        return result;
    if (!name_valid(verdict.code, CODE_MAX) || verdict.message.length > MESSAGE_MAX)
        return HUBBUB_ERROR_ARGUMENT;
    if (!utf8_valid(verdict.message))
        return HUBBUB_ERROR_JSON;
    task_answer(app, task, put_verdict, &verdict);
    return 0;
}
