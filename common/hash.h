/*
 * Keyed hashing of bytes that peers choose (room names, ids), so that nobody
 * outside can make keys collide.  SipHash-1-3 under a key drawn at the first use.
 */
#ifndef HUBBUB_COMMON_HASH_H
#define HUBBUB_COMMON_HASH_H

#include "common/bytes.h"

#include <stdint.h>

/* Differs between processes; never store or send it. */
uint64_t hash_bytes(struct bytes bytes);

/* The same function under a key of the caller's: stable, for tests and for files. */
uint64_t hash_bytes_keyed(struct bytes bytes, uint64_t key0, uint64_t key1);

#endif
