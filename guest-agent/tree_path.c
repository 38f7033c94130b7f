/* Paths below a root, by descriptors. */
#define _GNU_SOURCE
#include "tree_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "report.h"
#include "scope.h"

int tree_enter(void)
{
	struct rlimit files;

	die_hook = NULL; /* this is not PID 1: dying here ends a process, not the machine */
	signal(SIGPIPE, SIG_IGN);
	umask(0);
	syscall(SYS_close_range, 3, ~0U, 0);
	/* One descriptor a level of the deepest path there can be. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	return open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int open_in_root(int root, const char *path, uint64_t flags)
{
	struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};

	return (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));
}

/* The path without its last part, into `parent` of PATH_MAX bytes; returns the last part. */
static const char *split(const char *path, char *parent)
{
	const char *slash = strrchr(path, '/');
	size_t size = slash ? (size_t)(slash - path) : 0;

	memcpy(parent, path, size);
	parent[size] = 0;
	return slash ? slash + 1 : path;
}

int open_parent(int root, const char *path, const char **name)
{
	char parent[PATH_MAX];

	if (strlen(path) >= sizeof(parent)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	*name = split(path, parent);
	return open_in_root(root, parent, O_PATH | O_DIRECTORY);
}

int make_directories(int root, const char *path)
{
	char so_far[PATH_MAX];
	size_t size = strlen(path);
	int fd = open_in_root(root, path, O_PATH | O_DIRECTORY);

	if (fd >= 0 || errno != ENOENT || size >= sizeof(so_far))
		return fd;
	for (size_t at = 1; at <= size; at++) {
		cleanup_close int parent = -1;
		const char *name;

		if (path[at] != '/' && path[at] != 0)
			continue;
		memcpy(so_far, path, at);
		so_far[at] = 0;
		parent = open_parent(root, so_far, &name);
		if (parent < 0)
			return -1;
		if (*name && mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
			return -1;
	}
	return open_in_root(root, path, O_PATH | O_DIRECTORY);
}

/* Empties a directory, deepest first, by a stack of open directories: a program in the container may have made them
 * deeper than a C stack or a path would bear. */
static int empty_directory(int directory, const char *name)
{
	enum { DEPTH = 2048 };
	static DIR *stack[DEPTH];
	static char names[DEPTH][256];
	size_t depth = 0;
	int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	while (fd >= 0) {
		struct dirent *entry;

		stack[depth] = fdopendir(fd);
		if (!stack[depth++])
			die("out of memory: directory");
		fd = -1;
		while (depth && fd < 0) {
			int top = dirfd(stack[depth - 1]);

			entry = readdir(stack[depth - 1]);
			if (!entry) {
				closedir(stack[--depth]);
				if (depth)
					unlinkat(dirfd(stack[depth - 1]), names[depth], AT_REMOVEDIR);
				continue;
			}
			if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
				continue;
			if (unlinkat(top, entry->d_name, 0) == 0 || errno != EISDIR || depth == DEPTH)
				continue;
			snprintf(names[depth], sizeof(names[depth]), "%s", entry->d_name);
			fd = openat(top, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		}
	}
	return unlinkat(directory, name, AT_REMOVEDIR);
}

int remove_tree(int directory, const char *name)
{
	if (unlinkat(directory, name, 0) == 0 || errno == ENOENT)
		return 0;
	return errno == EISDIR ? empty_directory(directory, name) : -1;
}

int tree_failed(const char *path)
{
	int number = errno;

	if (write(STDERR_FILENO, path, strlen(path)) < 0)
		return number;
	return number;
}
