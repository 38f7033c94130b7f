/* One entry of a tree's stream. What may be a path is judged here, once: relative, of plain names, none of them "."
 * or "..", so that whoever applies it need not think of it again. */
#include "tree_entry.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"

static void put_text(struct box *box, const char *text)
{
	put_string(box, text ? text : "", text ? strlen(text) : 0);
}

void put_entry(struct box *box, const struct tree_entry *entry)
{
	size_t at = box->size;
	uint32_t size;

	put_u32(box, 0);
	put_u8(box, entry->kind);
	put_u32(box, entry->mode);
	put_u32(box, entry->uid);
	put_u32(box, entry->gid);
	put_u64(box, (uint64_t)entry->seconds);
	put_u32(box, entry->nanoseconds);
	put_u32(box, entry->major);
	put_u32(box, entry->minor);
	put_u64(box, entry->size);
	put_text(box, entry->path);
	put_text(box, entry->link);
	put_u32(box, entry->xattr_count);
	for (uint32_t i = 0; i < entry->xattr_count; i++) {
		put_text(box, entry->xattrs[i].name);
		put_string(box, entry->xattrs[i].value, entry->xattrs[i].size);
	}
	put_u32(box, entry->extent_count);
	for (uint32_t i = 0; i < entry->extent_count; i++) {
		put_u64(box, entry->extents[i].offset);
		put_u64(box, entry->extents[i].length);
	}
	size = (uint32_t)(box->size - at - 4);
	patch_u32(box, at, size);
}

static char *take_text(struct cursor *cursor, uint32_t limit)
{
	uint32_t size = take_u32(cursor);
	const uint8_t *from = size <= limit ? take_bytes(cursor, size) : NULL;
	char *text;

	if (!from || memchr(from, 0, size)) {
		cursor->bad = true;
		return NULL;
	}
	text = allocate((size_t)size + 1);
	return memcpy(text, from, size);
}

static void take_xattrs(struct cursor *cursor, struct tree_entry *entry)
{
	uint32_t count = take_u32(cursor);

	if (count > ENTRY_XATTRS || cursor->bad) {
		cursor->bad = true;
		return;
	}
	entry->xattrs = allocate((count + (size_t)1) * sizeof(*entry->xattrs));
	entry->xattr_count = count;
	for (uint32_t i = 0; i < count && !cursor->bad; i++) {
		entry->xattrs[i].name = take_text(cursor, ENTRY_XATTR_NAME);
		entry->xattrs[i].size = take_u32(cursor);
		if (entry->xattrs[i].size > ENTRY_XATTR_VALUE)
			cursor->bad = true;
		entry->xattrs[i].value = take_bytes(cursor, entry->xattrs[i].size);
	}
}

/* In order, apart from each other, and within the file: the holes are what is between them. */
static void take_extents(struct cursor *cursor, struct tree_entry *entry)
{
	uint32_t count = take_u32(cursor);
	uint64_t reached = 0;

	if (count > ENTRY_EXTENTS || count > cursor_left(cursor) / 16 || cursor->bad) {
		cursor->bad = true;
		return;
	}
	entry->extents = allocate((count + (size_t)1) * sizeof(*entry->extents));
	entry->extent_count = count;
	for (struct entry_extent *extent = entry->extents; extent < entry->extents + count; extent++) {
		extent->offset = take_u64(cursor);
		extent->length = take_u64(cursor);
		if (extent->offset < reached || extent->offset > entry->size ||
		    extent->length > entry->size - extent->offset)
			cursor->bad = true;
		reached = extent->offset + extent->length;
	}
}

static bool is_plain_path(const char *path)
{
	while (*path) {
		size_t name = strcspn(path, "/");

		if (name == 0 || name > 255 || (name == 1 && path[0] == '.') ||
		    (name == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += name;
		if (*path == '/' && !*++path)
			return false;
	}
	return true;
}

static bool is_sound(const struct tree_entry *entry)
{
	bool linked = entry->kind == ENTRY_HARD_LINK, symbolic = entry->kind == ENTRY_SYMLINK;

	if (entry->kind > ENTRY_SOCKET || entry->mode > 07777 || entry->nanoseconds > 999999999)
		return false;
	if (entry->size > INT64_MAX || (entry->extent_count && entry->kind != ENTRY_FILE))
		return false;
	if (!is_plain_path(entry->path) || (!*entry->path && entry->kind > ENTRY_DIRECTORY))
		return false;
	if (linked)
		return *entry->link && is_plain_path(entry->link);
	return symbolic == (*entry->link != 0);
}

bool decode_entry(const uint8_t *data, size_t size, struct tree_entry *entry)
{
	struct cursor cursor = cursor_of(data, size);

	memset(entry, 0, sizeof(*entry));
	entry->kind = take_u8(&cursor);
	entry->mode = take_u32(&cursor);
	entry->uid = take_u32(&cursor);
	entry->gid = take_u32(&cursor);
	entry->seconds = (int64_t)take_u64(&cursor);
	entry->nanoseconds = take_u32(&cursor);
	entry->major = take_u32(&cursor);
	entry->minor = take_u32(&cursor);
	entry->size = take_u64(&cursor);
	entry->path = take_text(&cursor, ENTRY_PATH);
	entry->link = take_text(&cursor, ENTRY_PATH);
	take_xattrs(&cursor, entry);
	take_extents(&cursor, entry);
	return cursor_done(&cursor) && is_sound(entry);
}

void free_entry(struct tree_entry *entry)
{
	free(entry->path);
	free(entry->link);
	for (uint32_t i = 0; i < entry->xattr_count; i++)
		free(entry->xattrs[i].name);
	free(entry->xattrs);
	free(entry->extents);
	memset(entry, 0, sizeof(*entry));
}
