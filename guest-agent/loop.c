/* The event loop. */
#define _GNU_SOURCE
#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "report.h"

enum { BATCH = 64 };

static int epoll_fd = -1;
static struct watch signals = {.fd = -1};
static void (*signal_handler)(int number);
static struct epoll_event batch[BATCH];
static int batch_size;

static void read_signals(struct watch *watch, uint32_t events)
{
	struct signalfd_siginfo info[8];
	ssize_t size;

	(void)events;
	do {
		size = read(watch->fd, info, sizeof(info));
		for (ssize_t i = 0; i < size / (ssize_t)sizeof(info[0]); i++)
			signal_handler((int)info[i].ssi_signo);
	} while (size == sizeof(info)); /* less: that was all */
}

void loop_init(void (*on_signal)(int number))
{
	sigset_t all;

	sigfillset(&all);
	/* A fault of our own is not to be read from a descriptor: blocked, it would kill us without a word. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGABRT);
	sigprocmask(SIG_SETMASK, &all, NULL);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		die("epoll_create1: %m");
	signal_handler = on_signal;
	signals.ready = read_signals;
	signals.fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals.fd < 0)
		die("signalfd: %m");
	loop_add(&signals, EPOLLIN);
}

static void control(int operation, struct watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events | EPOLLET, .data.ptr = watch};

	if (epoll_ctl(epoll_fd, operation, watch->fd, &event) < 0)
		warn("epoll_ctl %d: %m", watch->fd);
}

void loop_add(struct watch *watch, uint32_t events)
{
	control(EPOLL_CTL_ADD, watch, events);
}

void loop_change(struct watch *watch, uint32_t events)
{
	control(EPOLL_CTL_MOD, watch, events);
}

void loop_remove(struct watch *watch)
{
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	/* What the kernel has already told us of it must not reach it any more. */
	for (int i = 0; i < batch_size; i++)
		if (batch[i].data.ptr == watch)
			batch[i].data.ptr = NULL;
}

void loop_run(bool (*settle)(void))
{
	bool again = settle();

	for (;;) {
		batch_size = epoll_wait(epoll_fd, batch, BATCH, again ? 0 : -1);
		for (int i = 0; i < batch_size; i++) {
			struct watch *watch = batch[i].data.ptr;

			if (watch)
				watch->ready(watch, batch[i].events);
		}
		again = settle();
	}
}
