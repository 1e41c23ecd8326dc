/* FNV-1a, 64 bits: tells contents apart; no defence against an adversary. */
#ifndef QMD_LIB_HASH_H
#define QMD_LIB_HASH_H

#include <stddef.h>
#include <stdint.h>

#define QMDI_HASH_START 0xcbf29ce484222325u

/* The hash of what `hash` stands for, followed by these bytes. */
static inline uint64_t qmdi_hash(uint64_t hash, const void *data, size_t size) {
	const unsigned char *bytes = data;
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	return hash;
}

#endif
