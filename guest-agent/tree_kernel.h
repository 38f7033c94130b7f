/* File systems that are windows into the kernel (/proc, /sys, …): what is in them is no file to be copied. */
#ifndef INSULA_TREE_KERNEL_H
#define INSULA_TREE_KERNEL_H

#include <stdbool.h>

/* Whether an open file is in one. Such a directory is read as an empty one, and anything else in it is not there. */
bool is_of_kernel(int fd);

#endif
