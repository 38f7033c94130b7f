/* What the layers below the overlay's upper directory have in an entry's place (TREE_LOWER). */
#ifndef INSULA_TREE_LOWER_H
#define INSULA_TREE_LOWER_H

#include "tree_entry.h"

#define LOWER_XATTR "insula.lower"

/* Its first attribute, unless there is nothing. The value is allocated, as those of find_xattrs(). */
int find_lower(int lower, const char *path, struct tree_entry *);

#endif
