/* File trees as streams of entries (docs/protocol.md §7), written by a child of the agent's from the container's root
 * to its stdout, or read by one from its stdin. The child does nothing else and ends with 0 or an errno. */
#ifndef INSULA_TREE_H
#define INSULA_TREE_H

#include <stdint.h>
#include <sys/types.h>

enum tree_flags {
	TREE_ONE_FILE_SYSTEM = 1, TREE_ONLY_ITSELF = 2, TREE_FOLLOW = 4, TREE_OUTSIDE = 8, TREE_UPPER = 16,
	TREE_ROOT = 32, TREE_BARE = 64, TREE_LOWER = 128, TREE_RESOLVE = 256,
	TREE_MAKE = 1, TREE_KEEP_DIRECTORIES = 2, TREE_OWNED = 4, TREE_REMOVE = 16,
};

struct tree_request {
	const char *path;
	uint32_t flags;
	const char *root, *lower; /* where the tree's root is in the child's, and what lies below it (TREE_LOWER) */
	const char *owner; /* whose all of it is to be (TREE_OWNED): a user, as in a process */
};

/* Bodies for container_fork(); the argument is a tree_request. */
int tree_read(void *request);
int tree_write(void *request);

#endif
