/* Files met that have several names, so that the next name becomes a hard link to the first. */
#ifndef INSULA_TREE_SEEN_H
#define INSULA_TREE_SEEN_H

#include <stddef.h>
#include <stdint.h>

struct seen_file { uint64_t device, inode; char *path; };
struct tree_seen { struct seen_file *files; size_t count, capacity; };

/* The path under which it was met first, or NULL, and then it is remembered by this one. */
const char *seen_before(struct tree_seen *, uint64_t device, uint64_t inode, const char *path);

#endif
