/* A child tells the agent what failed through a pipe that its exec closes: silence is success. */
#define _GNU_SOURCE
#include "birth.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"
#include "scope.h"

#define REPORT_MILLISECONDS 20000

static pid_t clone_child(uint64_t flags, int cgroup)
{
	struct clone_args arguments = {.flags = flags, .exit_signal = SIGCHLD};

	if (cgroup >= 0) {
		arguments.flags |= CLONE_INTO_CGROUP;
		arguments.cgroup = (uint64_t)cgroup;
	}
	return (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
}

static _Noreturn void report_and_exit(int report, const struct failure *failure)
{
	if (write(report, failure, sizeof(*failure)) != sizeof(*failure))
		_exit(126);
	_exit(127);
}

static int last_words = -1;

/* What would end a machine ends only this child, and is told. */
static void die_young(void)
{
	struct failure failure = {.step = STEP_EXEC, .number = ENOMEM};

	report_and_exit(last_words, &failure);
}

/* Closes every descriptor but the standard ones and the child's own. The paths that are walked before the exec are the
 * image's, and a link to /proc/self/fd would lead through the agent's folders out of the container. */
static void close_others(const struct birth *birth)
{
	int keep[] = {birth->report, birth->stdio.input, birth->stdio.output, birth->stdio.error};
	int count = sizeof(keep) / sizeof(*keep);
	unsigned from = 3;

	for (int left = count; left > 0; left--) {
		int least = -1;

		for (int i = 0; i < count; i++)
			if (keep[i] >= (int)from && (least < 0 || keep[i] < least))
				least = keep[i];
		if (least < 0)
			break;
		if ((unsigned)least > from)
			syscall(SYS_close_range, from, least - 1, 0);
		from = (unsigned)least + 1;
	}
	syscall(SYS_close_range, from, ~0u, 0);
}

static int build_world(const struct birth *birth, struct failure *failure)
{
	struct inside inside = {birth->boot, birth->stdio.tty ? birth->stdio.input : -1};

	if (birth->files)
		return inside_files(birth->boot, failure);
	return inside_enter(&inside, failure) < 0 ? -1 : network_set_up(birth->boot, failure);
}

static int change_place(enum place place, struct failure *failure)
{
	const char *folder = place == PLACE_ROOT ? ROOT_FOLDER : place == PLACE_LAYERS ? AGENT_FOLDER : NULL;

	if (place == PLACE_LAYERS && root_show_lower(failure) < 0)
		return -1;
	return folder && (chroot(folder) < 0 || chdir("/") < 0) ? fail(failure, STEP_ROOT, folder) : 0;
}

static int run_body(const struct birth *birth, struct failure *failure)
{
	if (change_place(birth->place, failure) < 0)
		return -1;
	reset_signals();
	if (dup2(birth->stdio.input, 0) < 0 || dup2(birth->stdio.output, 1) < 0 || dup2(birth->stdio.error, 2) < 0)
		return fail(failure, STEP_TREE, "streams");
	close(birth->report);
	die_hook = NULL;
	_exit(birth->body(birth->argument));
}

static int grow_up(const struct birth *birth, struct failure *failure)
{
	last_words = birth->report;
	die_hook = die_young;
	/* Until its exec this is a piece of the agent, which nothing in the container may look into. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (birth->enter && syscall(SYS_setns, birth->home, birth->enter) < 0)
		return fail(failure, STEP_NAMESPACES, "setns");
	if (birth->enter || birth->boot)
		close_others(birth);
	if (birth->boot && build_world(birth, failure) < 0)
		return -1;
	if (birth->body)
		return run_body(birth, failure);
	if (birth->boot && birth->boot->flags & BOOT_INIT && init_split(&birth->spec->arguments) < 0)
		return fail(failure, STEP_NAMESPACES, "init");
	return program_become(birth->spec, birth->stdio, failure);
}

static void end_child(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* What the child says, or nothing when its exec has closed the pipe. */
static int read_report(int report, pid_t child, struct failure *failure)
{
	struct pollfd ready = {.fd = report, .events = POLLIN};
	struct failure told;
	ssize_t got;

	if (poll(&ready, 1, REPORT_MILLISECONDS) == 0) {
		end_child(child);
		return fail_with(failure, STEP_EXEC, ETIMEDOUT, "");
	}
	got = read(report, &told, sizeof(told));
	if (got == 0)
		return 0;
	end_child(child); /* an init may still wait for the child that has failed */
	if (got != sizeof(told))
		return fail_with(failure, STEP_EXEC, EIO, "");
	told.detail[sizeof(told.detail) - 1] = 0;
	*failure = told;
	return -1;
}

int give_birth(struct birth *birth, pid_t *pid, struct failure *failure)
{
	int report[2];

	if (pipe2(report, O_CLOEXEC) < 0)
		return fail(failure, STEP_NAMESPACES, "pipe");
	cleanup_close int report_in = report[0], report_out = report[1];
	birth->report = report_out;
	pid_t child = clone_child(birth->spaces, birth->cgroup);
	if (child < 0)
		return fail(failure, STEP_NAMESPACES, "clone");
	if (child == 0) {
		struct failure own = {0};

		grow_up(birth, &own);
		report_and_exit(report_out, &own);
	}
	close(take_fd(&report_out));
	if (read_report(report_in, child, failure) < 0)
		return -1;
	*pid = child;
	return 0;
}
