/* Answers that come in parts: replies to a question, and sockets that were found. */
#ifndef HUBBUB_APP_GATHERING_H
#define HUBBUB_APP_GATHERING_H

#include "app/request.h"

/* ERROR_MALFORMED when a list in the record can't be read. */
int gathering_asked(struct hubbub_app *app, const struct wire_asked *asked) MUST_CHECK;
int gathering_reply(struct hubbub_app *app, const struct wire_reply *reply) MUST_CHECK;
int gathering_found(struct hubbub_app *app, const struct wire_found *found) MUST_CHECK;
void gathering_found_end(struct hubbub_app *app, const struct wire_found_end *end);

/* For hubbub_ask() and hubbub_fetch_sockets(); owned by the request from requests_ask() on. */
struct gathering *gathering_new_question(struct hubbub_app *app, hubbub_replies_callback *callback,
                                         void *user);
struct gathering *gathering_new_find(struct hubbub_app *app, hubbub_findings_callback *callback, void *user);
void gathering_free(struct gathering *gathering);

/* The request has its number, and for a question time runs. */
void gathering_begin(struct gathering *gathering, uint64_t number, uint64_t timeout);

/* It is about to be asked again on a new link: what came so far is not the answer. */
void gathering_again(struct gathering *gathering);

/* It ends without what was asked for: error is HUBBUB_ERROR_REFUSED, or GONE. Calls back, and frees it. */
void gathering_fail(struct gathering *gathering, int error, const struct wire_outcome *outcome);

#endif
