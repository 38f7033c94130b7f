/* How a child becomes the program that was asked for: terminal, directory, limits, user, and the search of PATH with
 * the errors that Docker's users know (nothing found: ENOENT; found, but not executable: EACCES). */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void reset_signals(void)
{
	static const uint64_t by_default[4]; /* at least the kernel's struct sigaction: SIG_DFL, no flags, an empty mask */
	uint64_t none = 0;

	/* the calls themselves, for C libraries leave the signals that they use themselves as they were inherited */
	for (int number = 1; number <= 64; number++)
		syscall(SYS_rt_sigaction, number, by_default, NULL, sizeof(none));
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
}

static const char *variable(const struct strings *environment, const char *name)
{
	size_t length = strlen(name);

	for (uint32_t i = environment->count; i-- > 0;)
		if (!strncmp(environment->items[i], name, length) && environment->items[i][length] == '=')
			return environment->items[i] + length + 1;
	return NULL;
}

/* The streams are the user's, so that it can open them again by /dev/stdout; not what is somebody else's too. */
static int own_stream(int fd, uid_t uid)
{
	struct stat status;

	if (!uid || geteuid() != 0 || fstat(fd, &status) < 0 || status.st_uid == uid)
		return 0;
	if (S_ISCHR(status.st_mode) && !isatty(fd))
		return 0;
	return fchown(fd, uid, (gid_t)-1);
}

static int take_streams(struct stdio stdio, const struct identity *identity, struct failure *failure)
{
	setsid();
	if (stdio.tty && ioctl(stdio.input, TIOCSCTTY, 0) < 0)
		return fail(failure, STEP_TERMINAL, "TIOCSCTTY");
	if (own_stream(stdio.input, identity->uid) < 0 || own_stream(stdio.output, identity->uid) < 0 ||
	    own_stream(stdio.error, identity->uid) < 0)
		return fail(failure, STEP_TERMINAL, "owner");
	if (dup2(stdio.input, 0) < 0 || dup2(stdio.output, 1) < 0 || dup2(stdio.error, 2) < 0)
		return fail(failure, STEP_TERMINAL, "streams");
	return 0;
}

static const char *rlimit_name(uint8_t resource)
{
	static const char *const names[] = {
		[RLIMIT_CPU] = "cpu", [RLIMIT_FSIZE] = "fsize", [RLIMIT_DATA] = "data", [RLIMIT_STACK] = "stack",
		[RLIMIT_CORE] = "core", [RLIMIT_RSS] = "rss", [RLIMIT_NPROC] = "nproc", [RLIMIT_NOFILE] = "nofile",
		[RLIMIT_MEMLOCK] = "memlock", [RLIMIT_AS] = "as", [RLIMIT_LOCKS] = "locks", [RLIMIT_SIGPENDING] = "sigpending",
		[RLIMIT_MSGQUEUE] = "msgqueue", [RLIMIT_NICE] = "nice", [RLIMIT_RTPRIO] = "rtprio", [RLIMIT_RTTIME] = "rttime",
	};

	return resource < sizeof(names) / sizeof(names[0]) ? names[resource] : "rlimit";
}

static int set_limits(const struct process_spec *spec, struct failure *failure)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", spec->oom_score_adj);
	if (spec->oom_score_adj && write_text("/proc/self/oom_score_adj", text) < 0)
		return fail(failure, STEP_LIMITS, "oom_score_adj");
	for (uint32_t i = 0; i < spec->limit_count; i++) {
		struct rlimit limit = {spec->limits[i].soft, spec->limits[i].hard};

		if (setrlimit(spec->limits[i].resource, &limit) < 0)
			return fail(failure, STEP_LIMITS, rlimit_name(spec->limits[i].resource));
	}
	umask(spec->umask & 0777);
	return 0;
}

static int enter_directory(const char *directory, struct failure *failure)
{
	const char *path = *directory ? directory : "/";
	char now[PATH_MAX];

	if (chdir(path) < 0)
		return fail(failure, STEP_DIRECTORY, path);
	/* A path through a link of the kernel's may have led out of the root; then it has no name in here. */
	if (syscall(SYS_getcwd, now, sizeof(now)) > 0 && *now != '/')
		return fail_with(failure, STEP_DIRECTORY, EPERM, path);
	return 0;
}

static int search_path(const struct process_spec *spec, char **environment, struct failure *failure)
{
	const char *name = spec->arguments.items[0], *path = variable(&spec->environment, "PATH");
	int worst = ENOENT;

	if (strchr(name, '/')) {
		execve(name, spec->arguments.items, environment);
		return fail(failure, STEP_EXEC, name);
	}
	for (const char *part = path ? path : DEFAULT_PATH, *next; *name && part; part = next) {
		char candidate[PATH_MAX];
		struct stat status;
		int length = (int)strcspn(part, ":");

		next = part[length] ? part + length + 1 : NULL;
		if ((size_t)snprintf(candidate, sizeof(candidate), "%.*s/%s", length ? length : 1, length ? part : ".", name) >=
		    sizeof(candidate))
			continue;
		if (stat(candidate, &status) < 0 || S_ISDIR(status.st_mode))
			continue;
		execve(candidate, spec->arguments.items, environment);
		if (errno != EACCES && errno != ENOENT)
			return fail(failure, STEP_EXEC, name);
		worst = errno == EACCES ? EACCES : worst;
	}
	return fail_with(failure, STEP_EXEC, worst, name);
}

static char **with_home(const struct strings *environment, const char *home)
{
	char **items = allocate((environment->count + 2) * sizeof(*items)), *entry;

	memcpy(items, environment->items, environment->count * sizeof(*items));
	if (!variable(environment, "HOME")) {
		if (asprintf(&entry, "HOME=%s", home) < 0)
			die("out of memory");
		items[environment->count] = entry;
	}
	return items;
}

int program_become(const struct process_spec *spec, struct stdio stdio, struct failure *failure)
{
	struct identity identity = {0};

	if (!spec->arguments.count)
		return fail_with(failure, STEP_EXEC, EINVAL, "");
	reset_signals();
	if (user_find(spec, &identity, failure) < 0 || take_streams(stdio, &identity, failure) < 0)
		return -1;
	char **environment = with_home(&spec->environment, identity.home); /* while there is memory to be had */
	if (set_limits(spec, failure) < 0 || enter_directory(spec->directory, failure) < 0)
		return -1;
	if (credentials_drop(spec, &identity, failure) < 0)
		return -1;
	return search_path(spec, environment, failure);
}
