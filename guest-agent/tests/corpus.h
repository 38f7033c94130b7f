/* The golden vectors as a corpus: every hex string behind a key of a JSON file, without a JSON parser. And a generator
 * of numbers that a seed repeats. */
#ifndef INSULA_CORPUS_H
#define INSULA_CORPUS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CORPUS_ITEMS = 128, INPUT_ROOM = 1 << 20 };

struct item { uint8_t *bytes; size_t size; };
struct corpus { struct item items[CORPUS_ITEMS]; size_t count; };

static uint64_t random_state;

static inline uint32_t random_u32(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) >> 16);
}

static inline size_t random_below(size_t limit)
{
	return limit ? random_u32() % limit : 0;
}

static inline int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Up to the first character that is no digit. */
static inline size_t read_hex(const char *text, uint8_t *bytes)
{
	size_t size = 0;

	while (hex_digit(text[0]) >= 0 && hex_digit(text[1]) >= 0) {
		bytes[size++] = (uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
		text += 2;
	}
	return size;
}

static inline char *read_text(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 8 << 20);

	if (!file || !text || !fread(text, 1, (8 << 20) - 1, file)) {
		fprintf(stderr, "%s: cannot be read\n", path);
		exit(1);
	}
	fclose(file);
	return text;
}

static inline void load_corpus(struct corpus *corpus, const char *path, const char *key)
{
	char *text = read_text(path), quoted[64];

	snprintf(quoted, sizeof(quoted), "\"%s\": \"", key);
	for (char *at = text; (at = strstr(at, quoted)) && corpus->count < CORPUS_ITEMS;) {
		struct item *item = &corpus->items[corpus->count];

		at += strlen(quoted);
		item->bytes = malloc(strlen(at) / 2 + 1);
		item->size = read_hex(at, item->bytes);
		if (item->size <= INPUT_ROOM / 2)
			corpus->count++;
	}
	free(text);
}

static inline void mutate_once(const struct corpus *corpus, uint8_t *bytes, size_t *size)
{
	static const uint32_t edges[] = {0, 1, 255, 256, 4095, 4096, 65535, 65536, 262144, 1u << 31, UINT32_MAX};
	size_t at = random_below(*size), length = random_below(16);
	const struct item *other = &corpus->items[random_below(corpus->count)];
	uint32_t edge = edges[random_below(sizeof(edges) / sizeof(edges[0]))];

	switch (random_below(7)) {
	case 0:
		if (*size)
			bytes[at] ^= (uint8_t)(1u << random_below(8));
		return;
	case 1:
		if (*size)
			bytes[at] = (uint8_t)random_u32();
		return;
	case 2:
		if (at + 4 <= *size)
			memcpy(bytes + at, &edge, 4);
		return;
	case 3: /* cut */
		*size = at;
		return;
	case 4: /* leave a piece out */
		length = length < *size - at ? length : *size - at;
		memmove(bytes + at, bytes + at + length, *size - at - length);
		*size -= length;
		return;
	case 5: /* put a piece in */
		if (*size + length > INPUT_ROOM)
			return;
		memmove(bytes + at + length, bytes + at, *size - at);
		for (size_t i = 0; i < length; i++)
			bytes[at + i] = (uint8_t)random_u32();
		*size += length;
		return;
	default: /* go on with another */
		length = random_below(other->size);
		if (at + other->size - length <= INPUT_ROOM) {
			memcpy(bytes + at, other->bytes + length, other->size - length);
			*size = at + other->size - length;
		}
	}
}

/* One input: an item, mutated a few times, or now and then as it is. */
static inline size_t make_input(const struct corpus *corpus, uint8_t *bytes)
{
	const struct item *item = &corpus->items[random_below(corpus->count)];
	size_t size = item->size;

	memcpy(bytes, item->bytes, size);
	for (size_t i = random_below(6); i > 0; i--)
		mutate_once(corpus, bytes, &size);
	return size;
}

#endif
