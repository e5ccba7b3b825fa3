/*
 * Targets, and the calls that use them up; see hubbub.h.  Lists are built as they go on the wire.  The
 * surprise: a target that was used up keeps its memory until the end of the turn, so that a second use of it
 * is an error and no crash; then the next one takes it over, buffers and all.
 */
#include "app/target.h"

#include "app/app.h"
#include "app/gathering.h"
#include "common/memory.h"
#include "proto/name.h"
#include "proto/rules.h"
#include "proto/socketio.h"
#include "proto/utf8.h"

#include <stdlib.h>

enum {
    SPARE_MAX = 64,
    TIMEOUT_MAX_MS = 3600 * 1000,
};

/* What is said beside whom it is for, and so goes with some calls only. */
enum manner {
    MANNER_CLASS = 1, /* class, id, meta */
    MANNER_ATTACHMENTS = 2,
    MANNER_OUTCOME = 4,
    MANNER_TIMEOUT = 8,
};

struct hubbub_target {
    struct hubbub_app *app; /* NULL: the one that nothing could be made for */
    struct hubbub_target *next;
    struct buffer name_space, id;
    struct wire_list rooms, except, attachments;
    size_t attachment_bytes;
    struct buffer sid; /* of hubbub_self() and hubbub_broadcast(): the socket may go before its use */
    unsigned manners;  /* enum manner, those that were named */
    enum wire_send_class class;
    uint64_t flags, timeout;
    hubbub_outcome_callback *callback;
    void *user;
    int error; /* the first thing that was wrong */
    bool used;
};

/* No app to keep it: what is wrong with it is all there is to it, so nobody ever writes to it. */
static struct hubbub_target nothing = {.error = HUBBUB_ERROR_ARGUMENT};

static void spoil(struct hubbub_target *target, int error)
{
    if (target->app && !target->error)
        target->error = error;
}

/* A target to say more about; NULL when there is no use. */
static bool open_to(struct hubbub_target *target)
{
    return target && target->app && !target->used && !target->error;
}

static struct hubbub_target *give_back(struct hubbub_target *target)
{
    return target ? target : &nothing;
}

static struct hubbub_target *new_target(struct hubbub_app *app, struct bytes name_space)
{
    struct hubbub_target *target = app->spare;

    if (target) {
        app->spare = target->next;
        app->spare_count--;
    } else {
        target = memory_zero(1, sizeof *target);
    }
    target->app = app;
    target->next = NULL;
    buffer_clear(&target->name_space);
    buffer_append_bytes(&target->name_space, name_space);
    buffer_clear(&target->id);
    wire_list_clear(&target->rooms);
    wire_list_clear(&target->except);
    wire_list_clear(&target->attachments);
    target->attachment_bytes = 0;
    buffer_clear(&target->sid);
    target->manners = 0;
    target->class = WIRE_SEND_LOGGED;
    target->flags = 0;
    target->timeout = HUBBUB_ASK_TIMEOUT_MS;
    target->callback = NULL;
    target->user = NULL;
    target->error = 0;
    target->used = false;
    return target;
}

static void use_up(struct hubbub_target *target)
{
    target->used = true;
    target->next = target->app->spent;
    target->app->spent = target;
}

static void really_free(struct hubbub_target *target)
{
    buffer_done(&target->name_space);
    buffer_done(&target->id);
    buffer_done(&target->sid);
    wire_list_done(&target->rooms);
    wire_list_done(&target->except);
    wire_list_done(&target->attachments);
    free(target);
}

void targets_sweep(struct hubbub_app *app)
{
    struct hubbub_target *target;

    while ((target = app->spent)) {
        app->spent = target->next;
        if (app->spare_count >= SPARE_MAX) {
            really_free(target);
            continue;
        }
        target->next = app->spare;
        app->spare = target;
        app->spare_count++;
    }
}

void targets_done(struct hubbub_app *app)
{
    struct hubbub_target *target;

    targets_sweep(app);
    while ((target = app->spare)) {
        app->spare = target->next;
        really_free(target);
    }
}

void hubbub_target_free(struct hubbub_target *target)
{
    if (target && target->app && !target->used)
        use_up(target);
}

/* -- whom ------------------------------------------------------------------------------------ */

struct hubbub_target *hubbub_of(struct hubbub_app *app, const char *name)
{
    struct hubbub_target *target;

    if (!app)
        return &nothing;
    target = new_target(app, bytes_from_text(name));
    if (!name || !namespace_name_valid(bytes_from_text(name)) ||
        !served_find(&app->namespaces, bytes_from_text(name)))
        spoil(target, HUBBUB_ERROR_ARGUMENT);
    return target;
}

static struct hubbub_target *of_socket(struct hubbub_socket *socket)
{
    struct hubbub_target *target;

    if (!socket)
        return &nothing;
    target = new_target(socket->app, bytes_from_text(socket->name_space));
    buffer_append_bytes(&target->sid, socket->sid);
    if (socket->state == SOCKET_CONNECTING)
        spoil(target, HUBBUB_ERROR_STATE);
    else if (!socket_usable(socket))
        spoil(target, HUBBUB_ERROR_GONE);
    return target;
}

struct hubbub_target *hubbub_broadcast(struct hubbub_socket *socket)
{
    struct hubbub_target *target = of_socket(socket);

    if (target->app)
        wire_list_put_text(&target->except, socket->sid);
    return target;
}

struct hubbub_target *hubbub_self(struct hubbub_socket *socket)
{
    struct hubbub_target *target = of_socket(socket);

    if (target->app)
        wire_list_put_text(&target->rooms, socket->sid);
    return target;
}

static struct hubbub_target *add_name(struct hubbub_target *target, struct wire_list *list, const char *name)
{
    if (!open_to(target))
        return give_back(target);
    if (!name || !room_name_valid(bytes_from_text(name)) || list->count == TARGET_NAMES_MAX)
        spoil(target, HUBBUB_ERROR_ARGUMENT);
    else
        wire_list_put_text(list, bytes_from_text(name));
    return target;
}

struct hubbub_target *hubbub_to(struct hubbub_target *target, const char *room)
{
    return add_name(target, target ? &target->rooms : NULL, room);
}

struct hubbub_target *hubbub_except(struct hubbub_target *target, const char *room)
{
    return add_name(target, target ? &target->except : NULL, room);
}

/* -- in which manner ------------------------------------------------------------------------- */

static struct hubbub_target *set_class(struct hubbub_target *target, enum wire_send_class class)
{
    if (!open_to(target))
        return give_back(target);
    if (target->class != WIRE_SEND_LOGGED && target->class != class)
        spoil(target, HUBBUB_ERROR_ARGUMENT);
    target->class = class;
    target->manners |= MANNER_CLASS;
    return target;
}

struct hubbub_target *hubbub_volatile(struct hubbub_target *target)
{
    return set_class(target, WIRE_SEND_VOLATILE);
}

struct hubbub_target *hubbub_archived(struct hubbub_target *target)
{
    return set_class(target, WIRE_SEND_ARCHIVED);
}

struct hubbub_target *hubbub_id(struct hubbub_target *target, const char *id)
{
    struct bytes text = bytes_from_text(id);

    if (!open_to(target))
        return give_back(target);
    if (text.length < DEDUP_MIN || !name_valid(text, DEDUP_MAX)) {
        spoil(target, HUBBUB_ERROR_ARGUMENT);
        return target;
    }
    buffer_clear(&target->id);
    buffer_append_bytes(&target->id, text);
    target->manners |= MANNER_CLASS;
    return target;
}

struct hubbub_target *hubbub_meta(struct hubbub_target *target)
{
    if (!open_to(target))
        return give_back(target);
    target->flags |= WIRE_SEND_META;
    target->manners |= MANNER_CLASS;
    return target;
}

struct hubbub_target *hubbub_attach(struct hubbub_target *target, const void *data, size_t length)
{
    if (!open_to(target))
        return give_back(target);
    if ((length && !data) || target->attachments.count == HUBBUB_ATTACHMENTS_MAX)
        spoil(target, HUBBUB_ERROR_ARGUMENT);
    else if (length > target->app->link.max_event - target->attachment_bytes)
        spoil(target, HUBBUB_ERROR_TOO_LARGE);
    else {
        wire_list_put_blob(&target->attachments, bytes_make(data, length));
        target->attachment_bytes += length;
    }
    target->manners |= MANNER_ATTACHMENTS;
    return target;
}

struct hubbub_target *hubbub_on_outcome(struct hubbub_target *target, hubbub_outcome_callback *callback,
                                        void *user)
{
    if (!open_to(target))
        return give_back(target);
    if (!callback)
        spoil(target, HUBBUB_ERROR_ARGUMENT);
    target->callback = callback;
    target->user = user;
    target->manners |= MANNER_OUTCOME;
    return target;
}

struct hubbub_target *hubbub_timeout(struct hubbub_target *target, uint64_t milliseconds)
{
    if (!open_to(target))
        return give_back(target);
    if (milliseconds == 0 || milliseconds > TIMEOUT_MAX_MS)
        spoil(target, HUBBUB_ERROR_ARGUMENT);
    target->timeout = milliseconds;
    target->manners |= MANNER_TIMEOUT;
    return target;
}

/* -- the calls ------------------------------------------------------------------------------- */

/* Whether it is for everybody, or its socket is still this backend's. */
static bool socket_stays(const struct hubbub_target *target)
{
    return target->sid.length == 0 ||
           socket_usable(sockets_find(&target->app->sockets, buffer_bytes(&target->sid)));
}

/* Uses it up.  0, or why nothing can be done with it; manners: those that this call takes. */
static int begin(struct hubbub_target *target, unsigned manners)
{
    if (!target || !target->app)
        return HUBBUB_ERROR_ARGUMENT;
    if (target->used)
        return HUBBUB_ERROR_STATE;
    use_up(target);
    if (target->error)
        return target->error;
    if (target->manners & ~manners)
        return HUBBUB_ERROR_ARGUMENT;
    if (!socket_stays(target))
        return HUBBUB_ERROR_GONE;
    return 0;
}

static int check_event(struct hubbub_target *target, const char *event, const char *arguments,
                       struct bytes *out)
{
    struct bytes name = bytes_from_text(event);
    int result;

    if (name.length == 0 || name.length > SOCKETIO_NAME_MAX || socketio_name_reserved(name))
        return HUBBUB_ERROR_ARGUMENT;
    if (!utf8_valid(name))
        return HUBBUB_ERROR_JSON;
    result = app_check_arguments(target->app, arguments, target->attachments.count, out);
    if (result)
        return result;
    return out->length + target->attachment_bytes > target->app->link.max_event ? HUBBUB_ERROR_TOO_LARGE : 0;
}

static struct bytes attachments_of(struct hubbub_target *target)
{
    return target->attachments.count ? wire_list_finish(&target->attachments) : (struct bytes){0};
}

static void put_send(struct wire_batch *batch, const void *record)
{
    wire_put_send(batch, record);
}

static void put_question(struct wire_batch *batch, const void *record)
{
    wire_put_question(batch, record);
}

static void put_find(struct wire_batch *batch, const void *record)
{
    wire_put_find(batch, record);
}

static void put_move(struct wire_batch *batch, const void *record)
{
    wire_put_move(batch, record);
}

static void put_expel(struct wire_batch *batch, const void *record)
{
    wire_put_expel(batch, record);
}

/* Nothing is kept of it: dropped when it can't go out now. */
static void send_volatile(struct hubbub_app *app, const struct wire_send *send)
{
    struct wire_batch *batch = link_batch(&app->link);

    if (!batch || app->link.flow.unacknowledged_bytes + wire_batch_size(batch) > app->options.queue_bytes)
        return;
    wire_put_send(batch, send);
    link_split(app);
    app_rouse(app);
}

static int ask(struct hubbub_target *target, enum wire_type type,
               void (*put)(struct wire_batch *batch, const void *record), const void *record)
{
    struct request request = {
        .kind = REQUEST_OUTCOME, .type = (uint8_t)type, .callback = target->callback, .user = target->user};

    return requests_ask(target->app, &request, put, record) ? 0 : HUBBUB_ERROR_BUSY;
}

int hubbub_emit(struct hubbub_target *target, const char *event, const char *arguments)
{
    struct wire_send send = {.event = bytes_from_text(event)};
    int result = begin(target, MANNER_CLASS | MANNER_ATTACHMENTS | MANNER_OUTCOME);

    if (!result)
        result = check_event(target, event, arguments, &send.arguments);
    if (result)
        return result;
    if ((target->class == WIRE_SEND_ARCHIVED && target->rooms.count == 0) ||
        (target->class == WIRE_SEND_VOLATILE && (target->callback || target->id.length)))
        return HUBBUB_ERROR_ARGUMENT;
    send.number = requests_next(&target->app->requests);
    send.namespace = buffer_bytes(&target->name_space);
    send.rooms = wire_list_finish(&target->rooms);
    send.except = wire_list_finish(&target->except);
    send.class = target->class;
    send.flags = target->flags;
    send.id = buffer_bytes(&target->id);
    send.attachments = attachments_of(target);
    if (target->class == WIRE_SEND_VOLATILE) {
        send.number = 0;
        send_volatile(target->app, &send);
        return 0;
    }
    send.flags |= WIRE_SEND_TELL;
    return ask(target, WIRE_TYPE_SEND, put_send, &send);
}

/* A question or a search: the request owns the gathering, if it comes about. */
static int gather(struct hubbub_target *target, enum wire_type type, struct gathering *gathering,
                  void (*put)(struct wire_batch *batch, const void *record), const void *record)
{
    struct request request = {.kind = type == WIRE_TYPE_QUESTION ? REQUEST_QUESTION : REQUEST_FIND,
                              .type = (uint8_t)type,
                              .gathering = gathering};
    uint64_t number = requests_ask(target->app, &request, put, record);

    if (!number) {
        gathering_free(gathering);
        return HUBBUB_ERROR_BUSY;
    }
    gathering_begin(gathering, number, target->timeout);
    app_rouse(target->app);
    return 0;
}

int hubbub_ask(struct hubbub_target *target, const char *event, const char *arguments,
               hubbub_replies_callback *callback, void *user)
{
    struct wire_question question = {.event = bytes_from_text(event)};
    int result = begin(target, MANNER_ATTACHMENTS | MANNER_TIMEOUT);

    if (!result)
        result =
            callback ? check_event(target, event, arguments, &question.arguments) : HUBBUB_ERROR_ARGUMENT;
    if (result)
        return result;
    question.number = requests_next(&target->app->requests);
    question.namespace = buffer_bytes(&target->name_space);
    question.rooms = wire_list_finish(&target->rooms);
    question.except = wire_list_finish(&target->except);
    question.timeout = target->timeout;
    question.attachments = attachments_of(target);
    return gather(target, WIRE_TYPE_QUESTION, gathering_new_question(target->app, callback, user),
                  put_question, &question);
}

int hubbub_fetch_sockets(struct hubbub_target *target, hubbub_findings_callback *callback, void *user)
{
    struct wire_find find = {0};
    int result = begin(target, 0);

    if (!result && !callback)
        result = HUBBUB_ERROR_ARGUMENT;
    if (result)
        return result;
    find.number = requests_next(&target->app->requests);
    find.namespace = buffer_bytes(&target->name_space);
    find.rooms = wire_list_finish(&target->rooms);
    find.except = wire_list_finish(&target->except);
    return gather(target, WIRE_TYPE_FIND, gathering_new_find(target->app, callback, user), put_find, &find);
}

static int move(struct hubbub_target *target, const char *room, bool enter)
{
    struct wire_move record = {0};
    struct wire_list list = {0};
    int result = begin(target, MANNER_OUTCOME);

    if (result)
        return result;
    if (!room || !room_name_valid(bytes_from_text(room)))
        return HUBBUB_ERROR_ARGUMENT;
    wire_list_put_text(&list, bytes_from_text(room));
    record.number = requests_next(&target->app->requests);
    record.namespace = buffer_bytes(&target->name_space);
    record.rooms = wire_list_finish(&target->rooms);
    record.except = wire_list_finish(&target->except);
    *(enter ? &record.join : &record.leave) = wire_list_finish(&list);
    result = ask(target, WIRE_TYPE_MOVE, put_move, &record);
    wire_list_done(&list);
    return result;
}

int hubbub_sockets_join(struct hubbub_target *target, const char *room)
{
    return move(target, room, true);
}

int hubbub_sockets_leave(struct hubbub_target *target, const char *room)
{
    return move(target, room, false);
}

int hubbub_sockets_disconnect(struct hubbub_target *target, enum hubbub_parting parting)
{
    struct wire_expel expel = {.close = parting}; /* they have the numbers of enum wire_expel_close */
    int result = begin(target, MANNER_OUTCOME);

    if (result)
        return result;
    if (parting > HUBBUB_DROP_CONNECTION)
        return HUBBUB_ERROR_ARGUMENT;
    expel.number = requests_next(&target->app->requests);
    expel.namespace = buffer_bytes(&target->name_space);
    expel.rooms = wire_list_finish(&target->rooms);
    expel.except = wire_list_finish(&target->except);
    return ask(target, WIRE_TYPE_EXPEL, put_expel, &expel);
}
