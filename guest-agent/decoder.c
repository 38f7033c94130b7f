/* Strings, lists and blobs out of a payload, into an arena. */
#include "decoder.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "scope.h"

enum { CHUNK = 16384 };

struct chunk {
	struct chunk *next;
	size_t used, capacity;
	_Alignas(16) uint8_t bytes[];
};

/* The last document's chunk, for the next: most fit one, and memory from the kernel costs a start more than clearing. */
static struct chunk *spare;

static void free_chunk(struct chunk *chunk)
{
	if (spare || chunk->capacity != CHUNK) {
		free(chunk);
		return;
	}
	memset(chunk->bytes, 0, chunk->used);
	chunk->used = 0;
	spare = chunk;
}

void *arena_take(struct arena *arena, size_t size)
{
	struct chunk *chunk = arena->chunks;
	void *memory;

	size = (size + 15) & ~(size_t)15;
	if (!chunk || chunk->capacity - chunk->used < size) {
		size_t capacity = size > CHUNK ? size : CHUNK;

		chunk = spare && capacity == CHUNK ? take_pointer(spare) : allocate(sizeof(*chunk) + capacity);
		chunk->capacity = capacity;
		chunk->next = arena->chunks;
		arena->chunks = chunk;
	}
	memory = chunk->bytes + chunk->used;
	chunk->used += size;
	return memory;
}

/* How many items follow: at most `limit`, and never more than the bytes that are left could hold. */
uint32_t take_count(struct decoder *decoder, uint32_t limit, size_t least)
{
	uint32_t count = take_u32(&decoder->cursor);

	if (count > limit || count > cursor_left(&decoder->cursor) / least)
		decoder->cursor.bad = true;
	return decoder->cursor.bad ? 0 : count;
}

struct blob take_blob(struct decoder *decoder, uint32_t limit)
{
	uint32_t size = take_u32(&decoder->cursor);
	const uint8_t *from;
	uint8_t *data;

	if (size > limit)
		decoder->cursor.bad = true;
	from = take_bytes(&decoder->cursor, size);
	if (!from)
		return (struct blob){0, (const uint8_t *)""};
	data = arena_take(decoder->arena, (size_t)size + 1); /* chunks are zeroed: a NUL follows */
	memcpy(data, from, size);
	return (struct blob){size, data};
}

char *take_string(struct decoder *decoder, uint32_t limit)
{
	struct blob blob = take_blob(decoder, limit);

	if (blob.size && memchr(blob.data, 0, blob.size))
		decoder->cursor.bad = true;
	return (char *)blob.data;
}

struct strings take_strings(struct decoder *decoder, uint32_t count_limit, uint32_t limit)
{
	struct strings strings = {.count = take_count(decoder, count_limit, 4)};

	strings.items = arena_take(decoder->arena, (strings.count + (size_t)1) * sizeof(char *));
	for (uint32_t i = 0; i < strings.count && !decoder->cursor.bad; i++)
		strings.items[i] = take_string(decoder, limit);
	return strings;
}

uint8_t take_choice(struct decoder *decoder, uint8_t least, uint8_t most)
{
	uint8_t value = take_u8(&decoder->cursor);

	if (value < least || value > most)
		decoder->cursor.bad = true;
	return value;
}

void take_array(struct decoder *decoder, uint8_t *to, size_t size)
{
	const uint8_t *from = take_bytes(&decoder->cursor, size);

	if (from)
		memcpy(to, from, size);
}

void arena_free(struct arena *arena)
{
	for (struct chunk *chunk = take_pointer(arena->chunks), *next; chunk; chunk = next) {
		next = chunk->next;
		free_chunk(chunk);
	}
}
