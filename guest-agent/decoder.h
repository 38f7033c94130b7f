/* The pieces that documents are made of, taken from a payload by a bounded cursor and kept in an arena.
 *
 * Everything hangs on the cursor's one `bad` flag: the decoders read on over a bad field, allocate nothing for
 * it, and the end decides. A list's count is checked against what is left before anything is allocated, so a
 * document costs a small multiple of its payload at most. */
#ifndef INSULA_DECODER_H
#define INSULA_DECODER_H

#include "document.h"
#include "wire.h"

struct arena { struct chunk *chunks; };

void *arena_take(struct arena *, size_t size); /* zeroed */
void arena_free(struct arena *);

struct decoder {
	struct cursor cursor;
	struct arena *arena;
};

/* How many items follow: at most `limit`, and never more than the bytes that are left could hold. */
uint32_t take_count(struct decoder *, uint32_t limit, size_t least);
struct blob take_blob(struct decoder *, uint32_t limit);
char *take_string(struct decoder *, uint32_t limit);
struct strings take_strings(struct decoder *, uint32_t count_limit, uint32_t limit);
uint8_t take_choice(struct decoder *, uint8_t least, uint8_t most);
void take_array(struct decoder *, uint8_t *to, size_t size);

#endif
