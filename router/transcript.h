/*
 * The command `history {...}` of the stats socket: a page of a room's history, one message a line.
 *
 * The argument is a JSON object: "room", and "namespace" ("/" when absent), "before" or "after", "limit" (1
 * to LISTING_MAX, default 50).  A line is
 *   {"seq":41,"id":"..","event":"msg","from":"..","at":..,"args":[..]}
 * as clients see it; behind the last message stands {"more":true} or {"more":false}.  args is the sender's
 * text byte for byte, but for line breaks between its tokens: they become blanks, and "raw" has the text as
 * it was, in brackets.  Attachments are "attachments":["<base64>", ..], in the order of the placeholders'
 * numbers.  args is always the last field, and nothing before it in the line holds the bytes ,"args":[ .
 */
#ifndef HUBBUB_ROUTER_TRANSCRIPT_H
#define HUBBUB_ROUTER_TRANSCRIPT_H

#include "router/stats.h"

struct transcript;

/*
 * Starts one: done is called once, later.  NULL when there is nothing to wait for: the answer, or an error,
 * has been appended to out then, and done is not called.
 */
struct transcript *transcript_start(struct router *router, struct bytes question, stats_done *done,
                                    void *argument, struct buffer *out);

/* done is not called any more. */
void transcript_cancel(struct transcript *transcript);

#endif
