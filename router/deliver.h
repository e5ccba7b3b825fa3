/*
 * Messages on their way out of the router: which gateways get one, as which record, and what memory keeps.
 *
 * A DELIVER for each gateway with members, a CAST when there are exceptions or a question, an EMIT or a POSE
 * for a single socket.
 */
#ifndef HUBBUB_ROUTER_DELIVER_H
#define HUBBUB_ROUTER_DELIVER_H

#include "router/router.h"

/* fields: namespace, room, deliver, class, pos, except and attachments are read; a class other than archived
   or logged says that no replay will bring it again. */
struct delivery {
    const struct journal_message *fields;
    struct room *room;
    const struct session *sender; /* of OTHERS and SELF; NULL when it is gone, or of no matter */
    struct bytes payload;
    uint64_t flags; /* WIRE_DELIVER_* */
    uint64_t ack;   /* the packet asks for an acknowledgement under this id; 0: for none */
};

/* To whom fields->deliver says. */
void deliver(struct router *router, struct delivery *delivery);

/* To one gateway that has members. */
void deliver_to(struct router *router, struct gateway_link *link, const struct delivery *delivery);

/* The session of the one that OTHERS leaves out, or SELF is for: it may be on another gateway by now than the
   one that published for it.  NULL for other messages, and when it is gone. */
struct session *deliver_sender(const struct router *router, const struct journal_message *fields);

/*
 * The release of a message that was written, in this order: what the router counts and remembers of it; its
 * delivery, with the payload completed; memory (recent.h), which takes the message over.
 */
void deliver_note(struct router *router, struct message *message);
void deliver_message(struct router *router, struct message *message, uint64_t flags);
void deliver_keep(struct router *router, struct message *message);

/* The release of one that is not written, at this place in the log: it gets its time, and is freed. */
void deliver_unwritten(struct router *router, struct message *message, uint64_t flags);

/* The same at once, for one that needs no message. */
void deliver_fields(struct router *router, struct journal_message *fields, struct room *room,
                    const struct session *sender, uint64_t flags);

#endif
