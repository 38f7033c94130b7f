/* TREE_READ and TREE_WRITE: a process whose program is the agent's own tree code. */
#ifndef INSULA_TREE_START_H
#define INSULA_TREE_START_H

#include <stdbool.h>

#include "process.h"
#include "wire.h"

/* The cursor stands behind the request number; a known process number is a repeat, and starts nothing. */
int tree_start(struct cursor *, int (*body)(void *), bool booted, struct process **started, struct failure *);

#endif
