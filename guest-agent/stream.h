/* One output stream of a process: what the program writes, kept until the host has acknowledged it.
 *
 * The ring is the credit. When it is full the program's pipe is left alone, so the program blocks on its own pipe and
 * nobody else does. What is ready to be sent waits in one queue for its turn, a frame at a time. */
#ifndef INSULA_STREAM_H
#define INSULA_STREAM_H

#include <stdbool.h>

#include "loop.h"
#include "ring.h"
#include "wire.h"

struct stream {
	struct watch watch; /* fd -1: none, or at its end */
	struct ring ring;
	uint32_t process;
	uint8_t number; /* 1 stdout, 2 stderr */
	bool terminal, socket;
	bool settling; /* a terminal that is read in a moment */
	bool readable, hung_up; /* what the loop has said of the descriptor */
	bool finished; /* the program will write no more */
	bool flowing; /* the host wants it: RESUME, or started in this connection */
	bool end_sent;
	bool queued;
	uint64_t sent;
	struct stream *next, *settling_next;
};

/* The descriptor is non-blocking and the stream's own from here on; -1 makes a stream that has already ended. */
void stream_open(struct stream *, int fd);
void stream_acknowledge(struct stream *, uint64_t offset);
void stream_resume(struct stream *, uint64_t offset);
void stream_pause(struct stream *); /* a new connection: nothing flows until RESUME */
void stream_close(struct stream *);

/* Puts the next data frame of whoever's turn it is, and ends that need no data; false: nothing waits. */
bool streams_put(struct box *);

#endif
