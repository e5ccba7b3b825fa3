/*
 * Events whose rule says ask: JUDGE, and its answer VERDICT.
 *
 *              is the id new?               JUDGE             VERDICT
 *   (none) ---> LOOKING ------> to be asked -----> asked of ----------> published, or refused
 *                  |                                                      (the id: until that is on disk)
 *                  +-----> answered with what came of the first with that id
 *
 * An event with an id that another one has which is on this way follows that one, and gets its outcome.
 */
#ifndef HUBBUB_ROUTER_JUDGE_H
#define HUBBUB_ROUTER_JUDGE_H

#include "router/task.h"

struct judged;

/* Whether the task of such an event is open, which its gateway asks for again. */
bool judge_resume(struct router *router, struct gateway_link *link, struct session *session,
                  uint64_t request);

/*
 * An event that could be published, in that room, if a backend had nothing against it, and that
 * judge_resume() does not know.  What the rule says now holds until it is published.  scope: of its id, see
 * journal_entry.  False when too many wait, or it is not known yet whose the socket is.
 */
bool judge_begin(struct router *router, struct gateway_link *link, struct session *session,
                 const struct wire_event *record, const struct event_rule *rule, struct room *room,
                 struct bytes scope) MUST_CHECK;

/* 0, or ERROR_PROTOCOL for a verdict that is none. */
int judge_verdict(struct router *router, struct backend *backend,
                  const struct wire_verdict *record) MUST_CHECK;

/* The journal gave back a TICKET_JUDGE; it is freed. */
void judge_release(struct router *router, struct ticket *ticket);

/* What came of a message that had been judged: those that follow it are answered the same.  fields: as
   message_append_answer() wants it, or NULL when it was refused for that code. */
void judge_published(struct router *router, struct judged *judged, const struct journal_message *fields,
                     enum refusal_code code);

/* What backends has of it. */
struct judgements;
struct judgements *judgements_new(void);
void judgements_free(struct judgements *judgements);

#endif
