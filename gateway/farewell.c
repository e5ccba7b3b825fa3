/*
 * The list of those who left; see farewell.h.  The link owns and calls it.  Its one surprising rule: nearly
 * always it is empty again within a heartbeat, and while the router is away it is no longer than the list of
 * sockets was, as none is connected then.
 */
#include "gateway/farewell.h"

#include "common/memory.h"

#include <stdlib.h>

void farewells_add(struct farewells *farewells, uint64_t socket, uint64_t batch, struct bytes record)
{
    struct farewell *farewell = memory_new(sizeof *farewell + record.length);

    memcpy(farewell->data, record.data, record.length);
    farewell->next = NULL;
    farewell->socket = socket;
    farewell->batch = batch;
    farewell->record = bytes_make(farewell->data, record.length);
    if (farewells->last)
        farewells->last->next = farewell;
    else
        farewells->first = farewell;
    farewells->last = farewell;
}

static void drop_first(struct farewells *farewells)
{
    struct farewell *farewell = farewells->first;

    farewells->first = farewell->next;
    if (!farewells->first)
        farewells->last = NULL;
    free(farewell);
}

void farewells_confirm(struct farewells *farewells, uint64_t batch)
{
    while (farewells->first && farewells->first->batch <= batch)
        drop_first(farewells);
}

void farewells_renew(struct farewells *farewells, uint64_t batch)
{
    for (struct farewell *farewell = farewells->first; farewell; farewell = farewell->next)
        farewell->batch = batch;
}

void farewells_done(struct farewells *farewells)
{
    while (farewells->first)
        drop_first(farewells);
}
