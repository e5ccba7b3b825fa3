/*
 * Questions and their answers; see question.h.  The dispatchers and the journal's hand-back call it.  Its one
 * surprising rule: the number that a client is asked under stays below 2^31, since clients in Java read it as
 * an int.
 */
#include "router/question.h"

#include "common/memory.h"
#include "router/audience.h"
#include "router/deliver.h"
#include "router/emit.h"

#include <stdlib.h>

enum { ACK_MAX = INT32_MAX };

/* A socket that was asked. */
struct asked {
    char sid[SID_LENGTH];
    bool answered;
};

/* Its texts lie in data: event, arguments, attachments, and the lists of the audience. */
struct question {
    struct ticket ticket; /* must stay first; in use until it is back */
    struct router *router;
    struct asker asker; /* held */
    uint64_t key[2];    /* the backend's incarnation and number */
    uint64_t ack;       /* 0 until it is asked */
    uint64_t timeout;   /* ms */
    struct loop_timer timer;
    struct audience audience; /* until it is asked */
    struct bytes event, arguments, attachments;
    struct asked *asked; /* sorted by sid */
    size_t count, capacity, left;
    /* Nobody is waited for any more, but the backend may not have heard so, and ask again on a new link. */
    bool over;
    uint64_t told_link, told; /* it has, when it has read that batch */
    struct question *previous, *next;
    char data[];
};

struct questions {
    struct table by_ack; /* those that were asked */
    struct table by_key; /* all */
    uint64_t last_ack;
    uint64_t sockets; /* that all of them wait for */
    struct question *first_over, *last_over;
    uint32_t over;
};

static struct bytes ack_key(const void *entry)
{
    const struct question *question = entry;

    return bytes_make((const char *)&question->ack, sizeof question->ack);
}

static struct bytes number_key(const void *entry)
{
    const struct question *question = entry;

    return bytes_make((const char *)question->key, sizeof question->key);
}

struct questions *questions_new(void)
{
    struct questions *questions = memory_zero(1, sizeof *questions);

    table_init(&questions->by_ack, ack_key);
    table_init(&questions->by_key, number_key);
    return questions;
}

static void unlink_over(struct questions *questions, struct question *question)
{
    *(question->previous ? &question->previous->next : &questions->first_over) = question->next;
    *(question->next ? &question->next->previous : &questions->last_over) = question->previous;
    questions->over--;
}

/* Nobody is waited for. */
static void stop_waiting(struct questions *questions, struct question *question)
{
    table_remove(&questions->by_ack, question);
    questions->sockets -= question->count;
}

static void end_question(struct question *question)
{
    struct questions *questions = question->router->questions;

    loop_timer_stop(&question->timer);
    if (question->over)
        unlink_over(questions, question);
    else if (question->ack)
        stop_waiting(questions, question);
    table_remove(&questions->by_key, question);
    asker_release(&question->asker);
    free(question->asked);
    free(question);
}

/* Ends those of a backend; NULL: all. */
static void end_all(struct questions *questions, const struct backend *backend)
{
    struct question **ended, *question, *next;
    uint32_t count = 0, cursor = 0;

    for (question = questions->first_over; question; question = next) {
        next = question->next;
        if (!backend || question->asker.backend == backend)
            end_question(question);
    }
    if (questions->by_ack.count == 0)
        return;
    ended = memory_new(questions->by_ack.count * sizeof(struct question *));
    while ((question = table_next(&questions->by_ack, &cursor)))
        if (!backend || question->asker.backend == backend)
            ended[count++] = question;
    while (count)
        end_question(ended[--count]);
    free(ended);
}

void questions_free(struct questions *questions)
{
    end_all(questions, NULL);
    table_done(&questions->by_ack);
    table_done(&questions->by_key); /* what is left there is with the journal, and not given back any more */
    free(questions);
}

static bool is_told(const struct question *question)
{
    const struct wire_flow *flow = &question->asker.backend->peer.flow;

    return flow->link == question->told_link && flow->acknowledged >= question->told;
}

/* Kept until the backend has read the last answer, or has had the time to ask again. */
static void finish_question(struct question *question)
{
    struct questions *questions = question->router->questions;
    const struct wire_flow *flow = &question->asker.backend->peer.flow;

    stop_waiting(questions, question);
    question->over = true;
    question->told_link = flow->link;
    question->told = flow->sent + 1;
    question->previous = questions->last_over;
    *(questions->last_over ? &questions->last_over->next : &questions->first_over) = question;
    questions->last_over = question;
    questions->over++;
    loop_timer_start(&question->timer, 2 * (uint64_t)question->router->settings->dead);
    while (questions->over > QUESTIONS_MAX || is_told(questions->first_over))
        end_question(questions->first_over);
}

static void on_timeout(void *arg)
{
    struct question *question = arg;

    if (question->over) {
        end_question(question);
        return;
    }
    question->router->counters.questions_expired++;
    finish_question(question);
}

/* -- asking ----------------------------------------------------------------------------------- */

static void put_asked(struct router *router, const struct question *question)
{
    struct wire_batch *out = backend_out(question->asker.backend);
    struct wire_list sids = {0};

    if (!out)
        return;
    for (size_t i = 0; i < question->count; i++)
        wire_list_put_text(&sids, bytes_make(question->asked[i].sid, SID_LENGTH));
    wire_put_asked(out,
                   &(struct wire_asked){.number = question->asker.number,
                                        .sids = sids.count ? wire_list_finish(&sids) : (struct bytes){0}});
    wire_list_done(&sids);
    backend_split(router, question->asker.backend);
}

/* Only a gateway that can be told now can ask. */
static void note_socket(struct router *router, struct session *session, void *argument)
{
    struct question *question = argument;

    (void)router;
    if (!link_out(session->link))
        return;
    if (question->count == question->capacity) {
        question->capacity = question->capacity ? question->capacity * 2 : 4;
        question->asked = memory_resize(question->asked, question->capacity * sizeof *question->asked);
    }
    question->asked[question->count].answered = false;
    memcpy(question->asked[question->count++].sid, session->pid, SID_LENGTH);
}

static int by_sid(const void *a, const void *b)
{
    return memcmp(a, b, SID_LENGTH);
}

static uint64_t next_ack(struct questions *questions)
{
    do
        questions->last_ack = questions->last_ack % ACK_MAX + 1;
    while (table_find(&questions->by_ack,
                      bytes_make((const char *)&questions->last_ack, sizeof questions->last_ack)));
    return questions->last_ack;
}

static void put_part(struct question *question, uint32_t part, struct bytes payload)
{
    struct router *router = question->router;
    struct wire_list list = {0};
    struct journal_message fields = {.pos = router->released, .attachments = question->attachments};
    struct room *room = room_hold(audience_address(router, &question->audience, part, &list, &fields));
    struct delivery delivery = {.fields = &fields, .room = room, .payload = payload, .ack = question->ack};

    fields.namespace = room->namespace->name;
    fields.room = room_name(room);
    delivery.sender = deliver_sender(router, &fields);
    deliver(router, &delivery);
    room_release(&router->rooms, room);
    wire_list_done(&list);
}

static void put_parts(struct question *question)
{
    struct journal_message fields = {.event = question->event, .arguments = question->arguments};
    struct buffer payload = {0};

    message_append_payload(&payload, &fields, NULL);
    for (uint32_t i = 0; i < audience_parts(&question->audience); i++)
        put_part(question, i, buffer_bytes(&payload));
    buffer_done(&payload);
}

static void ask(struct question *question)
{
    struct router *router = question->router;
    struct questions *questions = router->questions;

    audience_visit(router, &question->audience, AUDIENCE_NOW, note_socket, question);
    question->left = question->count;
    if (question->count)
        qsort(question->asked, question->count, sizeof *question->asked, by_sid);
    question->ack = next_ack(questions);
    table_insert(&questions->by_ack, question);
    questions->sockets += question->count;
    router->counters.questions++;
    put_asked(router, question);
    put_parts(question);
    audience_done(router, &question->audience);
    if (question->count == 0) {
        end_question(question);
        return;
    }
    loop_timer_init(&question->timer, router->loop, on_timeout, question);
    loop_timer_start(&question->timer, question->timeout);
}

void question_release(struct router *router, struct ticket *ticket)
{
    struct question *question = (struct question *)ticket;

    if (router->closing || question->asker.backend->peer.removed) {
        audience_done(router, &question->audience);
        end_question(question);
        return;
    }
    ask(question);
}

static struct bytes keep(char **at, struct bytes bytes)
{
    struct bytes kept = bytes_make(*at, bytes.length);

    if (bytes.length)
        memcpy(*at, bytes.data, bytes.length);
    *at += bytes.length;
    return kept;
}

/* With its texts; refused, or the backend cut off, and NULL when it can't be asked. */
static struct question *question_new(struct router *router, const struct asker *asker,
                                     const struct wire_question *record)
{
    struct question *question =
        memory_zero(1, sizeof *question + record->event.length + record->arguments.length +
                           record->attachments.length + record->rooms.length + record->except.length);
    char *at = question->data;
    struct bytes rooms, except;
    enum refusal_code code;
    const char *message;

    question->router = router;
    question->event = keep(&at, record->event);
    question->arguments = keep(&at, record->arguments);
    question->attachments = keep(&at, record->attachments);
    rooms = keep(&at, record->rooms);
    except = keep(&at, record->except);
    if (!emit_check_event(router, asker, record->event, record->arguments, record->attachments)) {
        free(question);
        return NULL;
    }
    if (audience_read(router, record->namespace, rooms, except, &question->audience, &code, &message) < 0) {
        outcome_refuse(router, asker, code, message);
        free(question);
        return NULL;
    }
    question->asker = asker_hold(asker);
    question->timeout = record->timeout;
    return question;
}

void question_ask(struct router *router, struct backend *backend, const struct wire_question *record)
{
    const struct asker asker = {.backend = backend, .number = record->number};
    struct questions *questions = router->questions;
    const uint64_t key[2] = {backend->incarnation, record->number};
    struct question *question = table_find(&questions->by_key, bytes_make((const char *)key, sizeof key));

    if (!backend_serves(backend, record->namespace)) {
        backend_cut(router, backend, BACKEND_CUT_NAMESPACE);
        return;
    }
    if (question) { /* asked again on a new link */
        if (question->ack)
            put_asked(router, question);
        return;
    }
    if (record->timeout == 0 || record->timeout > QUESTION_TIMEOUT_MAX) {
        outcome_refuse(router, &asker, REFUSAL_BAD_REQUEST, "a timeout is 1 ms to an hour");
        return;
    }
    if (router_busy(router) || questions->by_key.count - questions->over >= QUESTIONS_MAX ||
        questions->sockets >= QUESTION_SOCKETS_MAX) {
        outcome_refuse(router, &asker, REFUSAL_BUSY, NULL);
        return;
    }
    question = question_new(router, &asker, record);
    if (!question)
        return;
    memcpy(question->key, key, sizeof key);
    table_insert(&questions->by_key, question);
    if (router->waiting == 0)
        ask(question);
    else
        router_submit_alone(router, &question->ticket, TICKET_QUESTION);
}

/* -- answers ---------------------------------------------------------------------------------- */

/* Whether it was waited for. */
static bool take_answer(struct router *router, const struct session *session,
                        const struct wire_response *record)
{
    const uint64_t ack = record->ack;
    struct question *question =
        table_find(&router->questions->by_ack, bytes_make((const char *)&ack, sizeof ack));
    struct asked *asked =
        question ? bsearch(session->pid, question->asked, question->count, sizeof *question->asked, by_sid)
                 : NULL;
    struct wire_batch *out;

    if (!asked || asked->answered)
        return false;
    asked->answered = true;
    if (--question->left == 0)
        finish_question(question);
    out = backend_out(question->asker.backend);
    if (out) {
        wire_put_reply(out, &(struct wire_reply){.number = question->asker.number,
                                                 .sid = session_sid(session),
                                                 .arguments = record->arguments,
                                                 .attachments = record->attachments});
        backend_split(router, question->asker.backend);
    }
    return true;
}

void question_response(struct router *router, struct gateway_link *link, const struct wire_response *record)
{
    const struct session *session = session_find(&link->sessions, record->socket);
    bool fits = record->arguments.length + record->attachments.length <= router->settings->max_event;

    if (session && fits && take_answer(router, session, record))
        router->counters.question_answers++;
    else
        router->counters.question_answers_dropped++;
    link_done(link, record->request);
}

void questions_forget(struct router *router, const struct backend *backend)
{
    end_all(router->questions, backend);
}
