/* Frames and the integers in them. The checksum goes over every byte that crosses the port, twice under emulation
 * if done byte by byte, so it takes eight bytes a step. */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"

/* The wire is little-endian whatever the machine is; compilers make one instruction of these loops. */
static uint64_t load(const uint8_t *at, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)at[i] << 8 * i;
	return value;
}

static void store(uint8_t *at, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t load_u32(const uint8_t *at)
{
	return (uint32_t)load(at, 4);
}

static uint32_t table[8][256];

__attribute__((constructor)) static void make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t value = i;

		for (int bit = 0; bit < 8; bit++)
			value = (value >> 1) ^ (value & 1 ? 0xedb88320 : 0);
		table[0][i] = value;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int slice = 1; slice < 8; slice++)
			table[slice][i] = (table[slice - 1][i] >> 8) ^ table[0][table[slice - 1][i] & 255];
}

uint32_t checksum(uint32_t so_far, const uint8_t *data, size_t size)
{
	uint32_t crc = ~so_far;

	for (; size >= 8; size -= 8, data += 8) {
		uint32_t low = load_u32(data) ^ crc, high = load_u32(data + 4);

		crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^
		      table[3][high & 255] ^ table[2][high >> 8 & 255] ^ table[1][high >> 16 & 255] ^ table[0][high >> 24];
	}
	for (; size; size--, data++)
		crc = (crc >> 8) ^ table[0][(crc ^ *data) & 255];
	return ~crc;
}

static uint32_t frame_checksum(const uint8_t *header, size_t payload)
{
	static const uint8_t nothing[4];
	uint32_t crc = checksum(0, header, FRAME_HEADER - 4);

	crc = checksum(crc, nothing, sizeof(nothing));
	return checksum(crc, header + FRAME_HEADER, payload);
}

uint8_t *reader_space(struct reader *reader, size_t *size)
{
	if (reader->start == reader->end)
		reader->start = reader->end = 0;
	/* Moving is cheap only if rare: not before the room behind has become less than a data frame's. */
	if (reader->start && sizeof(reader->bytes) - reader->end < FRAME_DATA) {
		memmove(reader->bytes, reader->bytes + reader->start, reader->end - reader->start);
		reader->end -= reader->start;
		reader->start = 0;
	}
	*size = sizeof(reader->bytes) - reader->end;
	return reader->bytes + reader->end;
}

void reader_filled(struct reader *reader, size_t size)
{
	reader->end += size;
}

void reader_reset(struct reader *reader)
{
	reader->start = reader->end = 0;
}

/* 1: a frame lies at `at`; 0: it may, but is not here whole; -1: none. */
static int try_frame(const uint8_t *at, size_t left, struct frame *frame)
{
	uint8_t magic[4];

	store(magic, FRAME_MAGIC, sizeof(magic));
	if (memcmp(at, magic, left < 4 ? left : 4) != 0)
		return -1;
	if (left >= 8 && load_u32(at + 4) > FRAME_PAYLOAD)
		return -1;
	if (left >= 16 && (at[14] || at[15]))
		return -1;
	if (left < FRAME_HEADER || left - FRAME_HEADER < load_u32(at + 4))
		return 0;
	frame->size = load_u32(at + 4);
	if (frame_checksum(at, frame->size) != load_u32(at + 16))
		return -1;
	frame->epoch = load_u32(at + 8);
	frame->type = (uint16_t)(at[12] | at[13] << 8);
	frame->payload = at + FRAME_HEADER;
	return 1;
}

bool reader_next(struct reader *reader, struct frame *frame)
{
	while (reader->start < reader->end) {
		const uint8_t *at = reader->bytes + reader->start;
		size_t left = reader->end - reader->start;
		int found = try_frame(at, left, frame);
		const uint8_t *next;

		if (found > 0)
			reader->start += FRAME_HEADER + frame->size;
		if (found >= 0)
			return found;
		next = memchr(at + 1, FRAME_MAGIC & 255, left - 1);
		reader->start = next ? (size_t)(next - reader->bytes) : reader->end;
	}
	return false;
}

struct cursor cursor_of(const void *data, size_t size)
{
	return (struct cursor){.at = data, .end = (const uint8_t *)data + size};
}

size_t cursor_left(const struct cursor *cursor)
{
	return (size_t)(cursor->end - cursor->at);
}

bool cursor_done(const struct cursor *cursor)
{
	return !cursor->bad && cursor->at == cursor->end;
}

const uint8_t *take_bytes(struct cursor *cursor, size_t size)
{
	const uint8_t *at = cursor->at;

	if (cursor->bad || cursor_left(cursor) < size) {
		cursor->bad = true;
		return NULL;
	}
	cursor->at += size;
	return at;
}

#define DEFINE_TAKE(name, type) \
	type name(struct cursor *cursor) \
	{ \
		const uint8_t *at = take_bytes(cursor, sizeof(type)); \
\
		return at ? (type)load(at, sizeof(type)) : 0; \
	}

DEFINE_TAKE(take_u8, uint8_t)
DEFINE_TAKE(take_u16, uint16_t)
DEFINE_TAKE(take_u32, uint32_t)
DEFINE_TAKE(take_u64, uint64_t)

void put_bytes(struct box *box, const void *data, size_t size)
{
	if (box->capacity - box->size < size) {
		size_t capacity = (box->size + size) * 2;
		uint8_t *bytes = realloc(box->bytes, capacity);

		if (!bytes)
			die("out of memory: %zu bytes", capacity);
		box->bytes = bytes;
		box->capacity = capacity;
	}
	if (size)
		memcpy(box->bytes + box->size, data, size);
	box->size += size;
}

#define DEFINE_PUT(name, type) \
	void name(struct box *box, type value) \
	{ \
		uint8_t bytes[sizeof(type)]; \
\
		store(bytes, value, sizeof(type)); \
		put_bytes(box, bytes, sizeof(type)); \
	}

DEFINE_PUT(put_u8, uint8_t)
DEFINE_PUT(put_u16, uint16_t)
DEFINE_PUT(put_u32, uint32_t)
DEFINE_PUT(put_u64, uint64_t)

void patch_u32(struct box *box, size_t at, uint32_t value)
{
	store(box->bytes + at, value, sizeof(value));
}

void put_string(struct box *box, const void *data, size_t size)
{
	put_u32(box, (uint32_t)size);
	put_bytes(box, data, size);
}

void box_begin(struct box *box, enum frame_type type)
{
	box->frame = box->size;
	put_u32(box, FRAME_MAGIC);
	put_u32(box, 0);
	put_u32(box, box->epoch);
	put_u16(box, (uint16_t)type);
	put_u16(box, 0);
	put_u32(box, 0);
}

void box_end(struct box *box)
{
	uint32_t size = (uint32_t)(box->size - box->frame - FRAME_HEADER);

	patch_u32(box, box->frame + 4, size);
	patch_u32(box, box->frame + 16, frame_checksum(box->bytes + box->frame, size));
}
