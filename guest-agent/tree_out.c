/* What a tree's reader writes to its stdout. */
#define _GNU_SOURCE
#include "tree_out.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "report.h"
#include "scope.h"

enum { PIECE = 65536, XATTR_LIST = 65536 };

uint8_t kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR: return ENTRY_DIRECTORY;
	case S_IFREG: return ENTRY_FILE;
	case S_IFLNK: return ENTRY_SYMLINK;
	case S_IFCHR: return ENTRY_CHARACTER;
	case S_IFBLK: return ENTRY_BLOCK;
	case S_IFIFO: return ENTRY_FIFO;
	default: return ENTRY_SOCKET;
	}
}

int out_flush(struct tree_out *out)
{
	size_t written = 0;

	while (written < out->box.size) {
		ssize_t size = write(STDOUT_FILENO, out->box.bytes + written, out->box.size - written);

		if (size < 0)
			return -1;
		written += (size_t)size;
	}
	out->box.size = 0;
	return 0;
}

int out_entry(struct tree_out *out, const struct tree_entry *entry)
{
	put_entry(&out->box, entry);
	return out->box.size >= PIECE ? out_flush(out) : 0;
}

int out_extent(struct tree_out *out, int fd, const struct entry_extent *extent)
{
	static uint8_t piece[PIECE];
	uint64_t sent = 0;

	while (sent < extent->length) {
		uint64_t left = extent->length - sent;
		size_t want = left < PIECE ? (size_t)left : PIECE;
		ssize_t size = pread(fd, piece, want, (off_t)(extent->offset + sent));

		if (size < 0)
			return -1;
		if (size == 0)
			memset(piece, 0, want);
		put_bytes(&out->box, piece, size ? (size_t)size : want);
		sent += size ? (size_t)size : want;
		if (out->box.size >= PIECE && out_flush(out) < 0)
			return -1;
	}
	return 0;
}

static bool next_extent(int fd, uint64_t from, uint64_t size, struct entry_extent *extent)
{
	off_t data = lseek(fd, (off_t)from, SEEK_DATA);
	off_t hole;

	if (data < 0 && errno == ENXIO)
		return false;
	if (data < 0 || (uint64_t)data < from) { /* a file system that does not say: it is all data */
		*extent = (struct entry_extent){from, size - from};
		return true;
	}
	if ((uint64_t)data >= size)
		return false;
	hole = lseek(fd, data, SEEK_HOLE);
	if (hole <= data || (uint64_t)hole > size)
		hole = (off_t)size;
	*extent = (struct entry_extent){(uint64_t)data, (uint64_t)(hole - data)};
	return true;
}

void find_extents(int fd, uint64_t blocks, struct tree_entry *entry)
{
	uint32_t capacity = 16;
	uint64_t reached = 0;

	entry->extents = allocate(capacity * sizeof(*entry->extents));
	if (!entry->size)
		return;
	if (blocks * 512 >= entry->size) { /* no holes to look for, in most files */
		entry->extents[entry->extent_count++] = (struct entry_extent){0, entry->size};
		return;
	}
	while (reached < entry->size) {
		struct entry_extent extent;

		if (!next_extent(fd, reached, entry->size, &extent))
			return;
		if (entry->extent_count == ENTRY_EXTENTS - 1)
			extent.length = entry->size - extent.offset;
		if (entry->extent_count == capacity) {
			capacity *= 2;
			entry->extents = reallocarray(entry->extents, capacity, sizeof(*entry->extents));
			if (!entry->extents)
				die("out of memory: %u extents", capacity);
		}
		entry->extents[entry->extent_count++] = extent;
		reached = extent.offset + extent.length;
	}
}

/* One attribute of whichever it is; what it is of is gone or has lost it: not an error. */
static void add_xattr(int fd, const char *name, const char *attribute, struct tree_entry *entry)
{
	static uint8_t value[ENTRY_XATTR_VALUE];
	ssize_t size = name ? lgetxattr(name, attribute, value, sizeof(value)) :
	                      fgetxattr(fd, attribute, value, sizeof(value));
	struct entry_xattr *xattr = &entry->xattrs[entry->xattr_count];
	uint8_t *copy;

	if (size < 0 || entry->xattr_count == ENTRY_XATTRS)
		return;
	copy = allocate((size_t)size + 1);
	memcpy(copy, value, (size_t)size);
	*xattr = (struct entry_xattr){copy_string(attribute), copy, (uint32_t)size};
	entry->xattr_count++;
}

static int list_xattrs(int fd, const char *name, struct tree_entry *entry)
{
	static char list[XATTR_LIST];
	ssize_t size = name ? llistxattr(name, list, sizeof(list)) : flistxattr(fd, list, sizeof(list));

	if (size < 0)
		return errno == ENOTSUP || errno == ENODATA || errno == ENOENT ? 0 : -1;
	if (!size)
		return 0;
	entry->xattrs = reallocarray(entry->xattrs, ENTRY_XATTRS + 1, sizeof(*entry->xattrs));
	if (!entry->xattrs)
		die("out of memory: attributes");
	for (char *at = list; at < list + size; at += strlen(at) + 1)
		add_xattr(fd, name, at, entry);
	return 0;
}

int find_xattrs(int fd, struct tree_entry *entry)
{
	return list_xattrs(fd, NULL, entry);
}

int find_xattrs_at(int directory, const char *name, struct tree_entry *entry)
{
	/* There is no call for a link's attributes by descriptor; a plain name in the working directory leads nowhere. */
	if (fchdir(directory) < 0)
		return -1;
	return list_xattrs(-1, name, entry);
}

