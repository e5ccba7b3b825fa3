/*
 * One batch for MongoDB: messages that wait for its answer, and what became of each.
 *
 * A message is settled when it is stored, when it was stored before under the same publish id, or when
 * MongoDB refuses it for good.  What is not settled stays as it is and is sent again by the next call: its
 * document's id is decided by the message, so an answer that got lost can't make two of one.
 */
#ifndef HUBBUB_ROUTER_ARCHIVE_BATCH_H
#define HUBBUB_ROUTER_ARCHIVE_BATCH_H

#include "router/archive_client.h"
#include "router/journal.h"

struct archive_batch {
    struct archive_item *items;
    size_t count, capacity;
    uint64_t first_at;      /* of the oldest message in it */
    uint64_t stored, known; /* of them: written now, and found written before */
    size_t refused;
    bool lightened; /* some lost their args in the last round */
};

/* Frees what it holds and leaves it empty; the second keeps its own memory. */
void archive_batch_done(struct archive_batch *batch);
void archive_batch_clear(struct archive_batch *batch);

/* Adds an archived message; the epoch is the journal's.  One that no document can hold is refused at once. */
void archive_batch_add(struct archive_batch *batch, const struct journal_message *message,
                       struct bytes epoch);

/* How many documents one write carries: fewer after a failure, since a server may be too slow to take as many
   in time, and more again when its answers are quick. */
enum { ARCHIVE_PACE_MIN = 16 };
struct archive_pace {
    uint32_t now, most;
    uint32_t timeout; /* ms, of an answer */
};

/*
 * Sends what is not settled, with unordered writes at the pace, which changes, and looks up what is said to
 * be stored already. Blocks. 0 when all is settled; ERROR_AGAIN with a reason when something has to be sent
 * again after a pause.
 */
int archive_batch_send(struct archive_batch *batch, struct archive_client *client, struct archive_pace *pace,
                       bson_error_t *reason) MUST_CHECK;

/* The refused ones, batch->refused of them; the texts are the batch's. */
void archive_batch_letters(const struct archive_batch *batch, struct journal_letter *out);

/* Whether a server that answers with this number may take the same later: it is no primary (any more), shuts
   down, lacks rights, space or a majority. */
bool archive_code_passes(uint32_t code);

#endif
