/* Disks of volumes: an ext4 each, which this machine has for itself. In the agent's own mount name space, beside the
 * container's root and like it; the child takes what they show along (mounts.c). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"
#include "scope.h"

/* ext4's, which no header of the kernel's for programs has */
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)
/* Of a disk's flags: mount(2)'s below, its size in MiB above. */
#define SIZE_SHIFT 32
#define MEBIBYTE_SHIFT 20

/* What has grown on the host since: a file system that is smaller than its disk is to be grows, while it is mounted.
 * EINVAL: it is larger already. */
static int grow(const char *folder, uint64_t bytes)
{
	cleanup_close int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs status;
	uint64_t blocks;

	if (fd < 0 || fstatfs(fd, &status) < 0)
		return -1;
	blocks = bytes / (uint64_t)status.f_bsize;
	return ioctl(fd, EXT4_IOC_RESIZE_FS, &blocks) < 0 && errno != EINVAL ? -1 : 0;
}

/* What is shown is a folder of it, for the top has what the file system itself has put there. */
static int mount_block(const struct mount_spec *block, uint32_t index, struct failure *failure)
{
	const char *device = disk_device(block->source);
	uint64_t size = block->flags >> SIZE_SHIFT << MEBIBYTE_SHIFT;
	char path[48], below[64];

	if (!device)
		return fail_with(failure, STEP_DISKS, ENODEV, block->source);
	snprintf(path, sizeof(path), BLOCKS_FOLDER "/%u", index);
	snprintf(below, sizeof(below), "%s/" BLOCK_BELOW, path);
	if (root_mount_disk(device, path, failure) < 0)
		return -1;
	if ((size && grow(path, size) < 0) || (mkdir(below, 0755) < 0 && errno != EEXIST))
		return fail(failure, STEP_DISKS, block->source);
	return 0;
}

int blocks_mount(const struct boot_document *boot, struct failure *failure)
{
	int count = 0;

	for (uint32_t i = 0; i < boot->mount_count; i++) {
		if (boot->mounts[i].kind != MOUNT_DISK)
			continue;
		if (count++ == BLOCKS_MAX)
			return fail_with(failure, STEP_DISKS, E2BIG, boot->mounts[i].target);
		if (mkdir(BLOCKS_FOLDER, 0700) < 0 && errno != EEXIST)
			return fail(failure, STEP_DISKS, BLOCKS_FOLDER);
		if (mount_block(&boot->mounts[i], i, failure) < 0)
			return -1;
	}
	return 0;
}
