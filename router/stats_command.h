/*
 * The commands of the stats socket: what each is called with, and how it answers.  docs/protocol.md, section 4.
 */
#ifndef HUBBUB_ROUTER_STATS_COMMAND_H
#define HUBBUB_ROUTER_STATS_COMMAND_H

#include "router/command.h"
#include "router/report.h"
#include "router/stats.h"

/* One command, while it is carried out. */
struct stats_request {
    struct stats *stats;
    struct router *router;
    const struct command *command; /* words[0] is its name */
    struct bytes rest;             /* the line behind the name, as it came */
    struct stats_waiter *waiter;   /* of an answer that comes later */
    struct report report;          /* of one that is given at once */
};

/* Who waits for an answer that comes later; the report that it is written with goes to out. */
struct stats_reply {
    stats_done *done;
    void *argument;
    bool json;
    struct buffer out;
};

/* Takes over whom the request waits for; pending and cancel are what stands in the waiter. */
void stats_reply_later(const struct stats_request *request, struct stats_reply *reply, void *pending,
                       void (*cancel)(void *pending));

/* Hands over what out has, and empties it.  Whoever waited may have the next command carried out in there. */
void stats_reply_send(struct stats_reply *reply);

/* The word of that index; empty when there are not so many. */
struct bytes stats_word(const struct stats_request *request, unsigned index);

/* Answers with an error. */
enum stats_outcome stats_refuse(struct stats_request *request, const char *text);

/* Answers that the command wants other words. */
enum stats_outcome stats_misused(struct stats_request *request);

/* The same of a word that is not what it should be; format: what that is, "SECONDS is ...". */
enum stats_outcome stats_misused_word(struct stats_request *request, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Reads "in NAMESPACE" from that word on, moving *index behind it; "/" when it does not stand there.  False when
 * there is no name behind "in".
 */
bool stats_read_namespace(const struct stats_request *request, unsigned *index, struct bytes *namespace);

/*
 * Reads "ROOM [in NAMESPACE]", all that stands behind the command's name.  *outcome is the answer when NULL is
 * returned: other words are wanted, or there is no such room.
 */
struct room *stats_read_room(struct stats_request *request, enum stats_outcome *outcome);

/* The link of the gateway of that name; NULL when there is none. */
struct gateway_link *stats_find_gateway(const struct router *router, struct bytes name);

#endif
