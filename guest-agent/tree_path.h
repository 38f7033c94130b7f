/* Paths below a root, by descriptors: whatever links lie on the way, nothing outside the root is reached. */
#ifndef INSULA_TREE_PATH_H
#define INSULA_TREE_PATH_H

#include <limits.h>
#include <stdint.h>

/* What a tree's child does first: keeps its three streams and nothing else of the agent's; returns its root, which is
 * a folder of the child's own. */
int tree_enter(const char *folder);
/* openat2() with RESOLVE_IN_ROOT; an empty path is the root itself. */
int open_in_root(int root, const char *path, uint64_t flags);
/* The directory of a path, opened O_PATH; *name is its last part, in `path`. */
int open_parent(int root, const char *path, const char **name);
/* The same, but made as far as it is not there, 0755. */
int make_directories(int root, const char *path);
/* Where a path leads to, every link in it followed: absolute from the root, as far as there is anything, and what is left
 * of the path behind that. */
int resolve_in_root(int root, const char *path, char resolved[PATH_MAX]);
/* Removes what is there, whole directories too; nothing there is no failure. */
int remove_tree(int directory, const char *name);
/* The end of a child that failed: the path goes to stderr, the errno is the status. */
int tree_failed(const char *path);

#endif
