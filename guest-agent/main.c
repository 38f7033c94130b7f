/* Insula's guest agent: PID 1 of a machine, or, for its tests, a plain process on a socket.
 *
 *   insula-agent                  as PID 1: brings the machine up and serves its port
 *   insula-agent --socket FD      serves a connected stream socket, and ends with it
 *   insula-agent --listen PATH    serves connections to a unix socket, one after the other, until SIGTERM
 *
 * Before the loop runs the agent may die; afterwards it only warns. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "container.h"
#include "loop.h"
#include "process.h"
#include "report.h"
#include "request.h"
#include "session.h"

static bool plain;

static void on_signal(int number)
{
	if (number == SIGCHLD)
		processes_reap();
	if (plain && (number == SIGTERM || number == SIGINT))
		request_power_off();
}

/* A connection's end may have come with what the session has just read, and is told at once. */
static bool settle(void)
{
	bool more = session_settle();

	return connections_settle() || more;
}

/* A plain agent may have been started with some ignored, and its programs would inherit that; PID 1 is not. */
static void reset_dispositions(void)
{
	for (int number = 1; number <= SIGRTMAX; number++)
		signal(number, SIG_DFL);
}

static int inherited_socket(const char *text)
{
	char *end;
	long fd = strtol(text, &end, 10);

	if (!*text || *end || fd < 0 || fd > 65535 || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl((int)fd, F_SETFL, O_NONBLOCK) < 0)
		die("--socket %s: not a socket", text);
	return (int)fd;
}

static int listening_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		die("--listen %s: path too long", path);
	strcpy(address.sun_path, path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4) < 0)
		die("--listen %s: %m", path);
	return fd;
}

int main(int argc, char **argv)
{
	static const struct session_events events = {request_hello, request_frame, request_power_off};
	enum session_kind kind = SESSION_PORT;
	int fd;

	if (argc == 3 && !strcmp(argv[1], "--socket")) {
		kind = SESSION_SOCKET;
		fd = inherited_socket(argv[2]);
	} else if (argc == 3 && !strcmp(argv[1], "--listen")) {
		kind = SESSION_LISTEN;
		fd = listening_socket(argv[2]);
	} else if (getpid() == 1) {
		/* With arguments or not: the kernel hands on what it did not understand of its own. */
		die_hook = machine_power_off;
		fd = machine_init();
	} else {
		die("usage: insula-agent --socket FD | --listen PATH (or as PID 1 of a machine, without arguments)");
	}
	plain = kind != SESSION_PORT;
	if (plain)
		reset_dispositions();
	requests_init(plain);
	loop_init(on_signal);
	session_open(fd, kind, &events);
	loop_run(settle);
}
