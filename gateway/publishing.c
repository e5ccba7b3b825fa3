/*
 * The times of publishes and requests; see publishing.h.  The router's records note them, the end of a turn
 * settles them.  Its one surprising rule: a publish costs no look at the clock of its own, only each turn that
 * settles one does.
 */
#include "gateway/publishing.h"

#include "common/clock.h"
#include "common/memory.h"
#include "gateway/gateway.h"

#include <stdlib.h>

void publishing_done(struct publishing *publishing)
{
    free(publishing->taken);
    *publishing = (struct publishing){0};
}

void publishing_note(struct gateway *gateway, const struct request *request, struct bytes answer)
{
    struct publishing *publishing = &gateway->publishing;

    if (request->kind != REQUEST_CALL) /* a backend takes what time it likes */
        histogram_observe(&gateway->histograms.request, loop_now_ns(gateway->loop) - request->taken);
    if (request->kind != REQUEST_EVENT || bytes_starts_with(answer, BYTES("{\"ok\":false")))
        return;
    if (publishing->count == publishing->capacity) {
        publishing->capacity = publishing->capacity ? publishing->capacity * 2 : 64;
        publishing->taken =
            memory_resize(publishing->taken, publishing->capacity * sizeof *publishing->taken);
    }
    publishing->taken[publishing->count++] = request->taken;
}

void publishing_settle(struct gateway *gateway)
{
    struct publishing *publishing = &gateway->publishing;
    uint64_t now;

    if (publishing->count == 0)
        return;
    now = clock_monotonic_ns();
    for (uint32_t i = 0; i < publishing->count; i++)
        histogram_observe(&gateway->histograms.publish, now - publishing->taken[i]);
    publishing->count = 0;
}
