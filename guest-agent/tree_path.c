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

int tree_enter(const char *folder)
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
	return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
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

/* A path on its way: `done` is resolved and has no link in it, `rest` is still to be walked. */
struct resolving { char done[PATH_MAX], rest[PATH_MAX * 2]; };

static void drop_last(char *path)
{
	char *slash = strrchr(path, '/');

	*(slash ? slash : path) = 0;
}

/* Puts a link's target in front of what is left. */
static int take_link(struct resolving *at, int fd)
{
	char target[PATH_MAX];
	ssize_t size = readlinkat(fd, "", target, sizeof(target) - 1);
	size_t left = strlen(at->rest);

	if (size < 0)
		return -1;
	if ((size_t)size + 1 + left >= sizeof(at->rest)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	drop_last(at->done);
	if (*target == '/')
		*at->done = 0;
	memmove(at->rest + size + 1, at->rest, left + 1);
	memcpy(at->rest, target, (size_t)size);
	at->rest[size] = '/';
	return 0;
}

/* One part of the path. 1: it is a link, which has been taken. */
static int resolve_part(int root, struct resolving *at, const char *name, size_t size)
{
	size_t used = strlen(at->done);
	struct stat status;

	if (size == 0 || (size == 1 && *name == '.'))
		return 0;
	if (size == 2 && !memcmp(name, "..", 2)) {
		drop_last(at->done);
		return 0;
	}
	if (used + 1 + size >= sizeof(at->done)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	at->done[used] = '/';
	memcpy(at->done + used + 1, name, size);
	at->done[used + 1 + size] = 0;
	cleanup_close int fd = open_in_root(root, at->done, O_PATH | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	if (fstat(fd, &status) < 0)
		return -1;
	if (!S_ISLNK(status.st_mode))
		return 0;
	return take_link(at, fd) < 0 ? -1 : 1;
}

int resolve_in_root(int root, const char *path, char resolved[PATH_MAX])
{
	enum { LINKS = 40 }; /* the kernel's own bound */
	struct resolving at = {0};
	int links = 0;

	if (strlen(path) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(at.rest, path);
	while (*at.rest) {
		char name[PATH_MAX * 2];
		size_t size = strcspn(at.rest, "/");
		int linked;

		memcpy(name, at.rest, size);
		memmove(at.rest, at.rest + size + (at.rest[size] == '/'), strlen(at.rest + size + (at.rest[size] == '/')) + 1);
		linked = resolve_part(root, &at, name, size);
		links += linked > 0;
		if (linked < 0 || links > LINKS) {
			errno = linked < 0 ? errno : ELOOP;
			return -1;
		}
	}
	strcpy(resolved, *at.done ? at.done : "/");
	return 0;
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
