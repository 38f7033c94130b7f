/* The process table: what the host has started and not yet released, by the numbers that the host gave.
 *
 * A slot holds the streams too, so 256 processes is all there ever is. A process that has ended stays, with its status
 * and what of its output the host has not acknowledged, until RELEASE. */
#ifndef INSULA_PROCESS_H
#define INSULA_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "container.h"
#include "document.h"
#include "input.h"
#include "message.h"
#include "stream.h"

enum { PROCESS_LIMIT = 256, CONNECTION_LIMIT = 64 };

/* From here on the numbers are the agent's own: those of connections to the container's sockets. */
#define OWN_NUMBERS 0xc0000000u

struct process {
	uint32_t number; /* 0: the slot is free */
	pid_t pid;
	bool tty, outside;
	bool connection; /* no program, but a connection: its streams are the two directions; pid is 0 */
	bool attached; /* the host knows it in this connection: RESUME, or started in it */
	bool ended;
	struct exit_report exit;
	struct stream outputs[2];
	struct input input;
};

/* How a process starts: by a container_… call, with its ends of the streams. */
struct launch {
	uint32_t number, flags; /* enum process_flags: tty, stdin */
	uint16_t rows, columns;
	pid_t beside; /* whose devpts has the terminal; 0: the agent's */
	int (*start)(const void *what, struct stdio, pid_t *, struct failure *);
	const void *what;
};

struct process *find_process(uint32_t number);
/* Starts it; its streams begin with process_begin(), when the host has had its answer. */
int process_start(const struct launch *, struct process **, struct failure *);
void process_begin(struct process *);
int process_signal(uint32_t number, int signal, struct failure *);
void process_resize(uint32_t number, uint16_t rows, uint16_t columns);
void process_resume(uint32_t number, uint64_t output, uint64_t error);
void process_release(uint32_t number);

/* A connection that the container has made to the socket of this mount; its descriptor is taken. The host is told.
 * False: there is no room for it now. */
bool process_connect(uint32_t mount, int fd);
bool process_has_room(void);
/* Connections whose both directions are over have ended, and the host is told; whether there were any. */
bool connections_settle(void);
void connections_drop(void);

bool process_is_inside(pid_t); /* started in the container, and runs */
void processes_reap(void);
/* A new connection: nothing flows until RESUME. */
void processes_welcome(struct box *, uint32_t boot_number);
/* To those of the container, or to all. */
void processes_signal(int number, bool outside_too);

#endif
