/* How the agent has children: cloned straight into the cgroup and name spaces where they belong, heard until they have
 * become what they should, and reaped here if they fail before that. */
#ifndef INSULA_BIRTH_H
#define INSULA_BIRTH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "container.h"

struct birth {
	uint64_t spaces; /* new ones: clone(2)'s flags */
	int cgroup; /* a descriptor, or -1: the agent's own */
	int home, enter; /* a pidfd or a name space, and what of it is entered after the clone (setns(2)'s flags; 0: none) */
	const struct boot_document *boot; /* the main process of a container on disks, or NULL */
	bool files; /* of this container there are only its files */
	const struct process_spec *spec;
	struct stdio stdio;
	int (*body)(void *); /* instead of a program */
	void *argument;
	enum place place; /* the body's root */
	int report; /* give_birth's own */
};

/* Returns when the child is the program (or about to run its body), or has failed and is reaped. */
int give_birth(struct birth *, pid_t *pid, struct failure *);

#endif
