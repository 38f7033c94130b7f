/* What a tree's writer reads from its stdin. Reads are buffered here, so that an entry does not cost two of them. */
#define _GNU_SOURCE
#include "tree_in.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

static struct { uint8_t bytes[65536]; size_t start, end; } buffer;

static int cut_off(void)
{
	errno = EBADMSG;
	return -1;
}

static int fill_buffer(void)
{
	ssize_t size = read(STDIN_FILENO, buffer.bytes, sizeof(buffer.bytes));

	if (size <= 0)
		return size < 0 ? -1 : cut_off();
	buffer.start = 0;
	buffer.end = (size_t)size;
	return 0;
}

static size_t take_buffered(uint8_t **data, size_t most)
{
	size_t size = buffer.end - buffer.start;

	size = size < most ? size : most;
	*data = buffer.bytes + buffer.start;
	buffer.start += size;
	return size;
}

static int read_exactly(uint8_t *to, size_t size)
{
	while (size) {
		uint8_t *data;
		size_t part;

		if (buffer.start == buffer.end && fill_buffer() < 0)
			return -1;
		part = take_buffered(&data, size);
		memcpy(to, data, part);
		to += part;
		size -= part;
	}
	return 0;
}

int in_entry(struct tree_in *in, struct tree_entry *entry)
{
	uint8_t prefix[4];
	struct cursor cursor;
	uint32_t size;

	memset(entry, 0, sizeof(*entry));
	if (read_exactly(prefix, sizeof(prefix)) < 0)
		return -1;
	cursor = cursor_of(prefix, sizeof(prefix));
	size = take_u32(&cursor);
	if (size > ENTRY_SIZE)
		return cut_off();
	if (size > in->capacity) {
		free(in->bytes);
		in->bytes = allocate(size);
		in->capacity = size;
	}
	if (read_exactly(in->bytes, size) < 0)
		return -1;
	return decode_entry(in->bytes, size, entry) ? 0 : cut_off();
}

int in_extent(int fd, const struct entry_extent *extent)
{
	uint64_t done = 0;

	while (done < extent->length) {
		uint64_t left = extent->length - done;
		uint8_t *data;
		size_t part;

		if (buffer.start == buffer.end && fill_buffer() < 0)
			return -1;
		part = take_buffered(&data, left < sizeof(buffer.bytes) ? (size_t)left : sizeof(buffer.bytes));
		for (size_t at = 0; at < part;) {
			ssize_t size = pwrite(fd, data + at, part - at, (off_t)(extent->offset + done + at));

			if (size < 0)
				return -1;
			at += (size_t)size;
		}
		done += part;
	}
	return 0;
}
