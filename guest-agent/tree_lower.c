/* What the layers below the overlay's upper directory have in an entry's place.
 *
 * Its path is walked without following any link: where the upper directory has a directory and those below a link, it is
 * not the same thing. */
#define _GNU_SOURCE
#include "tree_lower.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "report.h"
#include "scope.h"
#include "tree_out.h"

static void put_state(struct box *box, const struct stat *status)
{
	put_u8(box, kind_of(status->st_mode));
	put_u32(box, status->st_mode & 07777);
	put_u32(box, status->st_uid);
	put_u32(box, status->st_gid);
	put_u64(box, (uint64_t)status->st_mtim.tv_sec);
	put_u32(box, (uint32_t)status->st_mtim.tv_nsec);
	put_u64(box, S_ISREG(status->st_mode) ? (uint64_t)status->st_size : 0);
}

int find_lower(int lower, const char *path, struct tree_entry *entry)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS,
	};
	cleanup_close int fd = (int)syscall(SYS_openat2, lower, *path ? path : ".", &how, sizeof(how));
	struct box box = {0};
	struct stat status;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -1;
	if (fstat(fd, &status) < 0)
		return -1;
	put_state(&box, &status);
	entry->xattrs = allocate(sizeof(*entry->xattrs));
	entry->xattrs[0] = (struct entry_xattr){copy_string(LOWER_XATTR), box.bytes, (uint32_t)box.size};
	entry->xattr_count = 1;
	return 0;
}
