/*
 * A disk that can lose its power: below SQLite, it notes every write, truncation and sync of a journal's file
 * and WAL, and makes the files as a loss at any of these moments could have left them.
 *
 * What a finished sync covers is there.  Of what came later anything may be there or not, in pieces of a
 * sector or, when it is cut, up to any byte.
 */
#ifndef HUBBUB_TESTS_UNIT_ROUTER_POWER_DISK_H
#define HUBBUB_TESTS_UNIT_ROUTER_POWER_DISK_H

#include <stddef.h>
#include <stdint.h>

enum { POWER_SECTOR = 512 };

/* Puts itself below SQLite, for all connections that are opened afterwards.  Once in a program. */
void power_disk_install(void);

/* The file to be watched, with its WAL: before it is opened. */
void power_disk_watch(const char *path);

/* From now on everything is noted that happens to the watched file and its WAL; both are taken to be on disk
   as they are.  An end forgets everything. */
void power_disk_begin(void);
void power_disk_end(void);

/* How many events there were so far. */
size_t power_disk_events(void);

/* How many bytes of writes before that event no sync before it covers. */
uint64_t power_disk_pending(size_t event);

/* Makes copy and copy-wal as a loss before that event could have left them: of what no sync covers the first
   `bytes` bytes, in order. */
void power_disk_cut(size_t event, uint64_t bytes, const char *copy);

/* The same with each sector there or not, by chance. */
void power_disk_scatter(size_t event, uint64_t seed, const char *copy);

#endif
