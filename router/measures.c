/*
 * The router's gauges and histograms; see measures.h.  The stats document and the admin port call it.  Its one
 * surprising rule: the journal's are copied under its mutex, as one, so that they agree with each other.
 */
#include "router/measures.h"

#include "common/exposition.h"
#include "router/archive.h"
#include "router/backed.h"
#include "router/router.h"

static void take_links(const struct router *router, struct measures *out)
{
    const struct links *links = &router->links;

    out->gateways = links->count;
    for (uint32_t i = 0; i < links->count; i++) {
        out->gateways_live += links->all[i]->state == LINK_LIVE;
        out->link_bytes += links->all[i]->peer.flow.unacknowledged_bytes;
    }
}

static void take_journal(const struct router *router, struct measures *out)
{
    struct journal_statistics journal;

    journal_statistics(router->journal, &journal);
    out->journal_waiting = journal.waiting;
    out->journal_unindexed = journal.unindexed;
    out->journal_file_bytes = journal.file_bytes;
    out->journal_wal_bytes = journal.wal_bytes;
    out->journal_removed = journal.removed;
    out->storage_full = journal.storage_full;
    out->removal_max = journal.removal_ns_max;
    out->checkpoints = journal.checkpoints;
    out->session_changes = journal.changes;
    out->rows_read = journal.rows_read;
    out->commit_max = journal.commit_ns_max;
    out->commit = journal.commit;
    out->commit_size = journal.commit_size;
    out->removal = journal.removal;
    out->dead_letters = journal_dead_letters(router->journal);
}

static void take_archive(const struct router *router, struct measures *out)
{
    struct archive_statistics archive = {0};

    if (router->archive)
        archive_statistics(router->archive, &archive);
    out->archived = archive.archived + archive.known;
    out->archive_writes = archive.writes;
    out->archive_retries = archive.retries;
    out->archive_known = archive.known;
    out->archive_refused = archive.refused;
    out->archive_lag_messages = archive.lag_messages;
    out->archive_lag = archive.lag_ms;
}

void measures_take(const struct router *router, struct measures *out)
{
    *out = (struct measures){
        .namespaces = router->namespaces.by_name.count,
        .rooms = router->rooms.table.count,
        .members = router->rooms.members,
        .sessions_away = router->sessions.away,
        .waiting_bytes = router->waiting_bytes,
        .backends = router->backends->count,
        .backend_tasks = router->backends->tasks->by_number.count,
        .backend_bytes = router->backends->tasks->bytes,
        .backend_waiting = router->backends->sockets->alone,
        .turn = router->turns,
        .lag = router->lags,
    };
    take_links(router, out);
    take_journal(router, out);
    take_archive(router, out);
}

static void expose_measure(struct exposition *exposition, const char *name, const char *meaning,
                           enum measure_unit unit, uint64_t value)
{
    if (unit == MEASURE_WHOLE)
        exposition_add(exposition, name, meaning, value);
    else
        exposition_add_real(exposition, name, meaning, (double)value / (double)unit);
}

void measures_expose(const struct router *router, struct exposition *exposition)
{
    struct measures measures;

    measures_take(router, &measures);
#define X(name, meaning, action) exposition_describe(exposition, name, meaning);
    FAMILY_TABLE(X)
#undef X
#define X(field, name, meaning, action) exposition_add(exposition, name, meaning, router->counters.field);
    COUNTER_TABLE(X)
#undef X
    for (unsigned code = 0; code < REFUSAL_CODES; code++)
        exposition_add_labelled(exposition, "hubbub_refused_total", "code",
                                bytes_from_text(refusal_text(code)), router->counters.refused[code]);
#define X(field, unit, name, meaning, action) expose_measure(exposition, name, meaning, unit, measures.field);
    MEASURE_TABLE(X)
#undef X
#define X(field, bounds, name, meaning, action)                                                              \
    exposition_add_histogram(exposition, name, meaning, &measures.field);
    HISTOGRAM_TABLE(X)
#undef X
}
