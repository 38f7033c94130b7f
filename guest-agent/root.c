/* The container's root, mounted in the agent's own mount name space: read-only layers below, the writable disk (or a
 * tmpfs) above, overlayfs over both. What earlier boots of a build have written to the same disk lies in between. The child's copy of these mounts dies with its name space; what is unmounted here
 * afterwards is truly unmounted, so the host may then take the disks away. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"
#include "scope.h"

#define LAYERS AGENT_FOLDER "/layers"
#define WRITABLE AGENT_FOLDER "/writable"
#define LOWER_FOLDER AGENT_FOLDER "/" LOWER_BELOW
#define LAYERS_MAX 16
#define UPPER_MAX 64
#define OPTIONS_MAX (LAYERS_MAX * 48 + UPPER_MAX * 40 + 256) /* less than the page that mount(2) takes */

/* What is mounted now, in the order of mounting, and the block device below each (or ""). */
static struct { char path[48], device[32]; } mounted[LAYERS_MAX + 2 + BLOCKS_MAX];
static int mounted_count;
static uint32_t layer_count;
static uint8_t upper; /* its number; those of lower numbers lie below it */
static bool disposable;

static int mount_noted(const char *source, const char *target, const char *type, unsigned long flags, const char *data,
                       enum step step, struct failure *failure)
{
	if (mkdir(target, 0755) < 0 && errno != EEXIST)
		return fail(failure, step, target);
	if (mount(source, target, type, flags, data) < 0)
		return fail(failure, step, source);
	snprintf(mounted[mounted_count].path, sizeof(mounted[0].path), "%s", target);
	snprintf(mounted[mounted_count].device, sizeof(mounted[0].device), "%s", *source == '/' ? source : "");
	mounted_count++;
	return 0;
}

static int mount_layers(const struct boot_document *boot, struct failure *failure)
{
	if (mkdir(LAYERS, 0755) < 0 && errno != EEXIST)
		return fail(failure, STEP_DISKS, LAYERS);
	for (uint32_t i = 0; i < boot->layer_count; i++) {
		char serial[16], target[48];
		const char *device;

		snprintf(serial, sizeof(serial), "layer%u", boot->layers[i]);
		snprintf(target, sizeof(target), LAYERS "/%u", i);
		device = disk_device(serial);
		if (!device)
			return fail_with(failure, STEP_DISKS, ENODEV, serial);
		if (mount_noted(device, target, "squashfs", MS_RDONLY | MS_NODEV, NULL, STEP_DISKS, failure) < 0)
			return -1;
	}
	return 0;
}

static int mount_writable(const struct boot_document *boot, struct failure *failure)
{
	const char *device = disk_device("writable");

	if (!boot->writable_kind)
		return mount_noted("tmpfs", WRITABLE, "tmpfs", 0, "mode=755", STEP_DISKS, failure);
	if (!device)
		return fail_with(failure, STEP_DISKS, ENODEV, "writable");
	/* Discards go through to the host's sparse file, and nothing fills its empty inode tables behind our back; a disk
	 * that is thrown away needs no order among its writes. */
	return mount_noted(device, WRITABLE, "ext4", MS_NOATIME,
	                   disposable ? "discard,noinit_itable,nobarrier,noauto_da_alloc" : "discard,noinit_itable",
	                   STEP_DISKS, failure);
}

/* Discards go through to the host's sparse file here too; what is synced is on it, whatever becomes of the container. */
int root_mount_disk(const char *device, const char *target, struct failure *failure)
{
	return mount_noted(device, target, "ext4", MS_NODEV, "discard,noinit_itable", STEP_DISKS, failure);
}

/* The first one is called as it always was. */
static void name_upper(uint8_t number, char *name, size_t size)
{
	snprintf(name, size, number ? UPPER_FOLDER "%u" : UPPER_FOLDER, number);
}

void root_upper_below(char *name, size_t size)
{
	snprintf(name, size, upper ? UPPER_BELOW "%u" : UPPER_BELOW, upper);
}

/* The layers as overlayfs is told them, the highest first; returns how long that is. */
static size_t name_layers(char *options, size_t size)
{
	size_t used = (size_t)snprintf(options, size, "lowerdir=");
	char name[48];

	for (uint8_t i = upper; i-- > 0;) {
		name_upper(i, name, sizeof(name));
		used += (size_t)snprintf(options + used, size - used, "%s:", name);
	}
	for (uint32_t i = layer_count; i-- > 0;)
		used += (size_t)snprintf(options + used, size - used, LAYERS "/%u%s", i, i ? ":" : "");
	return used;
}

int root_show_lower(struct failure *failure)
{
	char options[OPTIONS_MAX];

	name_layers(options, sizeof(options));
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fail(failure, STEP_NAMESPACES, "mount");
	if (mkdir(LOWER_FOLDER, 0755) < 0 && errno != EEXIST)
		return fail(failure, STEP_MOUNT, LOWER_FOLDER);
	/* overlayfs wants two layers at least where it has no upper one */
	if (layer_count + upper == 1 ? mount(LAYERS "/0", LOWER_FOLDER, NULL, MS_BIND, NULL) < 0 :
	                       mount("overlay", LOWER_FOLDER, "overlay", MS_RDONLY, options) < 0)
		return fail(failure, STEP_MOUNT, LOWER_FOLDER);
	return 0;
}

static int mount_overlay(struct failure *failure)
{
	char options[OPTIONS_MAX], own[48];
	size_t used = name_layers(options, sizeof(options));

	name_upper(upper, own, sizeof(own));
	snprintf(options + used, sizeof(options) - used,
	         ",upperdir=%s,workdir=" WRITABLE "/work,index=off,metacopy=off,redirect_dir=off,xino=off", own);
	if ((mkdir(own, 0755) < 0 && errno != EEXIST) || (mkdir(WRITABLE "/work", 0755) < 0 && errno != EEXIST))
		return fail(failure, STEP_MOUNT, "writable");
	return mount_noted("overlay", ROOT_FOLDER, "overlay", 0, options, STEP_MOUNT, failure);
}

int root_mount(const struct boot_document *boot, struct failure *failure)
{
	disposable = boot->flags & BOOT_DISPOSABLE;
	if (boot->layer_count == 0 || boot->layer_count > LAYERS_MAX)
		return fail_with(failure, STEP_DISKS, EINVAL, "layers");
	upper = boot->writable;
	if (upper >= UPPER_MAX)
		return fail_with(failure, STEP_DISKS, EINVAL, "writable");
	if (mount_layers(boot, failure) < 0 || mount_writable(boot, failure) < 0 || blocks_mount(boot, failure) < 0)
		return -1;
	layer_count = boot->layer_count;
	return mount_overlay(failure);
}

/* An unmount ends the file system when nobody else holds it any more, and what a dying process has sent through a socket
 * may be held a little longer, with nothing to wait for. An exclusive opening proves the end; its close drops every
 * buffer, for the next container finds another disk behind the same device. */
static int wait_until_free(const char *device, struct failure *failure)
{
	struct timespec pause = {.tv_nsec = 1000000};

	for (int waited = 0; waited < 5000; waited++) {
		cleanup_close int fd = open(device, O_RDONLY | O_EXCL | O_CLOEXEC);

		if (fd >= 0)
			return 0;
		if (errno != EBUSY)
			break;
		nanosleep(&pause, NULL);
	}
	return fail(failure, STEP_DISKS, device);
}

bool root_is_mounted(void)
{
	return mounted_count > 0;
}

int root_unmount(struct failure *failure)
{
	while (mounted_count > 0) {
		const char *device = mounted[mounted_count - 1].device, *path = mounted[mounted_count - 1].path;

		if (*path && umount2(path, 0) < 0)
			return fail(failure, STEP_MOUNT, path);
		mounted[mounted_count - 1].path[0] = 0;
		if (*device && wait_until_free(device, failure) < 0)
			return -1;
		mounted_count--;
	}
	return 0;
}

static int sync_folder(const char *folder, struct failure *failure)
{
	cleanup_close int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || syncfs(fd) < 0 ? fail(failure, STEP_DISKS, folder) : 0;
}

int root_sync(struct failure *failure)
{
	if (sync_folder(WRITABLE, failure) < 0)
		return -1;
	for (int i = 0; i < mounted_count; i++)
		if (!strncmp(mounted[i].path, BLOCKS_FOLDER "/", sizeof(BLOCKS_FOLDER)) &&
		    sync_folder(mounted[i].path, failure) < 0)
			return -1;
	return 0;
}
