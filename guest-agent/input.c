/* A process's standard input. */
#define _GNU_SOURCE
#include "input.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "message.h"
#include "session.h"
#include "terminal.h"

enum { CREDIT_STEP = STREAM_WINDOW / 4 };

void input_close(struct input *input)
{
	if (input->watch.fd < 0)
		return;
	if (input->watched)
		loop_remove(&input->watch);
	if (input->socket)
		shutdown(input->watch.fd, SHUT_WR); /* its other direction goes on, by a descriptor of its own */
	close(input->watch.fd);
	input->watch.fd = -1;
}

static void announce(struct input *input)
{
	uint64_t limit = input->ring.start + STREAM_WINDOW;

	if (input->watch.fd < 0 || input->ending || limit - input->limit < CREDIT_STEP)
		return;
	input->limit = limit;
	put_credit(session_box(), input->process, limit);
}

/* A pipe ends by being closed. A terminal has no end, so its line discipline is told: once where a line begins, twice
 * within one, where the first only hands over the line so far. */
static void end(struct input *input)
{
	if (input->terminal)
		terminal_end_input(input->watch.fd, input->after_newline ? 1 : 2);
	input_close(input);
}

static void wait_for_room(struct input *input)
{
	input->writable = false;
	if (!input->watched)
		loop_add(&input->watch, EPOLLOUT);
	input->watched = true;
}

static void drain(struct input *input)
{
	struct ring *ring = &input->ring;

	while (input->writable && input->watch.fd >= 0 && ring_used(ring)) {
		size_t used = ring_used(ring);
		struct iovec pieces[2];
		ssize_t size;

		ring_pieces(ring, ring->start, used, pieces);
		size = writev(input->watch.fd, pieces, pieces[1].iov_len ? 2 : 1);
		if (size < 0 && errno == EAGAIN) {
			wait_for_room(input);
		} else if (size < 0) {
			input_close(input);
		} else if (size > 0) {
			uint64_t reached = ring->start + (size_t)size;

			ring_pieces(ring, reached - 1, 1, pieces);
			input->after_newline = *(uint8_t *)pieces[0].iov_base == '\n';
			ring_forget(ring, reached);
		}
	}
	if (input->ending && input->watch.fd >= 0 && !ring_used(ring))
		end(input);
	announce(input);
}

static void input_ready(struct watch *watch, uint32_t events)
{
	struct input *input = (struct input *)watch; /* its first member */

	(void)events; /* an error shows in the next write */
	input->writable = true;
	drain(input);
}

void input_open(struct input *input, int fd)
{
	input->watch = (struct watch){.fd = fd, .ready = input_ready};
	input->writable = true;
	input->after_newline = true;
	announce(input);
}

void input_take(struct input *input, uint64_t offset, const uint8_t *data, size_t size)
{
	uint64_t taken = input->ring.end;
	struct iovec pieces[2];

	if (input->watch.fd < 0)
		return;
	if (offset > taken || input->limit - offset < size || (input->ending && offset + size > taken)) {
		input_close(input); /* a gap, or beyond the limit: what would follow is not what was meant */
		return;
	}
	if (offset + size <= taken)
		return;
	data += taken - offset;
	size -= (size_t)(taken - offset);
	ring_pieces(&input->ring, taken, size, pieces);
	memcpy(pieces[0].iov_base, data, pieces[0].iov_len);
	memcpy(pieces[1].iov_base, data + pieces[0].iov_len, pieces[1].iov_len);
	input->ring.end += size;
	drain(input);
}

void input_finish(struct input *input, uint64_t offset)
{
	if (input->watch.fd < 0 || input->ending)
		return;
	if (offset != input->ring.end) {
		input_close(input);
		return;
	}
	input->ending = true;
	drain(input);
}
