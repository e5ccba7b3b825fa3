/*
 * Archived messages as MongoDB's documents, one each; docs/protocol.md shows them to people.
 *
 *   _id          {namespace, room, epoch, seq}: decided by the message alone, so a second copy is noticed
 *   namespace, room, epoch   texts
 *   seq, pos     int64
 *   at           date
 *   id           the publish id
 *   event, from, sid   texts; the latter two are the sender's name and socket
 *   deliver      "room", "others", "self", "namespace"
 *   meta         boolean: is delivered with the meta argument
 *   args         the arguments as BSON (json_bson.h); absent when BSON can't express them
 *   raw          the arguments as the exact JSON text, in brackets: what counts
 *   except       array of texts, rooms and sids that it was not for; only when there are any
 *   attachments  array of binary, only when there are any
 *
 * A text that is not UTF-8 (none should come so far) becomes a binary of the same bytes, so that no server
 * has a reason to refuse it.
 */
#ifndef HUBBUB_ROUTER_ARCHIVE_DOCUMENT_H
#define HUBBUB_ROUTER_ARCHIVE_DOCUMENT_H

#include "proto/wire.h"
#include "router/journal.h"

#include <bson/bson.h>

/* What MongoDB takes as one document. */
enum { ARCHIVE_DOCUMENT_MAX = 16 << 20 };

/* Fields that others sort, select and index by. */
#define ARCHIVE_FIELD_ID         "_id"
#define ARCHIVE_FIELD_NAMESPACE  "namespace"
#define ARCHIVE_FIELD_ROOM       "room"
#define ARCHIVE_FIELD_EPOCH      "epoch"
#define ARCHIVE_FIELD_SEQ        "seq"
#define ARCHIVE_FIELD_AT         "at"
#define ARCHIVE_FIELD_PUBLISH_ID "id"

/*
 * Appends all fields to an empty document.  Without args when they are not wanted, can't be expressed, or
 * would make the document too large.
 *   ERROR_TOO_LARGE  it is larger than ARCHIVE_DOCUMENT_MAX even so
 *   ERROR_MALFORMED  the attachments are not what journal.h says
 * After a failure the document holds a part.
 */
int archive_document_write(const struct journal_message *message, struct bytes epoch, bool with_args,
                           bson_t *out) MUST_CHECK;

/* One value: a text (one that stands there as binary, too), a whole number, a date in
   ms.  False when it is of another kind, or negative; out is untouched then. */
bool archive_value_text(const bson_iter_t *value, struct bytes *out) MUST_CHECK;
bool archive_value_number(const bson_iter_t *value, uint64_t *out) MUST_CHECK;
bool archive_value_date(const bson_iter_t *value, uint64_t *out) MUST_CHECK;

/* A document read back: class is MESSAGE_ARCHIVED, own_id false (the archive does not know it), except empty
   (nothing is delivered from there). */
struct archive_document {
    struct journal_message message;
    struct bytes epoch;
};

/*
 * Reads one; numbers of any type that holds them, since some servers change it.  Bytes point into the
 * document, those of message.attachments into `attachments`, which is emptied first.  ERROR_MALFORMED when a
 * field (other than args) is missing or of another kind; out is untouched then.
 */
int archive_document_read(const bson_t *document, struct wire_list *attachments,
                          struct archive_document *out) MUST_CHECK;

#endif
