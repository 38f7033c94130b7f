/* The world of a container, made by its first process around itself: name spaces are new, the overlay is mounted in
 * the agent's tree. What has to come from the agent's tree (the terminals, the host's files) is taken along as
 * detached mounts; then the root is changed and everything else happens inside, where the image's links can lead
 * nowhere else. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"
#include "scope.h"

/* linux/mount.h and sys/mount.h cannot be had together; these are mount(2)'s. */
int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);
enum { RDONLY = 1, NOSUID = 2, NODEV = 4, NOEXEC = 8, REMOUNT = 32, BIND = 4096, REC = 16384, PRIVATE = 1 << 18 };
enum { DETACH = 2 };

#define FILES AGENT_FOLDER "/files"
#define FILES_MAX 64

int take_along(int fd, const char *path)
{
	return (int)syscall(SYS_open_tree, fd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (*path ? 0u : AT_EMPTY_PATH));
}

/* Consumes the tree: a descriptor that stayed would be a way out for whoever walks through /proc/self/fd. */
int put_down(int tree, const char *target)
{
	cleanup_close int closed = tree;

	return (int)syscall(SYS_move_mount, closed, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
}

/* Further attributes on a mount and what is below it; nothing is taken away. */
static int restrict_mount(const char *path, uint64_t attributes)
{
	struct mount_attr change = {.attr_set = attributes};

	return (int)syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &change, sizeof(change));
}

/* A file on the tmpfs of this name space, as a detached mount. */
static int make_file(const char *name, mode_t mode, struct blob content)
{
	char path[64];

	snprintf(path, sizeof(path), FILES "/%s", name);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || fchmod(fd, mode) < 0 || write(fd, content.data, content.size) != (ssize_t)content.size)
		return -1;
	return take_along(AT_FDCWD, path);
}

/* A terminal's slave, by its name: the open descriptor's own mount belongs to the agent's name space, of which this
 * one holds a copy, and only what is mounted here can be taken along. */
static int take_terminal(int slave)
{
	char link[32], path[64];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", slave);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return -1;
	path[length] = 0;
	return take_along(AT_FDCWD, path);
}

/* The host's files, on a tmpfs in this name space alone. */
static int write_files(const struct boot_document *boot, int *trees, struct failure *failure)
{
	if (boot->file_count > FILES_MAX)
		return fail_with(failure, STEP_FILES, E2BIG, "files");
	if ((mkdir(FILES, 0700) < 0 && errno != EEXIST) ||
	    mount("tmpfs", FILES, "tmpfs", NOSUID | NODEV | NOEXEC, "mode=755,size=8m") < 0)
		return fail(failure, STEP_FILES, FILES);
	for (uint32_t i = 0; i < boot->file_count; i++) {
		const struct file_spec *file = &boot->files[i];
		char name[16];

		snprintf(name, sizeof(name), "%u", i);
		trees[i] = make_file(name, file->mode & 07777, file->content);
		if (trees[i] < 0)
			return fail(failure, STEP_FILES, file->path);
	}
	return 0;
}

/* A clone's boot_id is its template's; a container sees one of its own. */
static int make_boot_id(struct failure *failure)
{
	char id[37];

	cleanup_close int uuid = open("/proc/sys/kernel/random/uuid", O_RDONLY | O_CLOEXEC);
	if (uuid < 0 || read(uuid, id, sizeof(id)) != sizeof(id))
		return fail(failure, STEP_IDENTITY, "boot_id");
	int tree = make_file("boot_id", 0444, (struct blob){sizeof(id), (const uint8_t *)id});
	return tree < 0 ? fail(failure, STEP_IDENTITY, "boot_id") : tree;
}

static int change_root(struct failure *failure)
{
	if (chdir(ROOT_FOLDER) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", DETACH) < 0 || chdir("/") < 0)
		return fail(failure, STEP_ROOT, "pivot_root");
	return 0;
}

static int mount_on(const char *type, const char *target, unsigned long flags, const char *data, struct failure *failure)
{
	if (place_folder(target, 0755) < 0 || mount(type, target, type, flags, data) < 0)
		return fail(failure, STEP_MOUNT, target);
	return 0;
}

static int mount_kernel(const struct boot_document *boot, int terminals, struct failure *failure)
{
	unsigned long quiet = NOSUID | NODEV | NOEXEC, shown = quiet | (boot->flags & BOOT_PRIVILEGED ? 0 : RDONLY);
	char shm[64];

	snprintf(shm, sizeof(shm), "mode=1777,size=%llu", (unsigned long long)(boot->shm ? boot->shm : 64u << 20));
	if (mount_on("proc", "/proc", quiet, NULL, failure) < 0 ||
	    mount_on("tmpfs", "/dev", NOSUID, "mode=755,size=65536k", failure) < 0 ||
	    mount_on("sysfs", "/sys", shown, NULL, failure) < 0 ||
	    mount_on("cgroup2", "/sys/fs/cgroup", shown, NULL, failure) < 0)
		return -1;
	if (mkdir("/dev/pts", 0755) < 0 || put_down(terminals, "/dev/pts") < 0)
		return fail(failure, STEP_MOUNT, "/dev/pts");
	if (mount_on("mqueue", "/dev/mqueue", quiet, NULL, failure) < 0)
		return -1;
	return mount_on("tmpfs", "/dev/shm", quiet, shm, failure);
}

/* /dev/console is the container's own terminal, where it has one. */
static int show_console(int console, struct failure *failure)
{
	if (console < 0)
		return 0;
	if (place_file("/dev/console", 0600) < 0 || put_down(console, "/dev/console") < 0)
		return fail(failure, STEP_DEVICES, "/dev/console");
	return 0;
}

static int place_files(const struct boot_document *boot, const int *trees, struct failure *failure)
{
	for (uint32_t i = 0; i < boot->file_count; i++)
		if (place_file(boot->files[i].path, 0644) < 0 || put_down(trees[i], boot->files[i].path) < 0)
			return fail(failure, STEP_FILES, boot->files[i].path);
	return 0;
}

static int write_sysctls(const struct boot_document *boot, struct failure *failure)
{
	for (uint32_t i = 0; i < boot->sysctl_count; i++) {
		char path[256];

		if (strstr(boot->sysctls[i].path, "..") ||
		    (size_t)snprintf(path, sizeof(path), "/proc/sys/%s", boot->sysctls[i].path) >= sizeof(path))
			return fail_with(failure, STEP_SYSCTL, EINVAL, boot->sysctls[i].path);
		if (write_text(path, boot->sysctls[i].value) < 0)
			return fail(failure, STEP_SYSCTL, boot->sysctls[i].path);
	}
	return 0;
}

static int hide(const struct boot_document *boot, struct failure *failure)
{
	for (uint32_t i = 0; i < boot->readonly.count; i++) {
		const char *path = boot->readonly.items[i];

		if (mount(path, path, NULL, BIND | REC, NULL) < 0) {
			if (errno == ENOENT)
				continue;
			return fail(failure, STEP_MOUNT, path);
		}
		if (restrict_mount(path, MOUNT_ATTR_RDONLY) < 0)
			return fail(failure, STEP_MOUNT, path);
	}
	for (uint32_t i = 0; i < boot->masked.count; i++) {
		const char *path = boot->masked.items[i];

		if (mount("/dev/null", path, NULL, BIND, NULL) == 0 || errno == ENOENT)
			continue;
		if (errno != ENOTDIR || mount("tmpfs", path, "tmpfs", RDONLY, "size=0k") < 0)
			return fail(failure, STEP_MOUNT, path);
	}
	return 0;
}

static int name_it(const struct boot_document *boot, struct failure *failure)
{
	if (sethostname(boot->hostname, strlen(boot->hostname)) < 0 ||
	    setdomainname(boot->domainname, strlen(boot->domainname)) < 0)
		return fail(failure, STEP_NAMESPACES, "hostname");
	return 0;
}

/* What was taken along, by descriptor. */
struct luggage { int terminals, console, boot_id, files[FILES_MAX], *mounts; };

static int furnish(const struct boot_document *boot, const struct luggage *luggage, struct failure *failure)
{
	bool privileged = boot->flags & BOOT_PRIVILEGED;

	if (mount_kernel(boot, luggage->terminals, failure) < 0 || devices_make(privileged, failure) < 0 ||
	    show_console(luggage->console, failure) < 0)
		return -1;
	if (put_down(luggage->boot_id, "/proc/sys/kernel/random/boot_id") < 0)
		return fail(failure, STEP_IDENTITY, "boot_id");
	if (mount_extras(boot, luggage->mounts, failure) < 0)
		return -1;
	if (place_files(boot, luggage->files, failure) < 0 || write_sysctls(boot, failure) < 0 || hide(boot, failure) < 0)
		return -1;
	if (*boot->main.directory && place_folder(boot->main.directory, 0755) < 0)
		return fail(failure, STEP_DIRECTORY, boot->main.directory);
	if (boot->flags & BOOT_READ_ONLY && mount(NULL, "/", NULL, REMOUNT | BIND | RDONLY, NULL) < 0)
		return fail(failure, STEP_ROOT, "read-only");
	return 0;
}

/* The image may have anything for a /dev, and shares are mounted there for a moment. */
int inside_files(const struct boot_document *boot, struct failure *failure)
{
	cleanup_free int *mounts = NULL;

	if (mount(NULL, "/", NULL, REC | PRIVATE, NULL) < 0)
		return fail(failure, STEP_MOUNT, "/");
	mounts = mounts_take_along(boot, failure);
	if (!mounts || change_root(failure) < 0)
		return -1;
	if (place_folder("/dev", 0755) < 0 || mount("tmpfs", "/dev", "tmpfs", NOSUID | NODEV | NOEXEC, "mode=755,size=64k") < 0)
		return fail(failure, STEP_MOUNT, "/dev");
	if (mount_extras(boot, mounts, failure) < 0)
		return -1;
	return umount2("/dev", DETACH) < 0 ? fail(failure, STEP_MOUNT, "/dev") : 0;
}

int inside_enter(const struct inside *inside, struct failure *failure)
{
	const struct boot_document *boot = inside->boot;
	struct luggage luggage = {.console = -1};

	if (unshare(CLONE_NEWCGROUP) < 0)
		return fail(failure, STEP_NAMESPACES, "cgroup");
	if (mount(NULL, "/", NULL, REC | PRIVATE, NULL) < 0)
		return fail(failure, STEP_MOUNT, "/");
	if (name_it(boot, failure) < 0 || write_files(boot, luggage.files, failure) < 0 ||
	    (luggage.boot_id = make_boot_id(failure)) < 0)
		return -1;
	luggage.terminals = take_along(AT_FDCWD, "/dev/pts");
	if (luggage.terminals < 0)
		return fail(failure, STEP_MOUNT, "/dev/pts");
	if (inside->terminal >= 0 && (luggage.console = take_terminal(inside->terminal)) < 0)
		return fail(failure, STEP_TERMINAL, "/dev/console");
	cleanup_free int *mounts = luggage.mounts = mounts_take_along(boot, failure);
	if (!mounts)
		return -1;
	if (change_root(failure) < 0)
		return -1;
	return furnish(boot, &luggage, failure);
}
