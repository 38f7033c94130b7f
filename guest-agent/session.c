/* The connection to the host. */
#define _GNU_SOURCE
#include "session.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"
#include "report.h"
#include "stream.h"

enum {
	/* Answers that wait, beyond which nothing more is read: a host that asks and does not listen is made to wait. */
	BACKLOG = 65536,
	/* Reads and writes between two looks at everything else. */
	TURNS = 32,
};

static struct watch port = {.fd = -1}, listener = {.fd = -1};
static enum session_kind kind;
static const struct session_events *events_to;
static bool readable, writable;
static struct reader reader;
static struct box waiting; /* whole frames, not yet begun to be written */
static struct box writing; /* being written */
static size_t written;

struct box *session_box(void)
{
	return &waiting;
}

bool session_is_live(void)
{
	return waiting.epoch != 0;
}

static void start_over(uint32_t epoch)
{
	waiting.size = writing.size = written = 0;
	waiting.epoch = writing.epoch = epoch;
}

static void port_ready(struct watch *watch, uint32_t events)
{
	(void)watch;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		readable = true;
	if (events & EPOLLOUT && !writable) {
		writable = true;
		loop_change(&port, EPOLLIN);
	}
}

static void connect_port(int fd)
{
	port.fd = fd;
	port.ready = port_ready;
	readable = writable = true;
	reader_reset(&reader);
	start_over(0);
	loop_add(&port, EPOLLIN);
}

static void accept_next(struct watch *watch, uint32_t events)
{
	int fd;

	(void)events;
	if (port.fd >= 0)
		return; /* one at a time; lose() comes back here */
	fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		connect_port(fd);
}

static void lose(void)
{
	readable = false;
	if (kind == SESSION_PORT)
		return;
	loop_remove(&port);
	close(port.fd);
	port.fd = -1;
	start_over(0);
	if (kind == SESSION_SOCKET)
		events_to->on_end();
	else
		accept_next(&listener, 0);
}

void session_open(int fd, enum session_kind what, const struct session_events *to)
{
	kind = what;
	events_to = to;
	if (what != SESSION_LISTEN) {
		connect_port(fd);
		return;
	}
	listener.fd = fd;
	listener.ready = accept_next;
	loop_add(&listener, EPOLLIN);
}

static void receive(const struct frame *frame)
{
	struct cursor cursor = cursor_of(frame->payload, frame->size);

	if (frame->type != FRAME_HELLO) {
		if (session_is_live() && frame->epoch == waiting.epoch)
			events_to->on_frame(frame);
		return;
	}
	take_u16(&cursor); /* an unknown version is answered with ours: the host decides */
	if (!cursor_done(&cursor) || !frame->epoch)
		return;
	start_over(frame->epoch);
	events_to->on_hello();
}

static bool read_some(void)
{
	struct frame frame;
	uint8_t *space;
	size_t room;
	ssize_t size;

	if (waiting.size >= BACKLOG)
		return false;
	if (reader_next(&reader, &frame)) {
		receive(&frame);
		return true;
	}
	if (!readable)
		return false;
	space = reader_space(&reader, &room);
	size = read(port.fd, space, room);
	if (size > 0)
		reader_filled(&reader, (size_t)size);
	else if (size < 0 && errno == EAGAIN)
		readable = false;
	else
		lose();
	return size > 0;
}

/* What has been said goes first, then one data frame: so a control frame never waits for more than that one. */
static void refill(void)
{
	struct box spare = writing;

	written = 0;
	spare.size = 0;
	writing = waiting;
	waiting = spare;
	streams_put(&writing);
}

static void wait_for_room(void)
{
	writable = false;
	loop_change(&port, EPOLLIN | EPOLLOUT);
}

static bool write_some(void)
{
	ssize_t size;

	if (!session_is_live()) {
		waiting.size = 0;
		return false;
	}
	if (!writable)
		return false;
	if (written == writing.size)
		refill();
	if (!writing.size)
		return false;
	size = write(port.fd, writing.bytes + written, writing.size - written);
	if (size > 0)
		written += (size_t)size;
	else if (size < 0 && errno != EAGAIN && kind != SESSION_PORT)
		lose();
	else
		wait_for_room();
	if (written == writing.size)
		writing.size = written = 0;
	return size > 0;
}

bool session_settle(void)
{
	for (int turn = 0; turn < TURNS; turn++) {
		bool more = true;

		if (port.fd < 0)
			return false;
		while (more && port.fd >= 0)
			more = read_some();
		if (!write_some())
			return false;
	}
	return true;
}
