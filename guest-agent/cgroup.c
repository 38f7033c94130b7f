/* The container's cgroup: made with its limits, the count of out-of-memory kills, and the one sure way to reach every process
 * that the container ever made. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"
#include "scope.h"

#define EVENTS "/cgroup.events"
#define WAIT_MILLISECONDS 10000

static int oom_events = -1;

int write_text(const char *path, const char *text)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

int read_text(const char *path, char *text, size_t size)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got = fd < 0 ? -1 : 1;

	while (got > 0 && used < size - 1)
		if ((got = read(fd, text + used, size - 1 - used)) > 0)
			used += (size_t)got;
	text[used] = 0;
	return got < 0 ? -1 : (int)used;
}

int cgroup_make(const struct boot_document *boot, struct failure *failure)
{
	if (mkdir(CGROUP_FOLDER, 0755) < 0 && errno != EEXIST)
		return fail(failure, STEP_CGROUP, CGROUP_FOLDER);
	return limits_set(boot, failure);
}

void cgroup_make_spare(void)
{
	mkdir(CGROUP_FOLDER, 0755); /* if this fails, the next container's own attempt says so */
}

int cgroup_open(const char *folder, struct failure *failure)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		fail(failure, STEP_CGROUP, folder);
	return fd;
}

int cgroup_open_trees(struct failure *failure)
{
	if (mkdir(TREES_FOLDER, 0755) < 0 && errno != EEXIST)
		return fail(failure, STEP_CGROUP, TREES_FOLDER);
	return cgroup_open(TREES_FOLDER, failure);
}

/* The value of a `key number` line in a file of the kernel's; -1 if it is not there. */
static int64_t read_key(int fd, const char *key)
{
	char text[512];
	ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
	size_t length = strlen(key);

	if (got < 0)
		return -1;
	text[got] = 0;
	for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (!strncmp(line, key, length) && line[length] == ' ')
			return strtoll(line + length, NULL, 10);
	return -1;
}

/* Waits until a key of a cgroup's events has a value; the kernel wakes whoever polls them at each change. */
static int wait_for(int events, const char *key, int64_t value, struct failure *failure)
{
	while (read_key(events, key) != value) {
		struct pollfd change = {.fd = events, .events = POLLPRI};

		if (poll(&change, 1, WAIT_MILLISECONDS) == 0)
			return fail_with(failure, STEP_CGROUP, ETIMEDOUT, key);
	}
	return 0;
}

int cgroup_kill(const char *folder, struct failure *failure)
{
	char path[64];

	snprintf(path, sizeof(path), "%s" EVENTS, folder);
	cleanup_close int events = open(path, O_RDONLY | O_CLOEXEC);
	if (events < 0)
		return errno == ENOENT ? 0 : fail(failure, STEP_CGROUP, path);
	if (read_key(events, "populated") == 0)
		return 0;
	snprintf(path, sizeof(path), "%s/cgroup.kill", folder);
	if (write_text(path, "1") < 0)
		return fail(failure, STEP_CGROUP, path);
	return wait_for(events, "populated", 0, failure);
}

int cgroup_freeze(bool frozen, struct failure *failure)
{
	cleanup_close int events = open(CGROUP_FOLDER EVENTS, O_RDONLY | O_CLOEXEC);

	if (events < 0 || write_text(CGROUP_FOLDER "/cgroup.freeze", frozen ? "1" : "0") < 0)
		return fail(failure, STEP_CGROUP, "cgroup.freeze");
	return wait_for(events, "frozen", frozen, failure);
}

int cgroup_signal(int number, struct failure *failure)
{
	FILE *list;
	int pid;

	if (number == SIGKILL)
		return write_text(CGROUP_FOLDER "/cgroup.kill", "1") < 0 ? fail(failure, STEP_CGROUP, "cgroup.kill") : 0;
	list = fopen(CGROUP_FOLDER "/cgroup.procs", "re");
	if (!list)
		return fail(failure, STEP_CGROUP, "cgroup.procs");
	while (fscanf(list, "%d", &pid) == 1)
		if (pid > 1)
			kill(pid, number);
	fclose(list);
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)where;
	return type == FTW_DP ? rmdir(path) : 0;
}

void cgroup_remove(void)
{
	if (oom_events >= 0)
		close(take_fd(&oom_events));
	if (rmdir(CGROUP_FOLDER) == 0 || errno == ENOENT)
		return;
	/* a privileged container may have made cgroups of its own below */
	if (nftw(CGROUP_FOLDER, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
		warn(CGROUP_FOLDER ": %m");
}

int container_oom_descriptor(void)
{
	if (oom_events < 0)
		oom_events = open(CGROUP_FOLDER "/memory.events", O_RDONLY | O_CLOEXEC);
	return oom_events;
}

uint64_t container_oom_count(void)
{
	int64_t count = container_oom_descriptor() < 0 ? 0 : read_key(oom_events, "oom_kill");

	return count < 0 ? 0 : (uint64_t)count;
}
