/* The small init of `--init`: PID 1 in the container, passing every signal on to its one child and reaping whatever
 * else is orphaned to it; it ends as the child ends. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"

/* All that it must be able to do is to send a signal to another user's process. */
static void keep_one_power(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{.effective = 1 << CAP_KILL, .permitted = 1 << CAP_KILL}};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	syscall(SYS_capset, &header, data);
}

/* What Docker's users see of its init, in place of the kernel's words to the agent. Without it nothing works worse. */
static void take_name(const struct strings *arguments)
{
	static const char head[] = "/sbin/docker-init\0--";
	size_t size = sizeof(head);
	char *words, *at;

	for (uint32_t i = 0; i < arguments->count; i++)
		size += strlen(arguments->items[i]) + 1;
	words = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (words == MAP_FAILED)
		return;
	at = mempcpy(words, head, sizeof(head));
	for (uint32_t i = 0; i < arguments->count; i++)
		at = stpcpy(at, arguments->items[i]) + 1;
	prctl(PR_SET_NAME, "docker-init", 0, 0, 0);
	/* in this order: what is mapped lies below the stack, where the words were, and the start is never behind the end */
	if (prctl(PR_SET_MM, PR_SET_MM_ARG_START, words, 0, 0) < 0 ||
	    prctl(PR_SET_MM, PR_SET_MM_ARG_END, words + size, 0, 0) < 0)
		warn("the init's name: %m");
}

static _Noreturn void keep_house(pid_t child)
{
	sigset_t all;

	syscall(SYS_close_range, 3, ~0u, 0); /* or it would hold its child's streams open */
	keep_one_power();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (;;) {
		siginfo_t info;
		int status, number = sigwaitinfo(&all, &info);
		pid_t ended;

		if (number > 0 && number != SIGCHLD)
			kill(child, number);
		while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
			if (ended == child)
				_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
}

int init_split(const struct strings *arguments)
{
	pid_t child = fork();

	if (child > 0) {
		take_name(arguments);
		keep_house(child);
	}
	return child;
}
