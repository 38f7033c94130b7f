/* The mounts that a container's options ask for: tmpfs, a share of the host's, a path of the container's once more. They
 * are made inside the changed root, so that whatever links the image has at their targets lead nowhere else. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"
#include "scope.h"

#define SHARES_MAX 4
/* Nothing is kept that another machine or the host may change meanwhile, but pages that are mapped. */
#define SHARE_OPTIONS "trans=virtio,version=9p2000.L,cache=mmap,msize=524288"
/* What mount(2) takes on a bind only by a second call. */
#define BIND_FLAGS (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME)

static int set_flags(const struct mount_spec *extra)
{
	if (!(extra->flags & BIND_FLAGS))
		return 0;
	return mount(NULL, extra->target, NULL, MS_BIND | MS_REMOUNT | (extra->flags & BIND_FLAGS), NULL);
}

static int bind_path(const char *source, const struct mount_spec *extra)
{
	struct stat status;

	if (stat(source, &status) < 0)
		return -1;
	if ((S_ISDIR(status.st_mode) ? place_folder(extra->target, 0755) : place_file(extra->target, 0644)) < 0 ||
	    mount(source, extra->target, NULL, MS_BIND | MS_REC, NULL) < 0)
		return -1;
	return set_flags(extra);
}

/* Shares that are mounted aside, for what lies above the path in one must not be seen: each once, for a device takes
 * one mount at a time. */
struct aside { char tag[32], folder[48]; };

static const char *mount_aside(struct aside *asides, const char *tag, size_t length, const char *data)
{
	char options[4400];
	struct aside *aside = asides;

	for (int i = 0; i < SHARES_MAX && *aside->tag; i++, aside++)
		if (strlen(aside->tag) == length && memcmp(aside->tag, tag, length) == 0)
			return aside->folder;
	if (aside == asides + SHARES_MAX || length == 0 || length >= sizeof(aside->tag)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	snprintf(aside->tag, sizeof(aside->tag), "%.*s", (int)length, tag);
	snprintf(aside->folder, sizeof(aside->folder), "/dev/.share-%d", (int)(aside - asides));
	snprintf(options, sizeof(options), SHARE_OPTIONS "%s%s", *data ? "," : "", data);
	if (mkdir(aside->folder, 0700) < 0)
		return NULL;
	return mount(aside->tag, aside->folder, "9p", MS_NODEV, options) < 0 ? NULL : aside->folder;
}

static void unmount_asides(const struct aside *asides)
{
	for (int i = 0; i < SHARES_MAX && *asides[i].folder; i++) {
		umount2(asides[i].folder, MNT_DETACH);
		rmdir(asides[i].folder);
	}
}

/* `tag` or `tag:path below it`. */
static int mount_share(struct aside *asides, const struct mount_spec *extra)
{
	const char *colon = strchr(extra->source, ':'), *folder;
	size_t length = colon ? (size_t)(colon - extra->source) : strlen(extra->source);
	char path[4200];

	folder = mount_aside(asides, extra->source, length, extra->data);
	if (!folder)
		return -1;
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, colon ? colon + 1 : "") >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return bind_path(path, extra);
}

/* As runc does: an existing folder's mode is the tmpfs's, unless its options say otherwise. */
static int mount_tmpfs(const struct mount_spec *extra)
{
	struct stat status;
	char data[4200];
	int used = 0;

	if (stat(extra->target, &status) == 0)
		used = snprintf(data, sizeof(data), "mode=%o%s", status.st_mode & 07777, *extra->data ? "," : "");
	else if (place_folder(extra->target, 0755) < 0)
		return -1;
	snprintf(data + used, sizeof(data) - (size_t)used, "%s", extra->data);
	return mount("tmpfs", extra->target, "tmpfs", extra->flags, data);
}

/* Where the agent has made a mount ready; false: it is made after pivot_root. */
static bool made_ready(const struct mount_spec *extra, uint32_t index, char *path, size_t size)
{
	if (extra->kind == MOUNT_SOCKET)
		snprintf(path, size, SOCKETS_FOLDER "/%u", index);
	else if (extra->kind == MOUNT_DISK)
		snprintf(path, size, BLOCKS_FOLDER "/%u/" BLOCK_BELOW, index);
	return extra->kind == MOUNT_SOCKET || extra->kind == MOUNT_DISK;
}

int *mounts_take_along(const struct boot_document *boot, struct failure *failure)
{
	int *trees = allocate((boot->mount_count + 1) * sizeof(*trees));

	for (uint32_t i = 0; i < boot->mount_count; i++) {
		char path[64];

		trees[i] = -1;
		if (!made_ready(&boot->mounts[i], i, path, sizeof(path)))
			continue;
		trees[i] = take_along(AT_FDCWD, path);
		if (trees[i] < 0) {
			fail(failure, STEP_MOUNT, boot->mounts[i].target);
			free(trees);
			return NULL;
		}
	}
	return trees;
}

static int put_ready(const struct mount_spec *extra, int *tree)
{
	bool folder = extra->kind == MOUNT_DISK;

	if ((folder ? place_folder(extra->target, 0755) : place_file(extra->target, 0644)) < 0 ||
	    put_down(take_fd(tree), extra->target) < 0)
		return -1;
	return folder ? set_flags(extra) : 0;
}

int mount_extras(const struct boot_document *boot, int *trees, struct failure *failure)
{
	struct aside asides[SHARES_MAX] = {0};
	int done = 0;

	for (uint32_t i = 0; i < boot->mount_count && done == 0; i++) {
		const struct mount_spec *extra = &boot->mounts[i];

		done = trees[i] >= 0                ? put_ready(extra, &trees[i])
		       : extra->kind == MOUNT_BIND  ? bind_path(extra->source, extra)
		       : extra->kind == MOUNT_SHARE ? mount_share(asides, extra)
		                                    : mount_tmpfs(extra);
		if (done < 0)
			done = fail(failure, STEP_MOUNT, extra->target);
	}
	unmount_asides(asides);
	return done;
}
