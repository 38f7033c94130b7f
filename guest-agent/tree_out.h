/* What a tree's reader writes to its stdout: collected, and given away in large pieces. */
#ifndef INSULA_TREE_OUT_H
#define INSULA_TREE_OUT_H

#include <stdint.h>
#include <sys/types.h>

#include "tree_entry.h"

struct tree_out { struct box box; };

int out_flush(struct tree_out *);
int out_entry(struct tree_out *, const struct tree_entry *);
/* The file's bytes of an extent: exactly so many, for they have been announced. What a file has lost meanwhile is zeros. */
int out_extent(struct tree_out *, int fd, const struct entry_extent *);
/* Where a file has data, at most ENTRY_EXTENTS pieces: what is beyond is one with its holes. */
void find_extents(int fd, uint64_t blocks, struct tree_entry *);
uint8_t kind_of(mode_t mode);
/* Of a file or directory by its descriptor. */
int find_xattrs(int fd, struct tree_entry *);
/* Of anything else, by its name in a directory. */
int find_xattrs_at(int directory, const char *name, struct tree_entry *);

#endif
