/* A process's standard input: what the host sent and the program has not yet read.
 *
 * The limit announced by CREDIT is what the ring can take, so nothing is ever refused for want of room, and a program
 * that does not read blocks only its own sender. When nobody can read any more, the input closes and no further
 * credit is given. */
#ifndef INSULA_INPUT_H
#define INSULA_INPUT_H

#include <stdbool.h>

#include "loop.h"
#include "ring.h"

struct input {
	struct watch watch; /* fd -1: closed. A terminal's is its master, duplicated */
	struct ring ring;
	uint32_t process;
	bool terminal, socket;
	bool writable;
	bool watched; /* only once it was full: most never are */
	bool ending; /* INPUT_END has come */
	bool after_newline; /* what the terminal got last */
	uint64_t limit; /* announced */
};

/* The descriptor is non-blocking and the input's own from here on; -1 makes one that is closed. */
void input_open(struct input *, int fd);
void input_take(struct input *, uint64_t offset, const uint8_t *data, size_t size);
void input_finish(struct input *, uint64_t offset);
void input_close(struct input *);

#endif
