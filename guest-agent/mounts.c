/* The mounts that a container's options ask for: tmpfs, a share of the host's, a path of the container's once more. They
 * are made inside the changed root, so that whatever links the image has at their targets lead nowhere else. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"

#define SHARE_FOLDER "/dev/.share"
#define SHARE_OPTIONS "trans=virtio,version=9p2000.L,msize=524288"
/* What mount(2) takes on a bind only by a second call. */
#define BIND_FLAGS (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME)

static int bind_path(const char *source, const struct mount_spec *extra)
{
	struct stat status;

	if (stat(source, &status) < 0)
		return -1;
	if ((S_ISDIR(status.st_mode) ? place_folder(extra->target, 0755) : place_file(extra->target, 0644)) < 0 ||
	    mount(source, extra->target, NULL, MS_BIND | MS_REC, NULL) < 0)
		return -1;
	if (extra->flags & BIND_FLAGS)
		return mount(NULL, extra->target, NULL, MS_BIND | MS_REMOUNT | (extra->flags & BIND_FLAGS), NULL);
	return 0;
}

/* `tag` or `tag:path below it`. What lies above the path must not be seen, so the share is mounted aside first. */
static int mount_share(const struct mount_spec *extra)
{
	const char *colon = strchr(extra->source, ':');
	char tag[64], data[4400], path[4200];
	int length = (int)(colon ? colon - extra->source : (long)strlen(extra->source)), done;

	if ((size_t)snprintf(tag, sizeof(tag), "%.*s", length, extra->source) >= sizeof(tag) ||
	    (size_t)snprintf(path, sizeof(path), SHARE_FOLDER "/%s", colon ? colon + 1 : "") >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	snprintf(data, sizeof(data), SHARE_OPTIONS "%s%s", *extra->data ? "," : "", extra->data);
	if (mkdir(SHARE_FOLDER, 0700) < 0 || mount(tag, SHARE_FOLDER, "9p", MS_NODEV, data) < 0) {
		rmdir(SHARE_FOLDER);
		return -1;
	}
	done = bind_path(path, extra);
	umount2(SHARE_FOLDER, MNT_DETACH);
	rmdir(SHARE_FOLDER);
	return done;
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

int mount_extras(const struct boot_document *boot, struct failure *failure)
{
	for (uint32_t i = 0; i < boot->mount_count; i++) {
		const struct mount_spec *extra = &boot->mounts[i];
		int done = extra->kind == MOUNT_BIND    ? bind_path(extra->source, extra)
		           : extra->kind == MOUNT_SHARE ? mount_share(extra)
		                                        : mount_tmpfs(extra);

		if (done < 0)
			return fail(failure, STEP_MOUNT, extra->target);
	}
	return 0;
}
