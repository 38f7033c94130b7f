/* A tree out of the container, as a stream of entries.
 *
 * The walk holds one open directory a level and the names of no more than one entry, so a directory of a million names
 * costs time only; files with several names are remembered, for the hard links among them. Each entry is opened by
 * name in its open directory and never through a link. A program may change all of it meanwhile: what has gone is left
 * out, what has shrunk is filled up with zeros. */
#define _GNU_SOURCE
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "report.h"
#include "scope.h"
#include "tree_kernel.h"
#include "tree_lower.h"
#include "tree_out.h"
#include "tree_path.h"
#include "tree_seen.h"

enum { DEPTH = 2048, OPEN_FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC };

struct level {
	DIR *directory;
	size_t path; /* the length of its path */
};

struct walk {
	struct tree_out out;
	struct tree_seen seen;
	uint32_t flags;
	int root, lower; /* -1: nothing is asked about what lies below */
	uint64_t mount; /* the top's, for TREE_ONE_FILE_SYSTEM */
	char path[PATH_MAX + 256];
	size_t depth;
	struct level levels[DEPTH];
};

/* What is at hand: its descriptor (O_PATH, or a real one of a file or directory) and its status. */
struct thing {
	int fd;
	struct stat status;
	int parent; /* -1 at the top */
	const char *name;
};

/* The C library's struct statx is older than this field: the kernel's has it at byte 144. */
static uint64_t mount_of(int fd)
{
	enum { STATX_MOUNT = 0x1000, MOUNT_AT = 144 };
	uint8_t raw[256] = {0};
	uint64_t mount = 0;

	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_MOUNT, raw) == 0)
		memcpy(&mount, raw + MOUNT_AT, sizeof(mount));
	return mount;
}

static void describe(const struct walk *walk, const struct thing *thing, struct tree_entry *entry)
{
	const struct stat *status = &thing->status;

	entry->kind = kind_of(status->st_mode);
	entry->mode = status->st_mode & 07777;
	entry->uid = status->st_uid;
	entry->gid = status->st_gid;
	entry->seconds = status->st_mtim.tv_sec;
	entry->nanoseconds = (uint32_t)status->st_mtim.tv_nsec;
	entry->path = copy_string(walk->path);
	if (entry->kind == ENTRY_FILE && status->st_size > 0)
		entry->size = (uint64_t)status->st_size;
	if (entry->kind == ENTRY_CHARACTER || entry->kind == ENTRY_BLOCK) {
		entry->major = major(status->st_rdev);
		entry->minor = minor(status->st_rdev);
	}
}

static int read_link(const struct walk *walk, const struct thing *thing, struct tree_entry *entry)
{
	char target[PATH_MAX];
	ssize_t size;

	if (walk->flags & TREE_RESOLVE && thing->parent < 0) {
		if (resolve_in_root(walk->root, thing->name, target) < 0)
			return -1;
	} else {
		size = readlinkat(thing->fd, "", target, sizeof(target) - 1);
		if (size < 0)
			return -1;
		target[size] = 0;
	}
	entry->link = copy_string(target);
	return 0;
}

static int read_xattrs(const struct thing *thing, struct tree_entry *entry)
{
	if (entry->kind == ENTRY_FILE || entry->kind == ENTRY_DIRECTORY)
		return find_xattrs(thing->fd, entry);
	return thing->parent < 0 ? 0 : find_xattrs_at(thing->parent, thing->name, entry);
}

/* Whether it is to be told as a link to an earlier name of it. overlayfs gives all its whiteouts one inode, and sockets
 * have no place in an archive that a later name of theirs could point to. */
static bool may_be_linked(const struct thing *thing)
{
	mode_t mode = thing->status.st_mode;

	return thing->status.st_nlink > 1 && !S_ISDIR(mode) && !S_ISSOCK(mode) &&
	       !(S_ISCHR(mode) && thing->status.st_rdev == 0);
}

static int put_thing(struct walk *walk, const struct thing *thing, struct tree_entry *entry)
{
	describe(walk, thing, entry);
	if (walk->lower >= 0 && find_lower(walk->lower, walk->path, entry) < 0)
		return -1;
	if (may_be_linked(thing)) {
		const char *earlier = seen_before(&walk->seen, thing->status.st_dev, thing->status.st_ino, walk->path);

		if (earlier) {
			entry->kind = ENTRY_HARD_LINK;
			entry->size = 0;
			entry->link = copy_string(earlier);
			return out_entry(&walk->out, entry);
		}
	}
	if (entry->kind == ENTRY_SYMLINK && read_link(walk, thing, entry) < 0)
		return -1;
	if (read_xattrs(thing, entry) < 0)
		return -1;
	/* A file mounted over another (/etc/hosts) is not the file system's: its place is kept, empty. */
	if (entry->kind == ENTRY_FILE && walk->flags & TREE_ONE_FILE_SYSTEM && mount_of(thing->fd) != walk->mount)
		entry->size = 0;
	if (entry->kind == ENTRY_FILE && !(walk->flags & (TREE_ONLY_ITSELF | TREE_BARE)))
		find_extents(thing->fd, (uint64_t)thing->status.st_blocks, entry);
	if (out_entry(&walk->out, entry) < 0)
		return -1;
	for (uint32_t i = 0; i < entry->extent_count; i++)
		if (out_extent(&walk->out, thing->fd, &entry->extents[i]) < 0)
			return -1;
	return 0;
}

static int put(struct walk *walk, const struct thing *thing)
{
	struct tree_entry entry = {0};
	int result = put_thing(walk, thing, &entry);
	int saved = errno;

	for (uint32_t i = 0; i < entry.xattr_count; i++)
		free((void *)entry.xattrs[i].value);
	free_entry(&entry);
	errno = saved;
	return result;
}

static bool goes_into(const struct walk *walk, const struct thing *thing)
{
	if (!S_ISDIR(thing->status.st_mode) || walk->flags & TREE_ONLY_ITSELF || is_of_kernel(thing->fd))
		return false;
	return !(walk->flags & TREE_ONE_FILE_SYSTEM) || mount_of(thing->fd) == walk->mount;
}

static int enter(struct walk *walk, int *fd)
{
	struct level *level = &walk->levels[walk->depth];

	if (walk->depth == DEPTH) {
		errno = ENAMETOOLONG;
		return -1;
	}
	level->directory = fdopendir(*fd);
	if (!level->directory)
		return -1;
	take_fd(fd);
	level->path = strlen(walk->path);
	walk->depth++;
	return 0;
}

/* Opens what a name is: for real if it is a file or a directory, so that no device is ever opened. 1: it has gone. */
static int open_thing(struct thing *thing)
{
	struct stat again;
	int fd;

	thing->fd = openat(thing->parent, thing->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (thing->fd < 0)
		return errno == ENOENT ? 1 : -1;
	if (fstat(thing->fd, &thing->status) < 0)
		return -1;
	if (!S_ISREG(thing->status.st_mode) && !S_ISDIR(thing->status.st_mode))
		return 0;
	fd = openat(thing->parent, thing->name, OPEN_FLAGS);
	if (fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENXIO ? 1 : -1;
	close(thing->fd);
	thing->fd = fd;
	if (fstat(fd, &again) < 0)
		return -1;
	if ((again.st_mode & S_IFMT) != (thing->status.st_mode & S_IFMT))
		return 1;
	thing->status = again;
	return 0;
}

static int visit(struct walk *walk, const char *name)
{
	struct level *level = &walk->levels[walk->depth - 1];
	cleanup_close int fd = -1;
	struct thing thing = {.fd = -1, .parent = dirfd(level->directory), .name = name};
	const char *slash = level->path ? "/" : "";
	int size = snprintf(walk->path + level->path, sizeof(walk->path) - level->path, "%s%s", slash, name);
	int gone;

	if (level->path + (size_t)size > ENTRY_PATH) {
		errno = ENAMETOOLONG;
		return -1;
	}
	gone = open_thing(&thing);
	fd = thing.fd;
	if (gone)
		return gone < 0 ? -1 : 0;
	if (put(walk, &thing) < 0)
		return -1;
	return goes_into(walk, &thing) ? enter(walk, &fd) : 0;
}

static int walk_down(struct walk *walk)
{
	while (walk->depth) {
		struct level *level = &walk->levels[walk->depth - 1];
		struct dirent *entry;

		walk->path[level->path] = 0;
		errno = 0;
		entry = readdir(level->directory);
		if (!entry && errno && errno != ENOENT)
			return -1;
		if (!entry) {
			closedir(level->directory);
			walk->depth--;
		} else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
			if (visit(walk, entry->d_name) < 0)
				return -1;
		}
	}
	return 0;
}

static int walk_from(struct walk *walk, const char *path)
{
	uint64_t follow = walk->flags & TREE_FOLLOW ? 0 : O_NOFOLLOW;
	cleanup_close int fd = open_in_root(walk->root, path, O_PATH | follow);
	struct thing thing = {.parent = -1, .name = path};

	if (fd < 0 || fstat(fd, &thing.status) < 0)
		return -1;
	if (!S_ISDIR(thing.status.st_mode) && is_of_kernel(fd)) {
		errno = ENOENT;
		return -1;
	}
	if (S_ISREG(thing.status.st_mode) || S_ISDIR(thing.status.st_mode)) {
		close(fd);
		fd = open_in_root(walk->root, path, (OPEN_FLAGS & ~O_NOFOLLOW) | follow);
		if (fd < 0 || fstat(fd, &thing.status) < 0)
			return -1;
	}
	thing.fd = fd;
	if (walk->flags & TREE_ONE_FILE_SYSTEM)
		walk->mount = mount_of(fd);
	if (put(walk, &thing) < 0)
		return -1;
	if (goes_into(walk, &thing) && enter(walk, &fd) < 0)
		return -1;
	return walk_down(walk);
}

int tree_read(void *argument)
{
	static const struct tree_entry end = {.kind = ENTRY_END};
	const struct tree_request *request = argument;
	struct walk *walk = allocate(sizeof(*walk));

	walk->flags = request->flags;
	walk->root = tree_enter(request->root);
	walk->lower = request->flags & TREE_LOWER ? open(request->lower, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (walk->root < 0 || (request->flags & TREE_LOWER && walk->lower < 0) || walk_from(walk, request->path) < 0)
		return tree_failed(*walk->path ? walk->path : request->path);
	if (out_entry(&walk->out, &end) < 0 || out_flush(&walk->out) < 0)
		return tree_failed("");
	return 0;
}
