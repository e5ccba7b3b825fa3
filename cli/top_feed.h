/*
 * Asks the router's stats socket the same questions again and again, on the loop, and keeps what it answered
 * last.
 *
 *   AWAY -> IDLE      connected
 *   IDLE -> ASKING    the questions were sent
 *   ASKING -> IDLE    all answers came
 *   IDLE, ASKING -> AWAY   the router hung up, or said that it is busy; the next round tries again
 *
 * Answers stay while the router is away.
 */
#ifndef HUBBUB_CLI_TOP_FEED_H
#define HUBBUB_CLI_TOP_FEED_H

#include "common/buffer.h"
#include "common/loop.h"

#include <jansson.h>
#include <stdbool.h>

enum top_question { TOP_STATS, TOP_ROOMS, TOP_GATEWAYS, TOP_BACKENDS, TOP_QUESTIONS };

struct top_feed;

/* All answers of a round are there, or there will be none. */
typedef void top_feed_changed(void *arg);

/* path is borrowed. */
struct top_feed *top_feed_new(struct loop *loop, const char *path, top_feed_changed *changed, void *arg);

/* Takes NULL. */
void top_feed_free(struct top_feed *feed);

/*
 * Begins a round; lines: one question a line, TOP_QUESTIONS of them.  False when the round before is not over:
 * then nothing is asked.  changed() may come before it returns.
 */
bool top_feed_ask(struct top_feed *feed, struct bytes lines);

/* The last answer, borrowed until the next round; NULL: none, or it was an error. */
const json_t *top_feed_answer(const struct top_feed *feed, enum top_question question);

/* The error that came instead; "" when there was none. */
const char *top_feed_error(const struct top_feed *feed, enum top_question question);

/* Why there are no answers just now, for people; NULL while there are. */
const char *top_feed_trouble(const struct top_feed *feed);

#endif
