/* A tree into the container, from a stream of entries.
 *
 * The parent of each entry is found anew from the root, with openat2(RESOLVE_IN_ROOT), or taken from the entry before
 * if it is the same; what is made in it is made by its plain name, never through a link. What is in the way goes
 * first, as with tar; only a file that others are mounted over is written in place. Directories get their times at the
 * end, since what is put into them changes them. */
#define _GNU_SOURCE
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"
#include "scope.h"
#include "tree_in.h"
#include "tree_path.h"

struct dated { char *path; int64_t seconds; uint32_t nanoseconds; };

struct plan {
	struct tree_in in;
	int root;
	const char *target;
	uint32_t flags;
	char parent_path[PATH_MAX]; /* of the entry before */
	int parent;
	struct dated *directories;
	size_t directory_count, directory_capacity;
};

static int too_long(void)
{
	errno = ENAMETOOLONG;
	return -1;
}

/* The path below the root of one below the target. */
static int full_path(const struct plan *plan, const char *path, char full[PATH_MAX])
{
	const char *slash = *plan->target && *path ? "/" : "";
	int size = snprintf(full, PATH_MAX, "%s%s%s", plan->target, slash, path);

	return size < 0 || size >= PATH_MAX ? too_long() : 0;
}

/* The directory that an entry lies in, held until the next one's is another. */
static int find_parent(struct plan *plan, const char *path, const char **name)
{
	char full[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t size;

	if (full_path(plan, path, full) < 0)
		return -1;
	*name = slash ? slash + 1 : path;
	size = strlen(full) - strlen(*name);
	full[size] = 0;
	if (plan->parent >= 0 && !strcmp(full, plan->parent_path))
		return plan->parent;
	close_scoped(&plan->parent);
	plan->parent = make_directories(plan->root, full);
	strcpy(plan->parent_path, full);
	return plan->parent;
}

static int set_xattrs(int fd, const char *name, const struct tree_entry *entry)
{
	bool special = name != NULL;

	for (uint32_t i = 0; i < entry->xattr_count; i++) {
		const struct entry_xattr *xattr = &entry->xattrs[i];
		int result = special ? lsetxattr(name, xattr->name, xattr->value, xattr->size, 0) :
		                       fsetxattr(fd, xattr->name, xattr->value, xattr->size, 0);

		/* What this file system cannot hold is left out, as tar does. */
		if (result < 0 && errno != ENOTSUP && !(special && errno == EPERM))
			return -1;
	}
	return 0;
}

/* In this order: a new owner clears set-id bits and capabilities. */
static int finish_open(int fd, const struct tree_entry *entry)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {entry->seconds, entry->nanoseconds}};

	if (fchown(fd, entry->uid, entry->gid) < 0 || fchmod(fd, entry->mode) < 0)
		return -1;
	return set_xattrs(fd, NULL, entry) < 0 ? -1 : futimens(fd, times);
}

static int finish_special(int parent, const char *name, const struct tree_entry *entry)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {entry->seconds, entry->nanoseconds}};

	if (fchownat(parent, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (entry->xattr_count && (fchdir(parent) < 0 || set_xattrs(-1, name, entry) < 0))
		return -1;
	return utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW);
}

static void remember_times(struct plan *plan, const struct tree_entry *entry)
{
	if (plan->directory_count == plan->directory_capacity) {
		plan->directory_capacity = plan->directory_capacity ? plan->directory_capacity * 2 : 64;
		plan->directories =
			reallocarray(plan->directories, plan->directory_capacity, sizeof(*plan->directories));
		if (!plan->directories)
			die("out of memory: %zu directories", plan->directory_capacity);
	}
	plan->directories[plan->directory_count++] =
		(struct dated){copy_string(entry->path), entry->seconds, entry->nanoseconds};
}

static int write_directory(struct plan *plan, int parent, const char *name, const struct tree_entry *entry)
{
	cleanup_close int fd = -1;

	if (*name && mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return -1;
	fd = openat(parent, *name ? name : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || finish_open(fd, entry) < 0)
		return -1;
	remember_times(plan, entry);
	return 0;
}

static int write_file(int parent, const char *name, bool in_place, const struct tree_entry *entry)
{
	int how = in_place ? O_TRUNC : O_CREAT | O_EXCL;
	cleanup_close int fd = openat(parent, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | how, 0600);

	if (fd < 0)
		return -1;
	for (uint32_t i = 0; i < entry->extent_count; i++)
		if (in_extent(fd, &entry->extents[i]) < 0)
			return -1;
	if (ftruncate(fd, (off_t)entry->size) < 0)
		return -1;
	return finish_open(fd, entry);
}

static int write_hard_link(struct plan *plan, int parent, const char *name, const struct tree_entry *entry)
{
	char full[PATH_MAX];
	const char *last;
	cleanup_close int directory = -1;

	if (full_path(plan, entry->link, full) < 0)
		return -1;
	directory = open_parent(plan->root, full, &last);
	return directory < 0 ? -1 : linkat(directory, last, parent, name, 0);
}

static int write_special(int parent, const char *name, const struct tree_entry *entry)
{
	static const mode_t types[] = {
		[ENTRY_CHARACTER] = S_IFCHR, [ENTRY_BLOCK] = S_IFBLK, [ENTRY_FIFO] = S_IFIFO, [ENTRY_SOCKET] = S_IFSOCK,
	};
	dev_t device = 0;
	int result;

	if (entry->kind == ENTRY_CHARACTER || entry->kind == ENTRY_BLOCK)
		device = makedev(entry->major, entry->minor);
	if (entry->kind == ENTRY_SYMLINK)
		result = symlinkat(entry->link, parent, name);
	else
		result = mknodat(parent, name, types[entry->kind] | entry->mode, device);
	return result < 0 ? -1 : finish_special(parent, name, entry);
}

/* 1: a file is to be written in place. */
static int make_room(const struct plan *plan, int parent, const char *name, const struct tree_entry *entry)
{
	struct stat status;
	bool directory = entry->kind == ENTRY_DIRECTORY;

	if (!*name)
		return 0;
	if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	if (directory && S_ISDIR(status.st_mode))
		return 0;
	if (plan->flags & TREE_KEEP_DIRECTORIES && directory != S_ISDIR(status.st_mode)) {
		errno = directory ? ENOTDIR : EISDIR;
		return -1;
	}
	if (remove_tree(parent, name) == 0)
		return 0;
	return (errno == EBUSY || errno == EROFS) && entry->kind == ENTRY_FILE && S_ISREG(status.st_mode) ? 1 : -1;
}

/* What something was only mounted on: it stays if it has something in it by now. */
static int remove_entry(const struct plan *plan, const struct tree_entry *entry)
{
	char full[PATH_MAX];
	const char *name;
	struct stat status;
	cleanup_close int parent = -1;
	bool empty;

	if (!*entry->path || full_path(plan, entry->path, full) < 0)
		return *entry->path ? -1 : 0;
	parent = open_parent(plan->root, full, &name);
	if (parent < 0 || fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	empty = S_ISREG(status.st_mode) && status.st_size == 0;
	if (empty || S_ISDIR(status.st_mode))
		if (unlinkat(parent, name, empty ? 0 : AT_REMOVEDIR) < 0 && errno != ENOTEMPTY)
			return -1;
	return 0;
}

static int write_entry(struct plan *plan, const struct tree_entry *entry)
{
	const char *name;
	int parent = find_parent(plan, entry->path, &name);
	int in_place = parent < 0 ? -1 : make_room(plan, parent, name, entry);

	if (in_place < 0)
		return -1;
	switch (entry->kind) {
	case ENTRY_DIRECTORY: return write_directory(plan, parent, name, entry);
	case ENTRY_FILE: return write_file(parent, name, in_place, entry);
	case ENTRY_HARD_LINK: return write_hard_link(plan, parent, name, entry);
	default: return write_special(parent, name, entry);
	}
}

/* Whatever became of them meanwhile: a time that cannot be set is no failure. */
static void set_times(struct plan *plan)
{
	while (plan->directory_count) {
		struct dated *dated = &plan->directories[--plan->directory_count];
		struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {dated->seconds, dated->nanoseconds}};
		char full[PATH_MAX];
		cleanup_close int fd = -1;

		if (full_path(plan, dated->path, full) == 0)
			fd = open_in_root(plan->root, full, O_RDONLY | O_DIRECTORY | (*dated->path ? O_NOFOLLOW : 0));
		if (fd >= 0)
			futimens(fd, times);
		free(dated->path);
	}
}

static int open_target(const struct plan *plan)
{
	cleanup_close int fd = plan->flags & TREE_MAKE ?
		make_directories(plan->root, plan->target) :
		open_in_root(plan->root, plan->target, O_PATH | O_DIRECTORY);

	return fd < 0 ? -1 : 0;
}

/* Whose everything is to be, looked up in the container's own passwd, before anything is made. */
static int find_owner(struct identity *owner, const char *user)
{
	struct process_spec spec = {.user = (char *)user};
	struct failure failure = {0};

	if (user_find(&spec, owner, &failure) == 0)
		return 0;
	errno = failure.number;
	return -1;
}

static int write_all(struct plan *plan, const struct identity *owner)
{
	for (;;) {
		struct tree_entry entry;
		bool end;

		if (in_entry(&plan->in, &entry) < 0)
			return tree_failed("");
		if (owner) {
			entry.uid = owner->uid;
			entry.gid = owner->gid;
		}
		end = entry.kind == ENTRY_END;
		if (!end && (plan->flags & TREE_REMOVE ? remove_entry(plan, &entry) : write_entry(plan, &entry)) < 0)
			return tree_failed(entry.path);
		free_entry(&entry);
		if (end)
			return 0;
	}
}

int tree_write(void *argument)
{
	const struct tree_request *request = argument;
	struct plan plan = {.parent = -1, .target = request->path, .flags = request->flags};
	static struct identity owner; /* of kilobytes */
	bool owned = request->flags & TREE_OWNED;
	int result;

	plan.root = tree_enter(request->root);
	if (owned && plan.root >= 0 && find_owner(&owner, request->owner) < 0)
		return tree_failed(request->owner);
	if (plan.root < 0 || open_target(&plan) < 0)
		return tree_failed(request->path);
	result = write_all(&plan, owned ? &owner : NULL);
	set_times(&plan);
	return result;
}
