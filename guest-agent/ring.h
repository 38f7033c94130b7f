/* A ring of one window's bytes, numbered by offset from the beginning of its stream.
 *
 * It lives in a fixed pool (a process's rings come with its slot), so nothing is allocated while the agent runs; pages
 * are touched only as far as they are needed, because an empty ring begins at its start again. */
#ifndef INSULA_RING_H
#define INSULA_RING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "wire.h"

struct ring {
	uint8_t *bytes; /* STREAM_WINDOW of them */
	uint64_t origin; /* the offset that lies at bytes[0] (and every window on) */
	uint64_t start, end; /* what it holds */
};

static inline size_t ring_used(const struct ring *ring)
{
	return (size_t)(ring->end - ring->start);
}

static inline size_t ring_room(const struct ring *ring)
{
	return STREAM_WINDOW - ring_used(ring);
}

/* The bytes [offset, offset + size) as they lie: one piece, or two round the end. */
static inline void ring_pieces(const struct ring *ring, uint64_t offset, size_t size, struct iovec pieces[2])
{
	size_t at = (size_t)((offset - ring->origin) % STREAM_WINDOW);
	size_t first = size < STREAM_WINDOW - at ? size : STREAM_WINDOW - at;

	pieces[0] = (struct iovec){ring->bytes + at, first};
	pieces[1] = (struct iovec){ring->bytes, size - first};
}

static inline void ring_forget(struct ring *ring, uint64_t before)
{
	ring->start = before;
	if (ring->start == ring->end)
		ring->origin = ring->end;
}

#endif
