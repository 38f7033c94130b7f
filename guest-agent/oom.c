/* The out-of-memory killer's strikes in the container. */
#define _GNU_SOURCE
#include "oom.h"

#include <sys/epoll.h>

#include "container.h"
#include "loop.h"
#include "message.h"
#include "session.h"

static uint64_t count;

static void look_again(void)
{
	uint64_t now = container_oom_count();

	if (now == count)
		return;
	count = now;
	put_oom(session_box(), count);
}

static void on_event(struct watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	look_again();
}

static struct watch watch = {.fd = -1, .ready = on_event};

void oom_watch(void)
{
	count = 0;
	watch.fd = container_oom_descriptor();
	if (watch.fd >= 0)
		loop_add(&watch, EPOLLPRI);
}

void oom_forget(void)
{
	if (watch.fd < 0)
		return;
	look_again();
	loop_remove(&watch);
	watch.fd = -1;
}

bool oom_has_struck(bool look)
{
	if (look && watch.fd >= 0)
		look_again();
	return count > 0;
}

void oom_tell(void)
{
	if (count)
		put_oom(session_box(), count);
}
