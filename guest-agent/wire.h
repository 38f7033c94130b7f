/* Frames and the integers in them (docs/protocol.md §1), to and from bytes. No I/O here.
 *
 * Reading: bytes go into reader_space(), frames come out of reader_next(); what is not a valid frame is skipped byte
 * by byte. A cursor walks a payload: after the first read beyond its end it is bad, and reads zeros from then on,
 * so that a decoder checks once, at its end. Writing: a box collects whole frames of one epoch. */
#ifndef INSULA_WIRE_H
#define INSULA_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FRAME_MAGIC = 0x4c534e49,
	FRAME_HEADER = 20,
	FRAME_PAYLOAD = 262144,
	FRAME_DATA = 32768, /* of a program's bytes in one frame */
	STREAM_WINDOW = 65536,
	PROTOCOL_VERSION = 2,
};

enum frame_type {
	FRAME_HELLO = 1, FRAME_BOOT, FRAME_SPAWN, FRAME_INPUT, FRAME_INPUT_END, FRAME_ACK, FRAME_RESUME, FRAME_SIGNAL,
	FRAME_RESIZE, FRAME_RELEASE, FRAME_FREEZE, FRAME_THAW, FRAME_SYNC, FRAME_STOP, FRAME_IDENTITY, FRAME_TREE_READ,
	FRAME_TREE_WRITE, FRAME_POWER_OFF, FRAME_UPDATE, FRAME_USAGE, FRAME_PROCESSES, FRAME_LINK,
	FRAME_UNLINK,
	FRAME_WELCOME = 65, FRAME_REPLY, FRAME_OUTPUT, FRAME_OUTPUT_END, FRAME_CREDIT, FRAME_EXIT, FRAME_OOM,
	FRAME_USAGE_ANSWER, FRAME_PROCESSES_ANSWER, FRAME_CONNECTION,
};

struct frame {
	uint32_t epoch;
	uint16_t type;
	uint32_t size;
	const uint8_t *payload; /* valid until the next reader_space() */
};

uint32_t checksum(uint32_t so_far, const uint8_t *data, size_t size);

struct reader {
	size_t start, end;
	uint8_t bytes[FRAME_HEADER + FRAME_PAYLOAD + STREAM_WINDOW];
};

uint8_t *reader_space(struct reader *, size_t *size);
void reader_filled(struct reader *, size_t size);
bool reader_next(struct reader *, struct frame *);
void reader_reset(struct reader *);

struct cursor {
	const uint8_t *at, *end;
	bool bad;
};

struct cursor cursor_of(const void *data, size_t size);
uint8_t take_u8(struct cursor *);
uint16_t take_u16(struct cursor *);
uint32_t take_u32(struct cursor *);
uint64_t take_u64(struct cursor *);
const uint8_t *take_bytes(struct cursor *, size_t size); /* NULL when bad */
size_t cursor_left(const struct cursor *);
bool cursor_done(const struct cursor *); /* all read, nothing bad */

struct box {
	uint32_t epoch;
	uint8_t *bytes;
	size_t size, capacity;
	size_t frame; /* where the frame being written begins */
};

void box_begin(struct box *, enum frame_type);
void box_end(struct box *);
void put_u8(struct box *, uint8_t);
void put_u16(struct box *, uint16_t);
void put_u32(struct box *, uint32_t);
void put_u64(struct box *, uint64_t);
void patch_u32(struct box *, size_t at, uint32_t); /* over four bytes that are there */
void put_bytes(struct box *, const void *data, size_t size);
void put_string(struct box *, const void *data, size_t size);

#endif
