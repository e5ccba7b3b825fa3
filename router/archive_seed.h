/* A new journal beside an old archive: its rooms go on above the archive's numbers. */
#ifndef HUBBUB_ROUTER_ARCHIVE_SEED_H
#define HUBBUB_ROUTER_ARCHIVE_SEED_H

#include "router/archive_client.h"

/*
 * For a journal that is new (journal_seed.h), reads the last number of every room from the archive and puts
 * them into the journal's file, which must not be open.  Waits for MongoDB as long as it takes, with a log
 * line now and then: to number messages without it could use a number twice.  0, also when there is nothing
 * to do, or as journal_open() with a message.
 */
int archive_seed(const struct archive_place *place, const char *path, char *message,
                 size_t message_size) MUST_CHECK;

#endif
