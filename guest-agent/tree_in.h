/* What a tree's writer reads from its stdin: one entry at a time, its content piece by piece. */
#ifndef INSULA_TREE_IN_H
#define INSULA_TREE_IN_H

#include "tree_entry.h"

struct tree_in { uint8_t *bytes; size_t capacity; };

/* -1 with EBADMSG: not a valid entry, or the stream is cut. free_entry() either way. */
int in_entry(struct tree_in *, struct tree_entry *);
/* The content of one extent, to its place in a file. */
int in_extent(int fd, const struct entry_extent *);

#endif
