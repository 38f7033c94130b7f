/* The out-of-memory killer's strikes in the container: the first is told at once, further ones at most once a second,
 * for a program that starts its killed children again must not flood the host with it. */
#define _GNU_SOURCE
#include "oom.h"

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "container.h"
#include "loop.h"
#include "message.h"
#include "report.h"
#include "session.h"

static uint64_t count, told;

static void on_event(struct watch *, uint32_t events);
static void on_pause_end(struct watch *, uint32_t events);

static struct watch watch = {.fd = -1, .ready = on_event};
static struct watch pause_end = {.fd = -1, .ready = on_pause_end}; /* open while nothing is told */

static void end_pause(void)
{
	if (pause_end.fd < 0)
		return;
	loop_remove(&pause_end);
	close(pause_end.fd);
	pause_end.fd = -1;
}

static void begin_pause(void)
{
	struct itimerspec second = {.it_value.tv_sec = 1};

	pause_end.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (pause_end.fd < 0 || timerfd_settime(pause_end.fd, 0, &second, NULL) < 0) {
		warn("timerfd: %m");
		if (pause_end.fd >= 0)
			close(pause_end.fd);
		pause_end.fd = -1;
		return;
	}
	loop_add(&pause_end, EPOLLIN);
}

static void tell(void)
{
	if (count == told || pause_end.fd >= 0)
		return;
	told = count;
	put_oom(session_box(), count);
	begin_pause();
}

static void look_again(void)
{
	uint64_t now = container_oom_count();

	if (now > count)
		count = now;
}

static void on_event(struct watch *event, uint32_t events)
{
	(void)event;
	(void)events;
	look_again();
	tell();
}

static void on_pause_end(struct watch *timer, uint32_t events)
{
	(void)timer;
	(void)events;
	end_pause();
	tell();
}

void oom_watch(void)
{
	count = told = 0;
	watch.fd = container_oom_descriptor();
	if (watch.fd >= 0)
		loop_add(&watch, EPOLLPRI);
}

void oom_forget(void)
{
	if (watch.fd < 0)
		return;
	look_again();
	end_pause();
	tell();
	end_pause();
	loop_remove(&watch);
	watch.fd = -1;
}

bool oom_has_struck(bool look)
{
	if (look && watch.fd >= 0)
		on_event(&watch, 0);
	return count > 0;
}

void oom_tell(void)
{
	if (count)
		put_oom(session_box(), count);
}
