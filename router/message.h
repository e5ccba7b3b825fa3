/*
 * Tickets and messages: what goes through the journal, and what comes out as JSON.
 *
 * A ticket is a place in the journal's order.  A message is the ticket of a publish: one allocation
 * with all its texts, in which the delivered payload is completed once the journal has given it
 * its numbers.  Afterwards it is what memory keeps of it (recent.h).
 */
#ifndef HUBBUB_ROUTER_MESSAGE_H
#define HUBBUB_ROUTER_MESSAGE_H

#include "common/buffer.h"
#include "router/journal.h"
#include "router/room.h"

enum ticket_kind {
    TICKET_PUBLISH,  /* struct message */
    TICKET_VOLATILE, /* struct message that is not written */
    TICKET_REPEAT,   /* struct message that may be answered, but not be published any more */
    TICKET_JUDGE,    /* struct ticket_judge: was an id published before? */
    TICKET_EMIT,     /* struct message of a backend or an HTTP publisher, written or not */
    TICKET_JOIN,     /* struct ticket_join */
    TICKET_LEAVE,
    TICKET_PRESENCE,
    TICKET_ROOM,     /* LOOK at a room */
    TICKET_MOVED,    /* the end of a MOVE */
    TICKET_QUERY,    /* EXPEL or FIND */
    TICKET_STORE,    /* struct store_ticket */
    TICKET_QUESTION, /* struct question */
    TICKET_CONNECT,  /* struct ticket_connect */
    TICKET_RECOVER,  /* struct recovery */
    TICKET_ROWS,     /* struct rows_ticket: nobody waits for it, it has no link */
    TICKET_HELLO,
    TICKET_KINDS
};

struct emission;
struct judged;
struct session;

struct ticket {
    struct journal_entry entry; /* must stay first */
    enum ticket_kind kind;
    struct gateway_link *link; /* held */
    struct room *room;         /* held, or NULL */
    struct session *session;   /* held; NULL for messages, and when there is none */
    uint64_t socket, request;
    uint32_t attachment; /* the session's */
};

struct message {
    struct ticket ticket;      /* must stay first; link is NULL once it is in memory only */
    bool acknowledge;          /* the sender wants an answer */
    struct emission *emission; /* what it is a part of, until it is released; NULL for a client's (emit.c) */
    struct judged *judged;     /* of a client's: others wait for the same outcome; NULL once they have it */
    uint32_t size;             /* of the allocation */
    uint32_t payload_length, payload_capacity;
    char *payload; /* in data: the JSON array that members get */
    char data[];
};

/* No class of the journal: the message is not written, and has no number. */
#define MESSAGE_VOLATILE ((enum message_class)0)

/*
 * Copies all texts but the namespace's and the room's names, which must live as long as the message; those
 * are taken from the room. dedup_scope: see journal_entry; may be empty.  The ticket's kind is set, its other
 * fields are zero.
 */
struct message *message_new(const struct journal_message *fields, struct room *room,
                            struct bytes dedup_scope);

/* Completes the payload, after the entry's message has its pos, seq and at.  epoch: NULL for a
 * namespace without offsets. */
void message_finish(struct message *message, const char *epoch);

static inline struct bytes message_payload(const struct message *message)
{
    return bytes_make(message->payload, message->payload_length);
}

/* Appends the payload of a message that has no struct message. */
void message_append_payload(struct buffer *out, const struct journal_message *fields, const char *epoch);

/* What its payload has behind the sender's arguments, as flags of DELIVER and EMIT; epoch as for the payload.
 */
uint64_t message_payload_flags(const struct journal_message *fields, const char *epoch);

enum { MESSAGE_ID_MAX = 33 }; /* two 64-bit numbers in hexadecimal and a hyphen */

/* The id of a message whose sender gave none, made from a number that an incarnation never uses again. */
struct bytes message_make_id(char out[MESSAGE_ID_MAX], uint64_t incarnation, uint64_t number);

/* Whether it may be a sender's own id; what to say if not. */
bool message_id_valid(struct bytes id);
extern const char message_id_rule[];

/* How many attachments it has. */
unsigned message_attachments(const struct journal_message *fields);

/* Appends {"seq":..,"id":..,"event":..,"from":..,"at":.. : how every listing of messages begins. */
void message_append_head(struct buffer *out, const struct journal_message *fields);

/* Appends ,"attachments":["<base64>",..], for a listing that becomes no packet. */
void message_append_attachments(struct buffer *out, const struct journal_message *fields);

/* Appends {"seq":..,"id":..,"event":..,"from":..,"at":..,"args":[..]}, as history shows it, for a page in
   which so many attachments of other messages stand before those of this one. */
void message_append_entry(struct buffer *out, const struct journal_message *fields, unsigned before);

/* Appends ,"<epoch>.<pos>" */
void message_append_offset(struct buffer *out, const char *epoch, uint64_t pos);

/* Appends the answer to its sender. */
void message_append_answer(struct buffer *out, const struct journal_message *fields);

#endif
