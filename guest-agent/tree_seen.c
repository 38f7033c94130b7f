/* Files met that have several names: a table of open addressing, at most half full. */
#include "tree_seen.h"

#include <stdlib.h>

#include "report.h"

enum { FIRST_CAPACITY = 256 };

static struct seen_file *find_place(const struct tree_seen *seen, uint64_t device, uint64_t inode)
{
	uint64_t hash = (inode ^ device << 32) * 0x9e3779b97f4a7c15u;
	size_t mask = seen->capacity - 1;

	for (size_t i = (size_t)(hash >> 20) & mask;; i = (i + 1) & mask) {
		struct seen_file *file = &seen->files[i];

		if (!file->path || (file->device == device && file->inode == inode))
			return file;
	}
}

static void grow(struct tree_seen *seen)
{
	struct tree_seen larger = {.count = seen->count, .capacity = seen->capacity ? seen->capacity * 2 : FIRST_CAPACITY};

	larger.files = allocate(larger.capacity * sizeof(*larger.files));
	for (size_t i = 0; i < seen->capacity; i++)
		if (seen->files[i].path)
			*find_place(&larger, seen->files[i].device, seen->files[i].inode) = seen->files[i];
	free(seen->files);
	*seen = larger;
}

const char *seen_before(struct tree_seen *seen, uint64_t device, uint64_t inode, const char *path)
{
	struct seen_file *place;

	if (seen->count * 2 >= seen->capacity)
		grow(seen);
	place = find_place(seen, device, inode);
	if (place->path)
		return place->path;
	*place = (struct seen_file){device, inode, copy_string(path)};
	seen->count++;
	return NULL;
}
