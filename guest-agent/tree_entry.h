/* One entry of a tree's stream (docs/protocol.md §7), to and from bytes. No I/O here. */
#ifndef INSULA_TREE_ENTRY_H
#define INSULA_TREE_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

enum entry_kind {
	ENTRY_END = 0, ENTRY_DIRECTORY, ENTRY_FILE, ENTRY_SYMLINK, ENTRY_HARD_LINK, ENTRY_CHARACTER, ENTRY_BLOCK,
	ENTRY_FIFO, ENTRY_SOCKET,
};

enum {
	ENTRY_PATH = 4095, ENTRY_XATTRS = 256, ENTRY_XATTR_NAME = 255, ENTRY_XATTR_VALUE = 65536, ENTRY_EXTENTS = 65536,
	/* What all of that can come to, rounded up. */
	ENTRY_SIZE = 19 << 20,
};

struct entry_xattr { char *name; const uint8_t *value; uint32_t size; };
struct entry_extent { uint64_t offset, length; };

/* Decoded, the strings and arrays are in the caller's buffer or allocated by decode_entry(), until free_entry(). */
struct tree_entry {
	uint8_t kind;
	uint32_t mode, uid, gid;
	int64_t seconds;
	uint32_t nanoseconds, major, minor;
	uint64_t size;
	char *path, *link;
	uint32_t xattr_count, extent_count;
	struct entry_xattr *xattrs;
	struct entry_extent *extents;
};

/* The size word included. */
void put_entry(struct box *, const struct tree_entry *);
/* Without the size word; false: not exactly one well-formed entry. free_entry() either way. */
bool decode_entry(const uint8_t *data, size_t size, struct tree_entry *);
void free_entry(struct tree_entry *);

#endif
