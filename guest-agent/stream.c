/* One output stream of a process. */
#define _GNU_SOURCE
#include "stream.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "message.h"

/* So much data that its frame, and an end behind it, still fit the 32 KiB that the port's driver takes at a time. */
enum { PIECE = FRAME_DATA - 128 };

/* Output that a terminal has processed comes piece by piece, a line's text before its end. So what comes is read this
 * much later, and together: nobody sees the moment, and an emulated kernel's first line of output needs as much. */
enum { SETTLING_NS = 5000000 };

static void terminals_settled(struct watch *, uint32_t events);

static struct stream *first, **last = &first;
static struct stream *settling; /* terminals that are read when the timer ends */
static struct watch timer = {.fd = -1, .ready = terminals_settled};

static bool has_data(const struct stream *stream)
{
	return stream->sent < stream->ring.end;
}

static void schedule(struct stream *stream)
{
	bool something = has_data(stream) || (stream->finished && !stream->end_sent);

	if (!something || !stream->flowing || stream->queued)
		return;
	stream->queued = true;
	stream->next = NULL;
	*last = stream;
	last = &stream->next;
}

static struct stream *unqueue(struct stream **link)
{
	struct stream *stream = *link;

	*link = stream->next;
	if (last == &stream->next)
		last = link;
	stream->queued = false;
	return stream;
}

static void leave_settling(struct stream *stream)
{
	struct stream **link = &settling;

	if (!stream->settling)
		return;
	while (*link != stream)
		link = &(*link)->settling_next;
	*link = stream->settling_next;
	stream->settling = false;
}

static void finish(struct stream *stream)
{
	leave_settling(stream);
	if (stream->watch.fd >= 0) {
		loop_remove(&stream->watch);
		close(stream->watch.fd);
		stream->watch.fd = -1;
	}
	stream->finished = true;
}

/* Reads as long as there is something and room for it. A pipe that gave less than was asked for is empty; a terminal
 * gives what it likes, and has hung up when it says EIO; behind what a socket gave its end may stand already. */
static void fill(struct stream *stream)
{
	while (stream->readable && stream->watch.fd >= 0 && ring_room(&stream->ring)) {
		size_t room = ring_room(&stream->ring);
		struct iovec pieces[2];
		ssize_t size;

		ring_pieces(&stream->ring, stream->ring.end, room, pieces);
		size = readv(stream->watch.fd, pieces, pieces[1].iov_len ? 2 : 1);
		if (size < 0 && errno == EAGAIN)
			stream->readable = false;
		else if (size <= 0)
			finish(stream);
		else
			stream->ring.end += (size_t)size;
		if (size > 0 && (size_t)size < room && !stream->terminal && !stream->socket && !stream->hung_up)
			stream->readable = false;
	}
	schedule(stream);
}

static void terminals_settled(struct watch *watch, uint32_t events)
{
	uint64_t ends;

	(void)events;
	if (read(watch->fd, &ends, sizeof(ends)) < 0)
		return;
	while (settling) {
		struct stream *stream = settling;

		leave_settling(stream);
		fill(stream);
	}
}

/* False: there is no timer, and it is to be read at once. */
static bool let_settle(struct stream *stream)
{
	struct itimerspec moment = {.it_value.tv_nsec = SETTLING_NS};

	if (stream->settling)
		return true;
	if (timer.fd < 0) {
		timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (timer.fd < 0)
			return false;
		loop_add(&timer, EPOLLIN);
	}
	if (!settling && timerfd_settime(timer.fd, 0, &moment, NULL) < 0)
		return false;
	stream->settling = true;
	stream->settling_next = settling;
	settling = stream;
	return true;
}

static void stream_ready(struct watch *watch, uint32_t events)
{
	struct stream *stream = (struct stream *)watch; /* its first member */

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		stream->readable = true;
	if (events & (EPOLLHUP | EPOLLERR))
		stream->hung_up = true;
	if (stream->terminal && !stream->hung_up && let_settle(stream))
		return;
	fill(stream);
}

void stream_open(struct stream *stream, int fd)
{
	stream->watch = (struct watch){.fd = fd, .ready = stream_ready};
	stream->flowing = true;
	if (fd < 0)
		stream->finished = true;
	else
		loop_add(&stream->watch, EPOLLIN);
	schedule(stream);
}

void stream_acknowledge(struct stream *stream, uint64_t offset)
{
	if (offset <= stream->ring.start || offset > stream->ring.end)
		return;
	ring_forget(&stream->ring, offset);
	if (stream->sent < offset)
		stream->sent = offset;
	if (!stream->settling)
		fill(stream);
}

void stream_resume(struct stream *stream, uint64_t offset)
{
	uint64_t from = offset < stream->ring.start ? stream->ring.start : offset;

	stream->sent = from > stream->ring.end ? stream->ring.end : from;
	stream->end_sent = false;
	stream->flowing = true;
	stream_acknowledge(stream, stream->sent);
	schedule(stream);
}

static void leave_queue(struct stream *stream)
{
	for (struct stream **link = &first; stream->queued && *link; link = &(*link)->next) {
		if (*link != stream)
			continue;
		unqueue(link);
		return;
	}
}

void stream_pause(struct stream *stream)
{
	leave_queue(stream);
	stream->flowing = false;
}

void stream_close(struct stream *stream)
{
	leave_queue(stream);
	finish(stream);
}

static void put_data(struct box *box, struct stream *stream)
{
	uint64_t left = stream->ring.end - stream->sent;
	size_t size = left < PIECE ? (size_t)left : PIECE;
	struct iovec parts[2];

	ring_pieces(&stream->ring, stream->sent, size, parts);
	put_output(box, stream->process, stream->number, stream->sent,
	           (struct piece[2]){{parts[0].iov_base, parts[0].iov_len}, {parts[1].iov_base, parts[1].iov_len}});
	stream->sent += size;
}

bool streams_put(struct box *box)
{
	bool put = false, data = false;

	while (first && !(data && has_data(first))) {
		struct stream *stream = unqueue(&first);

		put = true;
		if (has_data(stream)) {
			put_data(box, stream);
			data = true;
		}
		if (stream->finished && !has_data(stream)) {
			put_output_end(box, stream->process, stream->number, stream->ring.end);
			stream->end_sent = true;
		}
		schedule(stream);
	}
	return put;
}
