/*
 * The router's parts, put together; see router.h for a turn.  main.c starts it.  Its one surprising rule:
 * callbacks of descriptors only note that there is something to do, and everything is done at the end of the
 * turn in a fixed order, so that one batch a gateway carries all of it.
 */
#include "router/router.h"

#include "common/endpoint.h"
#include "common/exit_code.h"
#include "common/http_port.h"
#include "common/memory.h"
#include "router/archive.h"
#include "router/archive_reader.h"
#include "router/archive_seed.h"
#include "router/ask.h"
#include "router/away.h"
#include "router/backed.h"
#include "router/connecting.h"
#include "router/dispatch.h"
#include "router/emit.h"
#include "router/judge.h"
#include "router/look.h"
#include "router/measures.h"
#include "router/membership.h"
#include "router/orders.h"
#include "router/pass.h"
#include "router/publish.h"
#include "router/question.h"
#include "router/recovery.h"
#include "router/resync.h"
#include "router/rows.h"
#include "router/stats.h"
#include "router/stats_socket.h"
#include "router/targets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    DRAIN_MS = 10000,
    DRAIN_ARCHIVE_MS = 1000, /* of it for pages from MongoDB: gateways ask the next router again */
    LINGER_MS = 500,
    FAILURE_MAX = 512,
    ADMIN_CONNECTIONS_MAX = 64, /* others wait */
    ADMIN_BODY_MAX = 4096,      /* nothing there takes one */
};

const char *router_epoch_for(const struct router *router, const struct namespace *namespace)
{
    return namespace->config->recovery ? journal_epoch(router->journal) : NULL;
}

/* -- tickets ---------------------------------------------------------------------------------- */

static size_t ticket_bytes(const struct ticket *ticket)
{
    switch (ticket->kind) {
    case TICKET_PUBLISH:
    case TICKET_VOLATILE:
    case TICKET_REPEAT:
    case TICKET_EMIT:
        return ((const struct message *)ticket)->size;
    default:
        return sizeof *ticket;
    }
}

static void submit(struct router *router, struct ticket *ticket)
{
    if (ticket->room) {
        room_hold(ticket->room)->waiting++;
        ticket->room->namespace->waiting++;
        ticket->entry.message.namespace = ticket->room->namespace->name;
        ticket->entry.message.room = room_name(ticket->room);
    }
    router->waiting++;
    router->waiting_bytes += ticket_bytes(ticket);
    journal_submit(router->journal, &ticket->entry);
}

void router_submit(struct router *router, struct ticket *ticket, enum ticket_kind kind,
                   struct gateway_link *link, struct room *room, uint64_t socket, uint64_t request)
{
    struct session *session = session_find(&link->sessions, socket);

    ticket->kind = kind;
    ticket->link = link_hold(link);
    ticket->room = room;
    ticket->socket = socket;
    ticket->request = request;
    if (session) {
        ticket->session = session_hold(session);
        ticket->attachment = session->attachment;
    }
    submit(router, ticket);
}

void router_submit_alone(struct router *router, struct ticket *ticket, enum ticket_kind kind)
{
    ticket->kind = kind;
    submit(router, ticket);
}

void router_submit_message(struct router *router, struct message *message, struct gateway_link *link,
                           uint64_t socket, uint64_t request)
{
    message->ticket.link = link_hold(link);
    message->ticket.socket = socket;
    message->ticket.request = request;
    submit(router, &message->ticket);
}

static void release_message(struct router *router, struct ticket *ticket)
{
    publish_release(router, (struct message *)ticket);
}

static void release_emitted(struct router *router, struct ticket *ticket)
{
    emit_release(router, (struct message *)ticket);
}

static void drop_plain(struct router *router, struct ticket *ticket)
{
    (void)router;
    free(ticket);
}

/* What becomes of a ticket that comes back, and of one that does not: drop frees no more than memory. */
static const struct {
    void (*release)(struct router *router, struct ticket *ticket);
    void (*drop)(struct router *router, struct ticket *ticket);
} ticket_ends[TICKET_KINDS] = {
    [TICKET_PUBLISH] = {release_message, drop_plain},
    [TICKET_VOLATILE] = {release_message, drop_plain},
    [TICKET_REPEAT] = {release_message, drop_plain},
    [TICKET_JUDGE] = {judge_release, drop_plain},
    [TICKET_EMIT] = {release_emitted, emit_drop},
    [TICKET_JOIN] = {membership_release_join, drop_plain},
    [TICKET_LEAVE] = {membership_release_leave, drop_plain},
    [TICKET_PRESENCE] = {membership_release_presence, drop_plain},
    [TICKET_ROOM] = {look_release, drop_plain},
    [TICKET_MOVED] = {targets_release_moved, targets_drop_moved},
    [TICKET_QUERY] = {targets_release_query, targets_drop_query},
    [TICKET_STORE] = {targets_release_store, targets_drop_store},
    [TICKET_QUESTION] = {question_release, question_release},
    [TICKET_CONNECT] = {connecting_release, connecting_drop},
    [TICKET_RECOVER] = {recovery_release, recovery_drop},
    [TICKET_ROWS] = {rows_release, rows_drop},
    [TICKET_HELLO] = {resync_release, drop_plain},
};

static void end_ticket(struct router *router, struct ticket *ticket,
                       void (*end)(struct router *router, struct ticket *ticket))
{
    struct gateway_link *link = ticket->link;
    struct room *room = ticket->room;
    struct session *session = ticket->session;

    router->waiting--;
    router->waiting_bytes -= ticket_bytes(ticket);
    if (room) {
        room->waiting--;
        room->namespace->waiting--;
    }
    end(router, ticket);
    if (room)
        room_release(&router->rooms, room);
    if (session)
        session_release(session);
    if (link)
        link_release(link);
}

static void release(void *argument, struct journal_entry *entry)
{
    struct ticket *ticket = (struct ticket *)entry;

    end_ticket(argument, ticket, ticket_ends[ticket->kind].release);
}

static void drop(void *argument, struct journal_entry *entry)
{
    struct ticket *ticket = (struct ticket *)entry;

    end_ticket(argument, ticket, ticket_ends[ticket->kind].drop);
}

/* -- a turn ----------------------------------------------------------------------------------- */

static void announce(void *argument, struct room *room)
{
    publish_presence(argument, room);
}

static bool idle(const struct router *router)
{
    uint32_t left = router->archive_left ? router->page_archive_reads : 0;

    return router->waiting == 0 && router->page_count == left && router->replays == 0 &&
           router->recoveries_waiting == 0;
}

static void on_turn_end(void *arg)
{
    struct router *router = arg;

    if (!router->draining)
        peers_read(&router->peers);
    rows_retry(router);
    journal_flush(router->journal);
    if (router->journal_ready) {
        router->journal_ready = false;
        if (journal_collect(router->journal, release, router) < 0) {
            log_error("the journal failed", "error=%s", journal_failure(router->journal));
            router_fail(router, EXIT_RUNTIME);
            return;
        }
        journal_flush(router->journal);
    }
    if (router->archive_pages_ready) {
        router->archive_pages_ready = false;
        archive_reader_collect(router->archive_reader);
    }
    recovery_continue(router);
    rooms_advance(&router->rooms, loop_now(router->loop), announce, router);
    loop_set_deadline(router->loop, rooms_next_due(&router->rooms));
    backends_flush(router);
    links_flush(&router->links, router->released);
    peers_settle(&router->peers);
    if (router->draining && idle(router))
        loop_stop(router->loop);
}

static void on_journal(void *arg, int fd, unsigned ready)
{
    struct router *router = arg;

    (void)fd;
    (void)ready;
    router->journal_ready = true;
}

static void on_archive_pages(void *arg, int fd, unsigned ready)
{
    struct router *router = arg;

    (void)fd;
    (void)ready;
    router->archive_pages_ready = true;
}

/* -- start and end ---------------------------------------------------------------------------- */

static void remember(void *argument, const struct journal_message *fields)
{
    struct router *router = argument;
    struct namespace *namespace;
    struct message *message;
    struct room *room;

    if (router->recent.count == 0 && router->released == 0)
        recent_start(&router->recent, fields->pos - 1);
    router->released = fields->pos;
    namespace = namespace_recall(&router->namespaces, fields->namespace);
    if (!namespace)
        return; /* nobody can be in it any more */
    room = rooms_get(&router->rooms, namespace, fields->room);
    message = message_new(fields, room, (struct bytes){0});
    if (fields->class == MESSAGE_ARCHIVED) {
        room->last_seq = fields->seq;
        room->seq_known = true;
    }
    room_hold(room);
    namespace_release(&router->namespaces, namespace); /* the room holds it */
    recent_add(&router->recent, message);
}

static int make_folder(const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    log_error("can't make the data folder", "path=%s error=%s", path, strerror(errno));
    return ERROR_SYSTEM;
}

static char *path_in(const char *folder, const char *name)
{
    size_t length = strlen(folder) + 1 + strlen(name);
    char *path = memory_new(length + 1);

    snprintf(path, length + 1, "%s/%s", folder, name);
    return path;
}

/* After how many of these to abort; 0 for never. */
static unsigned abort_after(const char *what)
{
#ifdef HUBBUB_TEST_HOOKS
    const char *value = getenv(what);
    unsigned long long number;

    if (value && bytes_parse_u64(bytes_from_text(value), &number) == 0)
        return (unsigned)number;
#else
    (void)what;
#endif
    return 0;
}

/*
 * How long messages stay in the journal.  For recovery a while longer than a client may take to come back: it
 * may have been lost for some time before anybody noticed (the gateways' ping_interval and ping_timeout).
 */
static struct journal_retention retention(const struct router_settings *settings)
{
    struct archive_place place;
    bool archive = router_settings_archive(settings, &place);
    uint64_t days = archive ? settings->hot_days : settings->retention_days;

    return (struct journal_retention){
        .recovery_ms = (uint64_t)settings->recovery_window + settings->recovery_margin,
        .keep_ms = days * 24 * 3600 * 1000,
        .keep_messages = archive ? settings->hot_messages : settings->retention_messages,
        .archive = archive,
    };
}

static int open_journal(struct router *router)
{
    const struct router_settings *settings = router->settings;
    char *path = path_in(settings->data, "journal.sqlite");
    char message[FAILURE_MAX] = "";
    struct archive_place place;
    int result = 0;

    if (router_settings_archive(settings, &place))
        result = archive_seed(&place, path, message, sizeof message);
    if (!result)
        result = journal_open(
            &(struct journal_options){.path = path,
                                      .recent_bytes = settings->recent_max,
                                      .retention = retention(settings),
                                      .abort_after_commits = abort_after("HUBBUB_TEST_ABORT_AFTER_COMMITS"),
                                      .abort_after_changes = abort_after("HUBBUB_TEST_ABORT_AFTER_CHANGES"),
                                      .session = away_restore,
                                      .lost = drop},
            remember, router, &router->journal, message, sizeof message);

    free(path);
    if (result) {
        log_error("can't open the journal", "error=%s", message);
        return result;
    }
    if (router->released == 0)
        recent_start(&router->recent, journal_head(router->journal));
    router->released = journal_head(router->journal);
    router->journal_watch =
        loop_watch_new(router->loop, journal_fd(router->journal), LOOP_READ, on_journal, router);
    if (!router->journal_watch) {
        log_error("can't watch the journal", "error=%s", strerror(errno));
        return ERROR_SYSTEM;
    }
    return 0;
}

static int open_archive(struct router *router)
{
    const struct router_settings *settings = router->settings;
    struct archive_options options = {.retry_max = settings->archive_retry_max,
                                      .batch = settings->archive_batch,
                                      .batch_bytes = settings->archive_batch_bytes};
    char message[FAILURE_MAX] = "";
    int result;

    if (!router_settings_archive(settings, &options.place))
        return 0;
    result = archive_start(&options, router->journal, &router->archive, message, sizeof message);
    if (result)
        log_error("can't start the archive", "error=%s", message);
    return result;
}

static int open_archive_reader(struct router *router)
{
    struct archive_place place;
    int result;

    if (!router_settings_archive(router->settings, &place))
        return 0;
    result = archive_reader_start(&place, router->settings->archive_pages, &router->archive_reader);
    if (!result) {
        router->archive_reader_watch = loop_watch_new(router->loop, archive_reader_fd(router->archive_reader),
                                                      LOOP_READ, on_archive_pages, router);
        result = router->archive_reader_watch ? 0 : ERROR_SYSTEM;
    }
    if (result)
        log_error("can't read the archive", "error=%s", strerror(errno));
    return result;
}

static void hello(void *argument, struct gateway_link *link, const struct wire_hello *record)
{
    resync_hello(argument, link, record);
}

static void removed(void *argument, struct gateway_link *link, enum link_end end)
{
    struct router *router = argument;

    ask_forget(router, link);
    resync_forget(router, link, end);
    if (end == LINK_END_GONE)
        stats_forget(router->stats, link);
    if (end != LINK_END_RENEWED) {
        orders_forget(router, link);
        pass_gone(router, link);
    }
}

static const struct link_events link_events = {hello, dispatch_record, removed};

static int open_stats(struct router *router)
{
    const struct router_settings *settings = router->settings;
    char *path = settings->stats ? memory_text(settings->stats, strlen(settings->stats))
                                 : path_in(settings->data, "stats.sock");
    int result = stats_socket_open(router->loop, router->stats, path, &router->stats_socket);

    if (result)
        log_error("can't open the stats socket", "path=%s error=%s", path, error_text(result));
    free(path);
    return result;
}

static void expose(void *argument, struct exposition *exposition)
{
    measures_expose(argument, exposition);
}

static bool is_healthy(void *argument, const char **why)
{
    const struct router *router = argument;

    *why = "draining";
    return !router->draining;
}

static int open_admin(struct router *router)
{
    const struct router_settings *settings = router->settings;

    if (!*settings->admin)
        return 0;
    log_info("admin port", "listen=%s", settings->admin);
    return http_port_open(router->loop,
                          &(struct http_port_options){.listen = settings->admin,
                                                      .max_connections = ADMIN_CONNECTIONS_MAX,
                                                      .max_body = ADMIN_BODY_MAX,
                                                      .expose = expose,
                                                      .healthy = is_healthy,
                                                      .argument = router},
                          &router->admin);
}

static void on_drained_too_slowly(void *arg)
{
    struct router *router = arg;

    log_warn("the journal takes too long to finish", "waiting=%llu", (unsigned long long)router->waiting);
    loop_stop(router->loop);
}

static void on_archive_too_slow(void *arg)
{
    struct router *router = arg;

    router->archive_left = true;
}

int router_start(struct router *router, const struct router_settings *settings, struct loop *loop)
{
    char message[FAILURE_MAX] = "";
    int result;

    *router = (struct router){.settings = settings, .loop = loop, .started = loop_now(loop)};
    router->turns.bounds = router->lags.bounds = &histogram_seconds;
    namespace_table_init(&router->namespaces, &settings->namespaces, settings->max_pattern_namespaces);
    rooms_init(&router->rooms, &router->namespaces, loop_now(loop));
    sessions_init(&router->sessions, &router->rooms);
    recent_init(&router->recent, &router->rooms, settings->recent_max);
    loop_timer_init(&router->drain_timer, loop, on_drained_too_slowly, router);
    loop_timer_init(&router->drain_archive_timer, loop, on_archive_too_slow, router);
    steps_init(&router->steps, loop);
    away_init(router);
    router->questions = questions_new();
    backends_init(router);
    router->stats = stats_new(router);
    result = make_folder(settings->data);
    if (!result)
        result = open_journal(router);
    if (!result)
        result = open_archive(router);
    if (!result)
        result = open_archive_reader(router);
    if (result)
        return result;
    result = peers_open(&router->peers, settings, loop, &router->counters, message, sizeof message);
    if (result) {
        log_error("can't listen for gateways", "error=%s", message);
        return result;
    }
    links_init(&router->links, &router->peers, &link_events, router);
    backends_attach(router);
    result = open_stats(router);
    if (!result)
        result = open_admin(router);
    if (result)
        return result;
    loop_on_turn_end(loop, on_turn_end, router);
    loop_measure(loop, &router->turns, &router->lags);
    if (settings->allow_plain && !settings->curve_secret_key && !endpoint_is_local(settings->listen))
        log_warn("links are not encrypted (allow_plain): whoever reaches the port can read and do everything",
                 "listen=%s", settings->listen);
    log_info("router is ready", "epoch=%s head=%llu listen=%s", journal_epoch(router->journal),
             (unsigned long long)router->released, settings->listen);
    return 0;
}

void router_done(struct router *router)
{
    loop_timer_stop(&router->drain_timer);
    loop_timer_stop(&router->drain_archive_timer);
    http_port_close(router->admin);
    stats_socket_close(router->stats_socket);
    steps_done(&router->steps);
    router->closing = true;
    peers_stop(&router->peers);
    links_done(&router->links);
    backends_done(router);
    questions_free(router->questions);
    peers_done(&router->peers, router->exit_code == EXIT_OK ? LINGER_MS : 0);
    away_done(router);
    rows_done(router);
    orders_done(router);
    recovery_done(router);
    loop_watch_free(router->archive_reader_watch);
    archive_reader_stop(router->archive_reader);
    router->archive_reader = NULL;
    loop_watch_free(router->journal_watch);
    archive_stop(router->archive);
    journal_close(router->journal);
    stats_free(router->stats);
    recent_done(&router->recent);
    sessions_done(&router->sessions);
    rooms_done(&router->rooms);
    namespace_table_done(&router->namespaces);
    buffer_done(&router->scratch);
}

void router_drain(struct router *router)
{
    if (router->draining)
        return;
    router->draining = true;
    log_info("router drains", "waiting=%llu", (unsigned long long)router->waiting);
    loop_timer_start(&router->drain_timer, DRAIN_MS);
    loop_timer_start(&router->drain_archive_timer, DRAIN_ARCHIVE_MS);
    loop_wake_now(router->loop);
}

void router_fail(struct router *router, int exit_code)
{
    router->exit_code = exit_code;
    loop_stop(router->loop);
}
