/* What the host asks for. A table says for each frame type who does it, and whether it begins with a request number
 * and is answered; the doers read their fields from the cursor and check, at their end, that it was all. */
#define _GNU_SOURCE
#include "request.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "container.h"
#include "message.h"
#include "oom.h"
#include "process.h"
#include "report.h"
#include "request_process.h"
#include "scope.h"
#include "session.h"
#include "sockets.h"
#include "tree.h"
#include "tree_start.h"

enum { ANSWERED = 1 };

static bool plain;
static uint32_t boot_number; /* 0: idle */
static uint32_t main_process;
static struct process *started; /* by the request at hand: begins after its answer */
static uint32_t asked; /* the number of the request at hand */

static int need_container(struct failure *failure)
{
	return boot_number ? 0 : fail_with(failure, STEP_REQUEST, ENOTCONN, "container");
}

static void document_scoped(struct document **document)
{
	free_document(*document);
}

#define cleanup_document __attribute__((cleanup(document_scoped)))

static int start_boot(const void *what, struct stdio stdio, pid_t *pid, struct failure *failure)
{
	if (sockets_open(what, plain, failure) < 0)
		return -1;
	if (container_boot(what, stdio, plain, pid, failure) == 0)
		return 0;
	sockets_close();
	return -1;
}

/* A container of which there are only its files. */
static int open_files(const struct boot_document *boot, struct failure *failure)
{
	if (container_open(boot, plain, failure) < 0)
		return -1;
	boot_number = boot->number;
	main_process = 0;
	return 0;
}

static int do_boot(struct cursor *cursor, struct failure *failure)
{
	cleanup_document struct document *document = decode_boot(cursor->at, cursor_left(cursor));
	const struct boot_document *boot;
	struct launch launch;

	if (!document)
		return fail_malformed(failure);
	boot = document_boot(document);
	if (boot->number == boot_number)
		return 0;
	if (boot_number)
		return fail_with(failure, STEP_REQUEST, EBUSY, "container");
	if (boot->flags & BOOT_FILES)
		return open_files(boot, failure);
	if (find_process(boot->main.number))
		return fail_with(failure, STEP_REQUEST, EEXIST, "process");
	if (!boot->main.arguments.count)
		return fail_with(failure, STEP_EXEC, EINVAL, "");
	launch = launch_of(&boot->main);
	launch.start = start_boot;
	launch.what = boot;
	if (process_start(&launch, &started, failure) < 0)
		return -1;
	boot_number = boot->number;
	main_process = boot->main.number;
	oom_watch();
	return 0;
}

/* 0: it has ended, or a plain agent has no container whose terminals differ from its own. */
static pid_t main_pid(void)
{
	const struct process *process = find_process(main_process);

	return plain || !process || process->ended ? 0 : process->pid;
}

static int start_spawn(const void *what, struct stdio stdio, pid_t *pid, struct failure *failure)
{
	return container_spawn(what, stdio, plain, pid, failure);
}

static int do_spawn(struct cursor *cursor, struct failure *failure)
{
	cleanup_document struct document *document = decode_process(cursor->at, cursor_left(cursor));
	const struct process_spec *process;
	struct launch launch;

	if (!document)
		return fail_malformed(failure);
	process = document_process(document);
	if (find_process(process->number))
		return 0;
	if (!(process->flags & PROCESS_OUTSIDE) && need_container(failure) < 0)
		return -1;
	if (!process->arguments.count)
		return fail_with(failure, STEP_EXEC, EINVAL, "");
	launch = launch_of(process);
	launch.beside = process->flags & PROCESS_OUTSIDE ? 0 : main_pid();
	launch.start = start_spawn;
	launch.what = process;
	return process_start(&launch, &started, failure);
}

static int do_tree_read(struct cursor *cursor, struct failure *failure)
{
	return tree_start(cursor, tree_read, boot_number != 0, &started, failure);
}

static int do_tree_write(struct cursor *cursor, struct failure *failure)
{
	return tree_start(cursor, tree_write, boot_number != 0, &started, failure);
}

static int do_signal(struct cursor *cursor, struct failure *failure)
{
	uint32_t number = take_u32(cursor);
	uint32_t signal = take_u32(cursor);

	if (!cursor_done(cursor))
		return fail_malformed(failure);
	if (signal > 64)
		return fail_with(failure, STEP_REQUEST, EINVAL, "signal");
	if (number)
		return process_signal(number, (int)signal, failure);
	if (need_container(failure) < 0)
		return -1;
	if (!plain)
		return container_signal_all((int)signal, failure);
	processes_signal((int)signal, false);
	return 0;
}

static int on_container(struct cursor *cursor, int (*what)(struct failure *), struct failure *failure)
{
	if (!cursor_done(cursor))
		return fail_malformed(failure);
	return need_container(failure) < 0 ? -1 : what(failure);
}

static int do_freeze(struct cursor *cursor, struct failure *failure)
{
	return on_container(cursor, container_freeze, failure);
}

static int do_thaw(struct cursor *cursor, struct failure *failure)
{
	return on_container(cursor, container_thaw, failure);
}

static int do_sync(struct cursor *cursor, struct failure *failure)
{
	return on_container(cursor, container_sync, failure);
}

static int do_stop(struct cursor *cursor, struct failure *failure)
{
	if (!cursor_done(cursor))
		return fail_malformed(failure);
	if (!boot_number)
		return 0; /* a repeat */
	oom_forget();
	sockets_close();
	if (container_stop(failure) < 0) {
		oom_watch();
		return -1;
	}
	if (plain)
		processes_signal(SIGKILL, false);
	boot_number = 0;
	return 0;
}

static int do_identity(struct cursor *cursor, struct failure *failure)
{
	uint64_t clock = take_u64(cursor);
	uint32_t size = take_u32(cursor);
	struct blob entropy = {size, take_bytes(cursor, size)};

	if (!cursor_done(cursor) || size > 512)
		return fail_malformed(failure);
	if (size && set_timers_anew(plain, failure) < 0)
		return -1;
	return set_identity(clock, entropy, plain, failure);
}

static int do_update(struct cursor *cursor, struct failure *failure)
{
	struct limits limits;

	if (!decode_limits(cursor->at, cursor_left(cursor), &limits))
		return fail_malformed(failure);
	if (need_container(failure) < 0)
		return -1;
	return container_update(&limits, failure);
}

static int do_link(struct cursor *cursor, struct failure *failure)
{
	cleanup_document struct document *document = decode_link(cursor->at, cursor_left(cursor));

	if (!document)
		return fail_malformed(failure);
	return need_container(failure) < 0 ? -1 : container_link(document_link(document), failure);
}

static int do_unlink(struct cursor *cursor, struct failure *failure)
{
	uint8_t nic = take_u8(cursor);

	if (!cursor_done(cursor))
		return fail_malformed(failure);
	return need_container(failure) < 0 ? -1 : container_unlink(nic, failure);
}

static int do_usage(struct cursor *cursor, struct failure *failure)
{
	static struct usage usage; /* of kilobytes */

	if (!cursor_done(cursor))
		return fail_malformed(failure);
	if (need_container(failure) < 0 || container_usage(main_pid(), &usage, failure) < 0)
		return -1;
	put_usage_answer(session_box(), asked, &usage);
	return ANSWERED;
}

static int do_processes(struct cursor *cursor, struct failure *failure)
{
	uint32_t start = take_u32(cursor);

	if (!cursor_done(cursor))
		return fail_malformed(failure);
	if (need_container(failure) < 0 || container_processes(session_box(), asked, start, failure) < 0)
		return -1;
	return ANSWERED;
}

static int do_power_off(struct cursor *cursor, struct failure *failure)
{
	if (!cursor_done(cursor))
		return fail_malformed(failure);
	request_power_off();
}

/* What act returns: 0 is done, -1 failed; ANSWERED by itself. */
static const struct {
	int (*act)(struct cursor *, struct failure *);
	bool answered;
} doers[] = {
	[FRAME_BOOT] = {do_boot, true},
	[FRAME_SPAWN] = {do_spawn, true},
	[FRAME_INPUT] = {do_input, false},
	[FRAME_INPUT_END] = {do_input_end, false},
	[FRAME_ACK] = {do_ack, false},
	[FRAME_RESUME] = {do_resume, false},
	[FRAME_SIGNAL] = {do_signal, true},
	[FRAME_RESIZE] = {do_resize, false},
	[FRAME_RELEASE] = {do_release, false},
	[FRAME_FREEZE] = {do_freeze, true},
	[FRAME_THAW] = {do_thaw, true},
	[FRAME_SYNC] = {do_sync, true},
	[FRAME_STOP] = {do_stop, true},
	[FRAME_IDENTITY] = {do_identity, true},
	[FRAME_TREE_READ] = {do_tree_read, true},
	[FRAME_TREE_WRITE] = {do_tree_write, true},
	[FRAME_POWER_OFF] = {do_power_off, false},
	[FRAME_UPDATE] = {do_update, true},
	[FRAME_USAGE] = {do_usage, true},
	[FRAME_PROCESSES] = {do_processes, true},
	[FRAME_LINK] = {do_link, true},
	[FRAME_UNLINK] = {do_unlink, true},
};

void request_frame(const struct frame *frame)
{
	struct cursor cursor = cursor_of(frame->payload, frame->size);
	struct failure failure = {0};
	int result;

	if (frame->type >= sizeof(doers) / sizeof(doers[0]) || !doers[frame->type].act)
		return;
	if (!doers[frame->type].answered) {
		doers[frame->type].act(&cursor, &failure);
		return;
	}
	asked = take_u32(&cursor);
	if (cursor.bad)
		return;
	started = NULL;
	result = doers[frame->type].act(&cursor, &failure);
	if (result != ANSWERED)
		put_reply(session_box(), asked, result < 0 ? &failure : NULL);
	if (started)
		process_begin(started);
}

void request_hello(void)
{
	processes_welcome(session_box(), boot_number);
	oom_tell();
	sockets_accept();
}

void requests_init(bool as_plain)
{
	plain = as_plain;
}

void request_power_off(void)
{
	struct failure failure = {0};

	if (boot_number && container_stop(&failure) < 0)
		warn("stop: step %u errno %d %s", failure.step, failure.number, failure.detail);
	processes_signal(SIGKILL, true);
	if (plain)
		exit(0);
	sync();
	machine_power_off();
	_exit(0);
}
