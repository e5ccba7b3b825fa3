/*
 * The archive: a thread that copies archived messages from the journal to MongoDB, in order, each until
 * MongoDB has it by the write concern or refuses it for good.
 *
 *   connecting --> following <--> retrying
 *
 * It reads the journal's file over a connection of its own, writes unordered batches, and notes its progress
 * in the journal behind MongoDB's answers.  Nothing else ever waits for it; while MongoDB is away, messages
 * stay in the journal.  All functions are the loop thread's.
 */
#ifndef HUBBUB_ROUTER_ARCHIVE_H
#define HUBBUB_ROUTER_ARCHIVE_H

#include "router/archive_client.h"
#include "router/journal.h"

struct archive_options {
    struct archive_place place; /* checked; it is copied */
    uint32_t retry_max;         /* ms: the longest pause before it tries again */
    uint32_t batch;             /* messages of one write */
    uint64_t batch_bytes;       /* of their texts; a single message may be larger */
};

enum archive_state {
    ARCHIVE_CONNECTING, /* no server has answered yet */
    ARCHIVE_FOLLOWING,  /* all is well */
    ARCHIVE_RETRYING,   /* the last write failed */
    ARCHIVE_STATES
};

enum { ARCHIVE_ERROR_MAX = 256 };

struct archive_statistics {
    enum archive_state state;
    uint64_t archived;                 /* messages written since the start */
    uint64_t known;                    /* messages that were there already, of an answer that got lost */
    uint64_t refused;                  /* messages refused for good since the start */
    uint64_t retries;                  /* failures after which it tried again */
    uint64_t writes;                   /* answers that settled a batch */
    uint64_t position;                 /* up to which all is archived */
    uint64_t lag_messages;             /* positions committed beyond that */
    uint64_t lag_ms;                   /* the age of the oldest message that it holds and MongoDB does not */
    char error[ARCHIVE_ERROR_MAX + 1]; /* of the last failure, "" for none yet; no payload, no secret */
    uint64_t error_at;                 /* by the wall clock, ms */
};

struct archive;

extern const char *const archive_state_texts[ARCHIVE_STATES];

/* Starts following an open journal; 0, or as journal_open() with a message.  Whether MongoDB is there shows
   later. */
int archive_start(const struct archive_options *options, struct journal *journal, struct archive **out,
                  char *message, size_t message_size) MUST_CHECK;

/* Ends it, before the journal is closed.  Waits a second at most: a thread that MongoDB holds up longer is
   left behind, touches nothing any more, and ends with the process.  NULL is fine. */
void archive_stop(struct archive *archive);

void archive_statistics(struct archive *archive, struct archive_statistics *out);

#endif
