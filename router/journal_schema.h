/*
 * The journal's tables: making them, knowing them again, and bringing an older file up to date.
 *
 * A table that is added, or changed, is a row of the table of tables in the .c, with the version that brought
 * it; keys of table meta are made by the same version's text.  Functions return 0 or a code with a message,
 * as journal_open().
 */
#ifndef HUBBUB_ROUTER_JOURNAL_SCHEMA_H
#define HUBBUB_ROUTER_JOURNAL_SCHEMA_H

#include "router/journal_file.h"

/* Makes all tables in an empty file, with what meta must hold; the epoch is drawn here. */
int journal_schema_create(struct journal_file *file, char *message, size_t message_size) MUST_CHECK;

/* Whose file it is, by the header, of which version, and whether the tables are those of that version. */
int journal_schema_check(struct journal_file *file, unsigned *version, char *message,
                         size_t message_size) MUST_CHECK;

/* Turns a file of that version into one of this program's, in one transaction; nothing to do is fine. */
int journal_schema_upgrade(struct journal_file *file, unsigned version, char *message,
                           size_t message_size) MUST_CHECK;

#endif
