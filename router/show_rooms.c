/*
 * Rooms, shown; see show_rooms.h.  The stats socket calls it.  Its one surprising rule: a list holds no rooms
 * between its steps but copies of what it will say of them, so a room that goes meanwhile is still shown.
 */
#include "router/show_rooms.h"

#include "common/memory.h"
#include "proto/socketio.h"
#include "router/steps.h"

#include <stdlib.h>

/* -- rooms ------------------------------------------------------------------------------------ */

enum room_order { BY_MEMBERS, BY_RATE };

struct shown_room {
    uint32_t members, gateways;
    uint64_t seq;
    double rate;
    uint8_t namespace_length, name_length;
    char namespace[SOCKETIO_NAMESPACE_MAX], name[ROOM_NAME_MAX];
};

struct room_list {
    struct step_job job; /* must stay first */
    struct router *router;
    struct stats_reply reply;
    struct table_walk walk;
    enum room_order order;
    struct bytes prefix, namespace; /* namespace empty: all */
    unsigned limit, count;
    uint64_t all;
    struct shown_room *rooms; /* a heap: the least of them first */
    char names[];             /* prefix, namespace */
};

static bool is_less(enum room_order order, double members, double rate, const struct shown_room *than)
{
    if (order == BY_RATE && rate < than->rate)
        return true;
    if (order == BY_RATE && rate > than->rate)
        return false;
    return members < than->members;
}

static bool is_less_room(const struct room_list *list, unsigned a, unsigned b)
{
    return is_less(list->order, list->rooms[a].members, list->rooms[a].rate, &list->rooms[b]);
}

static void swap(struct room_list *list, unsigned a, unsigned b)
{
    struct shown_room room = list->rooms[a];

    list->rooms[a] = list->rooms[b];
    list->rooms[b] = room;
}

static void sift_up(struct room_list *list, unsigned at)
{
    for (; at > 0 && is_less_room(list, at, (at - 1) / 2); at = (at - 1) / 2)
        swap(list, at, (at - 1) / 2);
}

static void sift_down(struct room_list *list)
{
    unsigned at = 0;

    for (;;) {
        unsigned child = 2 * at + 1;

        if (child + 1 < list->count && is_less_room(list, child + 1, child))
            child++;
        if (child >= list->count || !is_less_room(list, child, at))
            return;
        swap(list, at, child);
        at = child;
    }
}

static struct shown_room describe(const struct room *room, double rate)
{
    struct shown_room shown = {.members = room->members,
                               .gateways = room->link_count,
                               .seq = room->last_seq,
                               .rate = rate,
                               .namespace_length = (uint8_t)room->namespace->name.length,
                               .name_length = room->name_length};

    memcpy(shown.namespace, room->namespace->name.data, shown.namespace_length);
    memcpy(shown.name, room_name(room).data, shown.name_length);
    return shown;
}

static void look_at(void *entry, void *argument)
{
    const struct room *room = entry;
    struct room_list *list = argument;
    double rate;

    if (room->members == 0 || !bytes_starts_with(room_name(room), list->prefix) ||
        (list->namespace.length && !bytes_equal(room->namespace->name, list->namespace)))
        return;
    list->all++;
    rate = room_rate(&list->router->rooms, room);
    if (list->count < list->limit) {
        list->rooms[list->count] = describe(room, rate);
        sift_up(list, list->count++);
    } else if (!is_less(list->order, room->members, rate, &list->rooms[0])) {
        list->rooms[0] = describe(room, rate);
        sift_down(list);
    }
}

static int compare_names(const struct shown_room *a, const struct shown_room *b)
{
    struct bytes names[] = {bytes_make(a->namespace, a->namespace_length),
                            bytes_make(b->namespace, b->namespace_length),
                            bytes_make(a->name, a->name_length), bytes_make(b->name, b->name_length)};
    int result = bytes_compare(names[0], names[1]);

    return result ? result : bytes_compare(names[2], names[3]);
}

static int compare_members(const void *a, const void *b)
{
    const struct shown_room *left = a, *right = b;

    if (left->members != right->members)
        return left->members < right->members ? 1 : -1;
    return compare_names(left, right);
}

static int compare_rates(const void *a, const void *b)
{
    const struct shown_room *left = a, *right = b;

    if (left->rate < right->rate || left->rate > right->rate)
        return left->rate < right->rate ? 1 : -1;
    return compare_members(a, b);
}

static void free_list(void *pending)
{
    struct room_list *list = pending;

    buffer_done(&list->reply.out);
    free(list->rooms);
    free(list);
}

static void cancel_list(void *pending)
{
    struct room_list *list = pending;

    steps_remove(&list->router->steps, &list->job);
    free_list(list);
}

static void answer_list(struct room_list *list)
{
    static const char *const columns[] = {"namespace", "members", "gateways", "seq", "rate", "name", NULL};
    struct report report = report_new(&list->reply.out, list->reply.json);

    qsort(list->rooms, list->count, sizeof *list->rooms,
          list->order == BY_RATE ? compare_rates : compare_members);
    report_list_begin(&report, "rooms", columns);
    for (unsigned i = 0; i < list->count; i++) {
        const struct shown_room *room = &list->rooms[i];

        report_row(&report);
        report_text(&report, bytes_make(room->namespace, room->namespace_length));
        report_number(&report, room->members);
        report_number(&report, room->gateways);
        report_number(&report, room->seq);
        report_real(&report, room->rate);
        report_text(&report, bytes_make(room->name, room->name_length));
    }
    report_list_end(&report, list->all - list->count);
    stats_reply_send(&list->reply);
}

static bool step_list(struct step_job *job)
{
    struct room_list *list = (struct room_list *)job;

    switch (table_walk(&list->router->rooms.table, &list->walk, STEP_SLOTS, look_at, list)) {
    case TABLE_WALK_MORE:
        return true;
    case TABLE_WALK_AGAIN:
        list->count = 0;
        list->all = 0;
        return true;
    case TABLE_WALK_DONE:
        break;
    }
    answer_list(list);
    free_list(list);
    return false;
}

/* [PREFIX] [in NAMESPACE] [by members|rate] [LIMIT] */
static bool read_list(const struct stats_request *request, struct room_list *list)
{
    const struct command *command = request->command;
    unsigned at = 1;
    unsigned long long limit = SHOW_ROOMS_DEFAULT;
    struct bytes word = stats_word(request, at);

    if (at < command->count && !command_is(command, at, "in") && !command_is(command, at, "by") &&
        (command->words[at].quoted || bytes_parse_u64(word, &limit) < 0)) {
        list->prefix = word;
        at++;
    }
    limit = SHOW_ROOMS_DEFAULT;
    if (command_is(command, at, "in") && !stats_read_namespace(request, &at, &list->namespace))
        return false;
    if (command_is(command, at, "by")) {
        if (command_is(command, at + 1, "rate"))
            list->order = BY_RATE;
        else if (!command_is(command, at + 1, "members"))
            return false;
        at += 2;
    }
    if (at < command->count && bytes_parse_u64(stats_word(request, at++), &limit) < 0)
        return false;
    list->limit = (unsigned)(limit < SHOW_ROOMS_MAX ? limit : SHOW_ROOMS_MAX);
    return at == command->count && limit > 0;
}

static struct bytes keep(char **at, struct bytes text)
{
    struct bytes kept = bytes_make(*at, text.length);

    if (text.length)
        memcpy(*at, text.data, text.length);
    *at += text.length;
    return kept;
}

enum stats_outcome show_rooms(struct stats_request *request)
{
    struct room_list wanted = {0}, *list;
    char *names;

    if (!read_list(request, &wanted))
        return stats_misused(request);
    list = memory_zero(1, sizeof *list + wanted.prefix.length + wanted.namespace.length);
    *list = wanted;
    names = list->names;
    list->prefix = keep(&names, wanted.prefix);
    list->namespace = keep(&names, wanted.namespace);
    list->router = request->router;
    list->rooms = memory_new(list->limit * sizeof *list->rooms);
    list->job.step = step_list;
    stats_reply_later(request, &list->reply, list, cancel_list);
    steps_add(&request->router->steps, &list->job);
    return STATS_LATER;
}

/* -- one room --------------------------------------------------------------------------------- */

struct room_view {
    struct step_job job; /* must stay first */
    struct router *router;
    struct stats_reply reply;
    struct table_walk walk;
    struct room *room; /* held */
    unsigned count;
    struct shown_user {
        uint16_t from_length;
        char sid[SID_LENGTH], from[SESSION_NAME_MAX];
    } users[SHOW_USERS_MAX];
};

static void look_for_user(void *entry, void *argument)
{
    const struct session *session = entry;
    struct room_view *view = argument;
    struct shown_user *user = &view->users[view->count];
    char space[SID_LENGTH + 5];
    struct bytes from;

    if (view->count == SHOW_USERS_MAX || !session->link)
        return;
    for (uint16_t i = 0; i < session->room_count; i++) {
        if (session_rooms(session)[i].room != view->room || !session_rooms(session)[i].member)
            continue;
        from = session_from(session, space);
        user->from_length = (uint16_t)(from.length < SESSION_NAME_MAX ? from.length : SESSION_NAME_MAX);
        memcpy(user->from, from.data, user->from_length);
        memcpy(user->sid, session->pid, SID_LENGTH);
        view->count++;
        return;
    }
}

static void answer_view(struct room_view *view)
{
    static const char *const gateways[] = {"name", "members", NULL}, *const users[] = {"sid", "from", NULL};
    struct report report = report_new(&view->reply.out, view->reply.json);
    const struct room *room = view->room;

    report_object_begin(&report);
    report_name(&report, "namespace");
    report_text(&report, room->namespace->name);
    report_name(&report, "name");
    report_text(&report, room_name(room));
    report_name(&report, "members");
    report_number(&report, room->members);
    report_name(&report, "watchers");
    report_number(&report, room->watchers);
    report_name(&report, "seq");
    if (room->seq_known)
        report_number(&report, room->last_seq);
    else
        report_nothing(&report);
    report_name(&report, "rate");
    report_real(&report, room_rate(&view->router->rooms, room));
    report_rows_begin(&report, "gateways", "gateway", gateways);
    for (uint32_t i = 0; i < room->link_count; i++) {
        report_row(&report);
        report_text(&report, bytes_from_text(room->links[i].link->name));
        report_number(&report, room->links[i].members);
    }
    report_rows_end(&report);
    report_rows_begin(&report, "users", "user", users);
    for (unsigned i = 0; i < view->count; i++) {
        report_row(&report);
        report_text(&report, bytes_make(view->users[i].sid, SID_LENGTH));
        report_text(&report, bytes_make(view->users[i].from, view->users[i].from_length));
    }
    report_rows_end(&report);
    report_object_end(&report);
    stats_reply_send(&view->reply);
}

static void free_view(struct room_view *view)
{
    room_release(&view->router->rooms, view->room);
    buffer_done(&view->reply.out);
    free(view);
}

static void cancel_view(void *pending)
{
    struct room_view *view = pending;

    steps_remove(&view->router->steps, &view->job);
    free_view(view);
}

static bool step_view(struct step_job *job)
{
    struct room_view *view = (struct room_view *)job;

    switch (table_walk(&view->router->sessions.by_sid, &view->walk, STEP_SLOTS, look_for_user, view)) {
    case TABLE_WALK_MORE:
        if (view->count < SHOW_USERS_MAX && view->count < view->room->members)
            return true;
        break;
    case TABLE_WALK_AGAIN:
        view->count = 0;
        return true;
    case TABLE_WALK_DONE:
        break;
    }
    answer_view(view);
    free_view(view);
    return false;
}

enum stats_outcome show_room(struct stats_request *request)
{
    enum stats_outcome refused;
    struct room *room = stats_read_room(request, &refused);
    struct room_view *view;

    if (!room)
        return refused;
    view = memory_zero(1, sizeof *view);
    view->router = request->router;
    view->room = room_hold(room);
    view->job.step = step_view;
    stats_reply_later(request, &view->reply, view, cancel_view);
    steps_add(&request->router->steps, &view->job);
    return STATS_LATER;
}
