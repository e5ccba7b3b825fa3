/*
 * Sockets that their clients have ended for good (DISCONNECT), until the router has acknowledged that it
 * knows: a socket that a hello merely lacks could be recovered.
 */
#ifndef HUBBUB_GATEWAY_FAREWELL_H
#define HUBBUB_GATEWAY_FAREWELL_H

#include "common/bytes.h"

#include <stdint.h>

#define FAREWELL_UNSENT UINT64_MAX

struct farewell {
    struct farewell *next;
    uint64_t socket;
    uint64_t batch;      /* the one that tells; FAREWELL_UNSENT: none on this link */
    struct bytes record; /* its SOCKET, for the next hello */
    char data[];
};

struct farewells {
    struct farewell *first, *last; /* by batch */
};

/* Copies the record. */
void farewells_add(struct farewells *farewells, uint64_t socket, uint64_t batch, struct bytes record);

/* The router has processed the link's batches up to that one. */
void farewells_confirm(struct farewells *farewells, uint64_t batch);

/* A new link tells of all of them, the last in that batch. */
void farewells_renew(struct farewells *farewells, uint64_t batch);

void farewells_done(struct farewells *farewells);

#endif
