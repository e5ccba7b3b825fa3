/*
 * Gateways and backends, shown; see show_links.h.  The stats socket calls it.  Its one surprising rule: what a
 * gateway counts itself (connections, deliveries) is up to a second old, and 0 until it has said so once.
 */
#include "router/show_links.h"

#include "proto/wire.h"
#include "router/backend.h"
#include "router/orders.h"

/* The version of the protocol that it speaks: major.minor. */
static void report_protocol(struct report *report, const struct peer *peer)
{
    char version[32];

    snprintf(version, sizeof version, "%d.%llu", WIRE_MAJOR, (unsigned long long)peer->minor);
    report_text(report, bytes_from_text(version));
}

enum stats_outcome show_gateways(struct stats_request *request)
{
    static const char *const columns[] = {
        "name",     "state",   "sockets",  "connections", "deliveries", "unacknowledged_bytes",
        "draining", "version", "protocol", "incarnation", NULL};
    const struct links *links = &request->router->links;
    struct report *report = &request->report;
    char incarnation[17];

    if (request->command->count != 1)
        return stats_misused(request);
    report_list_begin(report, "gateways", columns);
    for (uint32_t i = 0; i < links->count; i++) {
        const struct gateway_link *link = links->all[i];

        snprintf(incarnation, sizeof incarnation, "%llx", (unsigned long long)link->incarnation);
        report_row(report);
        report_text(report, bytes_from_text(link->name));
        report_text(report, bytes_from_text(link_state_text(link->state)));
        report_number(report, link->sessions.by_socket.count);
        report_number(report, stats_of_gateway(request->stats, link, "hubbub_connections"));
        report_number(report, stats_of_gateway(request->stats, link, "hubbub_deliveries_total"));
        report_number(report, link->peer.flow.unacknowledged_bytes);
        report_flag(report, orders_draining(request->router, link) ||
                                stats_of_gateway(request->stats, link, "hubbub_draining") > 0);
        report_text(report, bytes_from_text(link->version));
        report_protocol(report, &link->peer);
        report_text(report, bytes_from_text(incarnation));
    }
    report_list_end(report, 0);
    return STATS_ANSWERED;
}

enum stats_outcome show_backends(struct stats_request *request)
{
    static const char *const columns[] = {
        "name",    "state",    "sockets",    "tasks", "unacknowledged_bytes",
        "version", "protocol", "namespaces", NULL};
    const struct backends *backends = request->router->backends;
    struct report *report = &request->report;

    if (request->command->count != 1)
        return stats_misused(request);
    report_list_begin(report, "backends", columns);
    for (uint32_t i = 0; i < backends->count; i++) {
        const struct backend *backend = backends->all[i];

        report_row(report);
        report_text(report, bytes_from_text(backend->name));
        report_text(report, bytes_from_text(backend_state_text(backend->state)));
        report_number(report, backend->sockets);
        report_number(report, backend->tasks);
        report_number(report, backend->peer.flow.unacknowledged_bytes);
        report_text(report, bytes_from_text(backend->version));
        report_protocol(report, &backend->peer);
        report_texts_begin(report);
        for (uint32_t j = 0; j < backend->namespace_count; j++)
            report_texts_add(report, backend->namespaces[j]);
        report_texts_end(report);
    }
    report_list_end(report, 0);
    return STATS_ANSWERED;
}
