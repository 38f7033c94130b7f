/* The process table. */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "guest.h"
#include "oom.h"
#include "report.h"
#include "scope.h"
#include "session.h"
#include "terminal.h"

enum { RINGS = 3, KEEP_PAGES_BELOW = 16384 };

static struct process table[PROCESS_LIMIT];
static unsigned connections; /* of them */
/* Not touched until used: 48 MiB of addresses, not of memory. */
static _Alignas(65536) uint8_t rings[PROCESS_LIMIT][RINGS][STREAM_WINDOW];

/* Ours are what the agent keeps, theirs what the child gets; -1 where there is none. */
struct ends { int ours[3], theirs[3]; };

static void close_ends(struct ends *ends)
{
	for (int i = 0; i < 3; i++) {
		close_scoped(&ends->ours[i]);
		close_scoped(&ends->theirs[i]);
	}
}

struct process *find_process(uint32_t number)
{
	for (struct process *process = table; process < table + PROCESS_LIMIT; process++)
		if (number && process->number == number)
			return process;
	return NULL;
}

static struct process *find_free(void)
{
	for (struct process *process = table; process < table + PROCESS_LIMIT; process++)
		if (!process->number)
			return process;
	return NULL;
}

/* Only our end may be non-blocking: the program's is the program's business. */
static int open_pipe(int *ours, int *theirs, bool input, struct failure *failure)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) < 0)
		return fail(failure, STEP_REQUEST, "pipe");
	*ours = pair[input];
	*theirs = pair[!input];
	if (fcntl(*ours, F_SETFL, O_NONBLOCK) < 0)
		return fail(failure, STEP_REQUEST, "F_SETFL");
	return 0;
}

static int open_pipes(const struct launch *launch, struct ends *ends, struct failure *failure)
{
	if (open_pipe(&ends->ours[1], &ends->theirs[1], false, failure) < 0 ||
	    open_pipe(&ends->ours[2], &ends->theirs[2], false, failure) < 0)
		return -1;
	if (launch->flags & PROCESS_STDIN)
		return open_pipe(&ends->ours[0], &ends->theirs[0], true, failure);
	ends->theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return ends->theirs[0] < 0 ? fail(failure, STEP_REQUEST, "/dev/null") : 0;
}

static int open_tty(const struct launch *launch, struct ends *ends, struct failure *failure)
{
	if (terminal_open(launch->beside, &ends->ours[1], &ends->theirs[0], failure) < 0)
		return -1;
	terminal_resize(ends->ours[1], launch->rows, launch->columns);
	if (!(launch->flags & PROCESS_STDIN))
		return 0;
	ends->ours[0] = fcntl(ends->ours[1], F_DUPFD_CLOEXEC, 3);
	return ends->ours[0] < 0 ? fail(failure, STEP_TERMINAL, "F_DUPFD_CLOEXEC") : 0;
}

static void adopt(struct process *process, const struct launch *launch, struct ends *ends)
{
	uint8_t(*its_rings)[STREAM_WINDOW] = rings[process - table];

	*process = (struct process){.number = launch->number, .pid = process->pid, .attached = true};
	process->tty = launch->flags & PROCESS_TTY;
	process->outside = launch->flags & PROCESS_OUTSIDE;
	for (int i = 0; i < 2; i++) {
		struct stream *stream = &process->outputs[i];

		stream->process = launch->number;
		stream->number = (uint8_t)(i + 1);
		stream->terminal = process->tty;
		stream->ring.bytes = its_rings[i];
		stream->watch.fd = take_fd(&ends->ours[i + 1]);
	}
	process->input.process = launch->number;
	process->input.terminal = process->tty;
	process->input.ring.bytes = its_rings[2];
	process->input.watch.fd = take_fd(&ends->ours[0]);
}

int process_start(const struct launch *launch, struct process **started, struct failure *failure)
{
	__attribute__((cleanup(close_ends))) struct ends ends = {{-1, -1, -1}, {-1, -1, -1}};
	struct process *process = find_free();
	bool tty = launch->flags & PROCESS_TTY;
	struct stdio stdio = {.tty = tty};

	if (!process)
		return fail_with(failure, STEP_REQUEST, EAGAIN, "processes");
	if ((tty ? open_tty : open_pipes)(launch, &ends, failure) < 0)
		return -1;
	stdio.input = ends.theirs[0];
	stdio.output = tty ? stdio.input : ends.theirs[1];
	stdio.error = tty ? stdio.input : ends.theirs[2];
	if (launch->start(launch->what, stdio, &process->pid, failure) < 0)
		return -1;
	adopt(process, launch, &ends);
	*started = process;
	return 0;
}

void process_begin(struct process *process)
{
	/* With a terminal there is no second stream, and none ends. */
	process->outputs[1].end_sent = process->tty || process->connection;
	for (int i = 0; i < 2; i++)
		stream_open(&process->outputs[i], process->outputs[i].watch.fd);
	input_open(&process->input, process->input.watch.fd);
}

int process_signal(uint32_t number, int signal, struct failure *failure)
{
	struct process *process = find_process(number);

	if (!process || process->ended)
		return fail_with(failure, STEP_REQUEST, ESRCH, "");
	if (process->connection) {
		if (process->outputs[0].watch.fd >= 0)
			shutdown(process->outputs[0].watch.fd, SHUT_RDWR);
		input_close(&process->input);
		return 0;
	}
	if (kill(process->pid, signal) < 0)
		return fail(failure, STEP_REQUEST, "kill");
	return 0;
}

void process_resize(uint32_t number, uint16_t rows, uint16_t columns)
{
	struct process *process = find_process(number);

	if (process && process->tty && process->outputs[0].watch.fd >= 0)
		terminal_resize(process->outputs[0].watch.fd, rows, columns);
}

void process_resume(uint32_t number, uint64_t output, uint64_t error)
{
	struct process *process = find_process(number);

	if (!process)
		return;
	process->attached = true;
	stream_resume(&process->outputs[0], output);
	if (!process->tty)
		stream_resume(&process->outputs[1], error);
	if (process->ended)
		put_exit(session_box(), number, &process->exit);
}

void process_release(uint32_t number)
{
	struct process *process = find_process(number);
	uint8_t *memory;
	bool used;

	if (!process || !process->ended)
		return;
	used = process->outputs[0].ring.end > KEEP_PAGES_BELOW || process->outputs[1].ring.end > KEEP_PAGES_BELOW ||
	       process->input.ring.end > KEEP_PAGES_BELOW;
	input_close(&process->input);
	stream_close(&process->outputs[0]);
	stream_close(&process->outputs[1]);
	process->number = 0;
	connections -= process->connection;
	memory = rings[process - table][0];
	if (used)
		madvise(memory, sizeof(rings[0]), MADV_DONTNEED);
}

bool process_has_room(void)
{
	return connections < CONNECTION_LIMIT && find_free();
}

bool process_connect(uint32_t mount, int fd)
{
	static uint32_t counter;
	struct ends ends = {{fcntl(fd, F_DUPFD_CLOEXEC, 3), fd, -1}, {-1, -1, -1}};
	struct process *process = process_has_room() ? find_free() : NULL;
	struct launch launch = {.number = OWN_NUMBERS + (counter++ & 0x3fffffff)};

	if (!process || ends.ours[0] < 0) {
		close_ends(&ends);
		return false;
	}
	process->pid = 0;
	adopt(process, &launch, &ends);
	process->connection = process->input.socket = process->outputs[0].socket = true;
	connections++;
	put_connection(session_box(), process->number, mount);
	process_begin(process);
	return true;
}

/* Whoever has closed all of it reads no more either, which no write may ever tell. */
static bool has_come_to_its_end(struct process *process)
{
	if (process->outputs[0].finished && process->outputs[0].hung_up)
		input_close(&process->input);
	return process->outputs[0].finished && process->input.watch.fd < 0;
}

bool connections_settle(void)
{
	bool some = false;

	for (struct process *process = table; connections && process < table + PROCESS_LIMIT; process++) {
		if (!process->number || !process->connection || process->ended || !has_come_to_its_end(process))
			continue;
		process->ended = some = true;
		process->exit = (struct exit_report){.kind = EXIT_EXITED, .clock = clock_now()};
		put_exit(session_box(), process->number, &process->exit);
	}
	return some;
}

void connections_drop(void)
{
	for (struct process *process = table; connections && process < table + PROCESS_LIMIT; process++)
		if (process->number && process->connection) {
			process->ended = true;
			process_release(process->number);
		}
}

bool process_is_inside(pid_t pid)
{
	for (const struct process *process = table; process < table + PROCESS_LIMIT; process++)
		if (process->number && !process->ended && !process->outside && process->pid == pid)
			return true;
	return false;
}

static void end_process(struct process *process, int status)
{
	bool killed = WIFSIGNALED(status);

	process->ended = true;
	process->exit = (struct exit_report){
		.kind = killed ? EXIT_KILLED : EXIT_EXITED,
		.value = (uint32_t)(killed ? WTERMSIG(status) : WEXITSTATUS(status)),
		.clock = clock_now(),
	};
	/* Its kill and the notice of it come by different ways: look, but not for those that are well. */
	if (oom_has_struck(status != 0))
		process->exit.flags |= EXIT_OOM;
	if (killed && WCOREDUMP(status))
		process->exit.flags |= EXIT_CORE;
	if (process->attached)
		put_exit(session_box(), process->number, &process->exit);
}

void processes_reap(void)
{
	pid_t pid;
	int status;

	/* Also what is nobody's: as PID 1 the agent inherits orphans. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (struct process *process = table; process < table + PROCESS_LIMIT; process++)
			if (process->number && !process->ended && process->pid == pid)
				end_process(process, status);
}

static void put_one(struct box *box, struct process *process)
{
	struct welcome_process one = {
		.number = process->number,
		.ended = process->ended,
		.flags = process->tty,
		.input_taken = process->input.ring.end,
		.input_limit = process->input.limit,
	};

	for (int i = 0; i < 2; i++) {
		stream_pause(&process->outputs[i]);
		one.acknowledged[i] = process->outputs[i].ring.start;
		one.end[i] = process->outputs[i].ring.end;
	}
	process->attached = false;
	put_welcome_process(box, &one);
}

void processes_welcome(struct box *box, uint32_t boot_number)
{
	uint32_t count = 0;

	connections_drop(); /* whoever had their other ends is gone */
	for (int i = 0; i < PROCESS_LIMIT; i++)
		count += table[i].number != 0;
	put_welcome(box, boot_number != 0, boot_number, count);
	for (int i = 0; i < PROCESS_LIMIT; i++)
		if (table[i].number)
			put_one(box, &table[i]);
	box_end(box);
}

void processes_signal(int number, bool outside_too)
{
	for (struct process *process = table; process < table + PROCESS_LIMIT; process++)
		if (process->number && !process->connection && !process->ended && (outside_too || !process->outside))
			kill(process->pid, number);
}
