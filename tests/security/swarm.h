/*
 * What the parts of the swarm share: swarm.c has its clients come and go, swarm_kinds.c and swarm_strangers.c
 * know what each kind of them says.  One process, one loop, one thread (and those of ZeroMQ).
 */
#ifndef HUBBUB_TESTS_SECURITY_SWARM_H
#define HUBBUB_TESTS_SECURITY_SWARM_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SWARM_SID_MAX = 32 };

struct swarm_settings {
    uint16_t port, router_port; /* on 127.0.0.1; router_port 0: there are no strangers */
    unsigned each;
    uint32_t time, calm; /* ms */
    char *kinds;         /* names with commas between them; empty: all */
    char *tokens;        /* the path of a file of bad tokens, one a line */
    char *router_key;    /* the path of the router's public key; empty: nobody says a forged hello */
};

struct intruder {
    int fd; /* -1: away until due */
    const struct kind *kind;
    unsigned number;             /* within its kind */
    uint64_t due;                /* ms: comes again, or does the next thing */
    bool greeted;                /* the connection is there, and it has said what it says first */
    char sid[SWARM_SID_MAX + 1]; /* of its session on polling; empty: none yet */
    void *dealer;                /* a stranger's socket of ZeroMQ, or NULL */
};

struct kind {
    const char *name;
    void (*greet)(struct intruder *intruder);
    void (*step)(struct intruder *intruder); /* NULL: says nothing more */
    /* Looks at what came; false: this one goes.  NULL: nothing of it matters. */
    bool (*hear)(struct intruder *intruder, const char *data, size_t length);
    unsigned step_ms;
    bool deaf;     /* never reads */
    bool restless; /* goes by itself once it has come, and comes again after step_ms */
    bool router;   /* comes to the router's port */
};

enum { SWARM_KINDS = 20 };
extern const struct kind swarm_kinds[SWARM_KINDS];

/* Reads the files that the settings name and makes what is said often.  Both stay until swarm_kinds_done(),
   which takes one half-made, too.  0, or a negative code after saying on standard error what is wrong. */
int swarm_kinds_init(const struct swarm_settings *settings) MUST_CHECK;
void swarm_kinds_done(void);

/* Says it. What does not fit the socket is left out: nobody here cares. */
void swarm_say(const struct intruder *intruder, const void *data, size_t length);

/* Strangers at the router's port: what swarm_kinds.c has in their row. Each one makes noise, and says the
   hello of the gateway `real` with a key that nobody lists. */
int swarm_strangers_init(const struct swarm_settings *settings) MUST_CHECK; /* as swarm_kinds_init() */
void swarm_strangers_done(void);
void swarm_stranger_greet(struct intruder *intruder);

/* Ends what a stranger has besides its connection, if it has anything. Before swarm_strangers_done(). */
void swarm_stranger_leave(struct intruder *intruder);

#endif
