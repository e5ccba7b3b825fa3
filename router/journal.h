/*
 * The journal: the router's log of messages, one SQLite file written by one thread.
 *
 * The loop thread hands over entries in order; the journal thread takes all that
 * wait, numbers and writes them in one transaction (group commit), and gives every
 * entry back in the same order.  An entry that comes back with result 0 is on disk.
 * Entries that write nothing (JOURNAL_PASS) only keep their place in that order:
 * what must not overtake a message of its room goes through here too.
 *
 * Numbers: pos is one for the whole log, seq one for each (namespace, room), both
 * from 1 without holes; at is the wall clock in ms and never decreases within a room.
 * Only archived messages take a seq: a logged one has its pos and at, and seq 0, and never
 * stands in a page (NB: so history has no holes; ranges give both classes).
 *
 * Threads: every function is called by the loop thread, unless it says otherwise.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_H
#define HUBBUB_ROUTER_JOURNAL_H

#include "common/bytes.h"
#include "common/error.h"
#include "common/histogram.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    JOURNAL_EPOCH_LENGTH = 8, /* characters of A-Z a-z 0-9 - _ */
    JOURNAL_DEDUP_HOURS = 24,
    JOURNAL_BRIEF = '~',           /* the first byte of a brief scope, see journal_entry */
    JOURNAL_BRIEF_MAX = 256 << 10, /* ids of such scopes that are known, the newest; at the start among as
                                      many of the newest messages */
    JOURNAL_GROUP_MAX = 4096,      /* entries */
};

enum journal_kind {
    JOURNAL_PASS,   /* writes nothing; comes back in its turn */
    JOURNAL_WRITE,  /* a message to number and to write */
    JOURNAL_CHANGE, /* a change of a session's rows; else as PASS */
};

/* Stored in the file: numbers never change their meaning. */
enum message_class {
    MESSAGE_ARCHIVED = 1, /* for good */
    MESSAGE_LOGGED = 2,   /* for the recovery window */
};

/* Stored in the file and sent on the link: numbers never change their meaning. */
enum deliver_mode {
    DELIVER_ROOM = 0,
    DELIVER_OTHERS = 1,
    DELIVER_SELF = 2,
    DELIVER_NAMESPACE = 3,
};

/* What one row holds.  All bytes are borrowed; see who hands it out for how long. */
struct journal_message {
    uint64_t pos, seq, at;
    struct bytes namespace, room;
    struct bytes publish_id;
    struct bytes event;
    struct bytes arguments;   /* JSON text as it came in: the arguments joined by commas; may be empty */
    struct bytes attachments; /* a msgpack array of bin, or empty */
    struct bytes except;      /* a msgpack array of str, rooms and sids that do not get it; or empty */
    struct bytes sender_sid, sender_name;
    enum deliver_mode deliver;
    enum message_class class;
    bool meta;   /* is delivered with the meta argument */
    bool own_id; /* publish_id is the client's own, and so anything; known of rows only from dedup_scope */
};

/* A room of a session; joined_pos JOURNAL_HERE stands for the position that the entry gets. */
struct journal_session_room {
    struct bytes room;
    uint64_t joined_pos;
    bool watch;
};

#define JOURNAL_HERE UINT64_MAX

/* A session that its client may come back to.  from is empty for an anonymous one, data (JSON text) when
   there is none. */
struct journal_session {
    uint64_t id;
    struct bytes sid, secret, namespace, from, data;
    uint64_t generation;
    uint64_t connected_pos; /* as joined_pos */
    const struct journal_session_room *rooms;
    size_t room_count;
};

/* NEW and SAVE write the session and all its rooms; the others want the session's id and what they are named
   after, ROOM changes one room. */
struct journal_change {
    enum journal_change_kind {
        JOURNAL_SESSION_NEW,        /* of an id that never had rows in this file */
        JOURNAL_SESSION_SAVE,       /* instead of what is there */
        JOURNAL_SESSION_GENERATION, /* is that from now on */
        JOURNAL_SESSION_DATA,       /* is that from now on */
        JOURNAL_SESSION_REMOVE,     /* with its rooms; and, when its namespace and sid are given, with what
                                       leads to the messages that were for it alone */
        JOURNAL_ROOM_JOIN,          /* keeps the position of one that is there, and takes over watch */
        JOURNAL_ROOM_MOVE,          /* takes over position and watch of one that is there */
        JOURNAL_ROOM_LEAVE,
    } kind;
    struct journal_session session;
};

/*
 * One entry of the queue.  The caller allocates it, usually inside something
 * larger, and owns it again when it comes back from journal_collect(); in between
 * it belongs to the journal, with all that its bytes point to.
 */
struct journal_entry {
    struct journal_entry *next; /* the journal's */
    enum journal_kind kind;
    /* The next entry, submitted before the next flush, belongs to the same group (at most JOURNAL_GROUP_MAX
       of kind WRITE): they are committed together or not at all, and come back in one journal_collect().  If
       the first of them is not written because its id counts already, neither are the others. */
    bool more;

    /* For WRITE: all but pos, seq, at.  For others: namespace and room, or room.length 0 for none. */
    struct journal_message message;
    const struct journal_change *change; /* CHANGE only */

    /* WRITE: message.publish_id is the client's own and counts once within this scope for
       JOURNAL_DEDUP_HOURS; length 0 when the id is not the client's.  Scopes of a sender's name and
       of a room are kept apart by the caller.  Ids of a scope that begins with JOURNAL_BRIEF are forgotten
       when enough others were used, and cost the file nothing: for ids that are not used again unless an
       answer was lost.
       PASS: what was published with that id is asked for; length 0 when nothing is. */
    struct bytes dedup_scope;

    /*
     * Comes back.  For WRITE 0: committed, message.{pos,seq,at} are its own.
     *   ERROR_EXISTS: the same id was committed before; pos, seq and at are of that first one, and 0 when
     * only the first of its group was.
     *   ERROR_NO_SPACE: the disk is full; nothing of it was kept, and it took no number.
     * For PASS 0; message.pos is the last position given out before it, message.seq the last
     * number of its room (0 for a room without messages).  Or ERROR_EXISTS, as above, to what asks for an id.
     * For CHANGE as for PASS, with 0 when it is committed, and ERROR_NO_SPACE when the disk is full and the
     * rows stay as they were.
     */
    int result;
};

/*
 * What stays in the journal.  Everything stays for recovery_ms after its commit, and after the start, by the
 * monotonic clock (0: all stays for ever); then logged messages leave.  Archived ones leave when they are
 * older than keep_ms or more than keep_messages archived ones are there (0: no such bound), with `archive`
 * only once the archive has them. Nothing leaves because the wall clock jumped forward: see journal_clock.h.
 */
struct journal_retention {
    uint64_t recovery_ms;
    uint64_t keep_ms, keep_messages;
    bool archive;
};

struct journal_options {
    const char *path;      /* of the SQLite file; its folder exists */
    uint64_t recent_bytes; /* journal_open() hands the newest messages up to this many bytes to `recent` */
    struct journal_retention retention;
    unsigned abort_after_commits; /* test hook: abort() between this commit and its hand-back; 0 never */
    unsigned abort_after_changes; /* the same, of the commits with a change */
    /* Called by journal_open() for each session after all of `recent`, with its argument; may be NULL. */
    void (*session)(void *argument, const struct journal_session *session);
    /* Called by journal_close() for each entry that did not come back, with the same argument; may be NULL.
       After a failure nobody knows what became of it. */
    void (*lost)(void *argument, struct journal_entry *entry);
};

struct journal;

/* The journal's counters; read by any thread. */
struct journal_statistics {
    uint64_t commits, messages;   /* since the start */
    uint64_t changes;             /* of sessions' rows */
    uint64_t duplicates, refused; /* ERROR_EXISTS, ERROR_NO_SPACE */
    uint64_t waiting;             /* entries handed over and not yet back */
    struct histogram commit;      /* ns a commit */
    struct histogram commit_size; /* messages and changes of sessions' rows in one */
    uint64_t commit_ns_max, commit_ns_last;
    uint64_t unindexed; /* messages committed and not yet in the room index */
    uint64_t checkpoints, file_bytes, wal_bytes;
    uint64_t rows_read;                    /* rows and index entries that reads have looked at */
    uint64_t logged_floor, archived_floor; /* no such message is left at or below; see journal_tail() */
    uint64_t removed;                      /* archived messages, since the file was made */
    struct histogram removal;              /* ns a step of removal */
    uint64_t removal_ns_max;
    bool storage_full; /* the last commit failed for want of space */
};

/*
 * Opens or makes the file, checks it, brings the room index up to date, and starts the
 * threads.  `recent` is called for the newest messages in pos order (bytes valid for the call).
 * Failures put one line for the operator, with the path and what was found, into
 * message (message_size bytes):
 *   ERROR_LOCKED   another process has it open
 *   ERROR_FOREIGN  a file that is no Hubbub journal, or one of a newer schema
 *   ERROR_CORRUPT  SQLite or our own checks found damage
 *   ERROR_NO_SPACE, ERROR_IO
 */
int journal_open(const struct journal_options *options,
                 void (*recent)(void *argument, const struct journal_message *message), void *argument,
                 struct journal **out, char *message, size_t message_size) MUST_CHECK;

/* Commits what waits, stops the threads, closes the file.  Entries not collected are lost(), see above. Reads
   not collected are done() here, those not begun with ERROR_CLOSED.  NULL is fine. */
void journal_close(struct journal *journal);

/* JOURNAL_EPOCH_LENGTH characters and a terminator; made with the file. */
const char *journal_epoch(const struct journal *journal);

/* The last committed position that was given back, or that was found at the start; 0 for an empty journal. */
uint64_t journal_head(const struct journal *journal);

/* The log is whole from this position on; at most journal_head() + 1.  Below it logged messages have left,
   and archived ones may have. */
uint64_t journal_tail(const struct journal *journal);

/* Hands an entry over; the batch is sent to the thread by journal_flush(), once a turn of the loop. */
void journal_submit(struct journal *journal, struct journal_entry *entry);
void journal_flush(struct journal *journal);

/* An eventfd that polls readable when entries have come back or a read is done. */
int journal_fd(const struct journal *journal);

/*
 * Gives back what is done, in order: calls back for each entry, then for each finished read.
 * Callbacks may submit entries and reads.  Returns 0, or ERROR_IO after an input/output error whose
 * outcome is unknown: nothing was handed back for it, and the program must exit and recover from the file.
 */
int journal_collect(struct journal *journal, void (*done)(void *argument, struct journal_entry *entry),
                    void *argument) MUST_CHECK;

/* One line about the error behind ERROR_IO. */
const char *journal_failure(const struct journal *journal);

void journal_statistics(const struct journal *journal, struct journal_statistics *out);

struct journal_missed_room {
    struct bytes room;
    uint64_t from; /* missed is what comes after this position */
};

/*
 * For whoever copies the log elsewhere, from a thread of its own (journal_follower.h reads it).  Of these
 * functions any thread may call any; journal_wait() is for one at a time.
 */

/* Waits until a position beyond pos is committed: true; false after so many ms, or after a
   journal_wait_end(), which also ends the next wait when there is none. */
bool journal_wait(struct journal *journal, uint64_t pos, uint64_t milliseconds);
void journal_wait_end(struct journal *journal);

/* The last committed position, which may not be given back yet. */
uint64_t journal_committed(const struct journal *journal);

/* A message that can't be copied, and why, in the words and with the number of whoever refused it. */
enum { JOURNAL_LETTER_ERROR_MAX = 200 }; /* bytes; a longer one is cut */
struct journal_letter {
    uint64_t pos;
    int code;
    const char *error;
};

/*
 * Says that all archived messages up to pos are copied, but for these, which go to table dead_letter.  It is
 * written behind the commits; the position that is on disk is journal_archived_position().  ERROR_BUSY when
 * too many letters are not written yet: nothing was noted.
 */
int journal_archived(struct journal *journal, uint64_t pos, const struct journal_letter *letters,
                     size_t count) MUST_CHECK;
uint64_t journal_archived_position(const struct journal *journal);
uint64_t journal_dead_letters(const struct journal *journal); /* rows of that table */

/* For other connections to the file: its path, and what they hold while they read. */
const char *journal_path(const struct journal *journal);
pthread_mutex_t *journal_snapshot(struct journal *journal);

/*
 * Reads of what memory no longer has, by a thread of their own with a connection of their own.
 *
 * A page: archived messages of one room with after < seq < before (exclusive, 0: no bound), the newest
 * `limit` of them when `before` is set or neither is, the oldest `limit` when only `after` is or `forward`
 * says so; always handed out in ascending order.  It ends early, with the message that takes the bytes of its
 * texts beyond max_bytes (0: no bound), and then `more` is true.  The journal may have removed a room's older
 * messages: first_seq says from which number on it has them.
 * A range: all messages with first <= pos <= last, until the bytes of their texts exceed max_bytes
 * (then `complete` is false); ERROR_NOT_FOUND when first lies below journal_tail() by now.
 * What was missed: for a client that was away, the messages of both classes that were for its rooms and its
 * namespace, in pos order: each with from < pos <= last, where from is that of the room, or namespace_from
 * for a message to the whole namespace (DELIVER_NAMESPACE, whichever room it names).  All or nothing: more
 * than `limit` of them, or more than max_bytes of texts, give `complete` false and no message;
 * ERROR_NOT_FOUND when one may have been removed.  DELIVER_OTHERS messages of a room are among them whoever
 * sent them; a DELIVER_SELF message is found under its sender's sid instead of its room: name that as one of
 * the rooms.
 */
struct journal_read {
    struct journal_read *next; /* the journal's */
    enum { JOURNAL_READ_PAGE, JOURNAL_READ_RANGE, JOURNAL_READ_MISSED } kind;
    struct bytes namespace;                  /* PAGE, MISSED; as all that is pointed to, valid until done */
    struct bytes room;                       /* PAGE */
    uint64_t before, after;                  /* PAGE */
    bool forward;                            /* PAGE: from the oldest on, whatever the bounds are */
    const struct journal_missed_room *rooms; /* MISSED: each once, in any order */
    size_t room_count;                       /* MISSED */
    uint64_t namespace_from;                 /* MISSED */
    unsigned limit;                          /* PAGE: at most 200; MISSED */
    uint64_t first;                          /* RANGE */
    uint64_t last;                           /* RANGE, MISSED */
    uint64_t max_bytes;
    void (*done)(struct journal_read *read, void *argument);
    void *argument;

    /* Valid in done() and until journal_read_free(). */
    int result; /* 0, or ERROR_IO, ERROR_CLOSED; RANGE, MISSED: ERROR_NOT_FOUND */
    struct journal_message *messages;
    size_t count;
    bool more;          /* PAGE: the bounds hold further messages beyond the limits that the journal has */
    uint64_t first_seq; /* PAGE: the oldest of the room that the journal has; 0 for none */
    bool complete;      /* RANGE, MISSED */
    void *memory;       /* the journal's: what the messages' bytes point into */
};

enum { JOURNAL_READS_WAITING_MAX = 256 };

/* Starts a read; done() is called by journal_collect().  ERROR_BUSY when too many wait.  The read is the
   caller's; after done() it calls journal_read_free() for what the journal allocated in it.
   Pages see every message that was given back before the call, though the index may lag. */
int journal_read(struct journal *journal, struct journal_read *read) MUST_CHECK;
void journal_read_free(struct journal_read *read);

#endif
