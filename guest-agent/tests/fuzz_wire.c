/* fuzz_wire SEED COUNT: so many mutated streams of frames through the reader, in pieces of any size, under the
 * sanitizers. What it yields must be a frame as it was sent; and however the rubbish ends, zeros for the longest frame
 * and then a HELLO must bring that HELLO (docs/protocol.md §2). */
#include "corpus.h"
#include "wire.h"

static struct reader reader;
static unsigned long frames;

static void check_frame(const struct frame *frame)
{
	struct box box = {.epoch = frame->epoch};

	box_begin(&box, (enum frame_type)frame->type);
	put_bytes(&box, frame->payload, frame->size);
	box_end(&box);
	if (frame->size > FRAME_PAYLOAD || memcmp(box.bytes, frame->payload - FRAME_HEADER, box.size) != 0)
		abort();
	free(box.bytes);
	frames++;
}

/* Returns the type of the last frame. */
static uint16_t feed(const uint8_t *data, size_t size, size_t most)
{
	struct frame frame;
	uint16_t last = 0;

	while (size) {
		size_t room, part = 1 + random_below(most);
		uint8_t *space = reader_space(&reader, &room);

		if (!room)
			abort(); /* the reader must always be able to go on */
		part = part < size ? part : size;
		part = part < room ? part : room;
		memcpy(space, data, part);
		reader_filled(&reader, part);
		data += part;
		size -= part;
		while (reader_next(&reader, &frame)) {
			check_frame(&frame);
			last = frame.type;
		}
	}
	return last;
}

/* A good checksum behind the mutation, so that it is not the checksum that is tested every time. */
static void mend(uint8_t *data, size_t size)
{
	static const uint8_t nothing[4];
	uint32_t length, crc;

	if (size < FRAME_HEADER)
		return;
	memcpy(&length, data + 4, 4);
	if (length > size - FRAME_HEADER)
		return;
	crc = checksum(checksum(0, data, 16), nothing, 4);
	crc = checksum(crc, data + FRAME_HEADER, length);
	memcpy(data + 16, &crc, 4);
}

static void check_recovery(void)
{
	static uint8_t zeros[FRAME_HEADER + FRAME_PAYLOAD];
	struct box box = {.epoch = 7};

	box_begin(&box, FRAME_HELLO);
	put_u16(&box, PROTOCOL_VERSION);
	box_end(&box);
	feed(zeros, sizeof(zeros), sizeof(zeros));
	if (feed(box.bytes, box.size, 8) != FRAME_HELLO)
		abort();
	free(box.bytes);
}

int main(int argc, char **argv)
{
	static struct corpus corpus;
	static uint8_t input[INPUT_ROOM];
	unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;

	random_state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	load_corpus(&corpus, "../tests/wire/vectors/frames.json", "frame");
	load_corpus(&corpus, "../tests/wire/vectors/bad_frames.json", "frame");
	load_corpus(&corpus, "../tests/wire/vectors/streams.json", "stream");
	for (unsigned long i = 0; i < count; i++) {
		size_t size = make_input(&corpus, input);

		if (random_below(2))
			mend(input, size);
		feed(input, size, random_below(4) ? 64 : 1);
		if (i % 1024 == 0)
			check_recovery();
	}
	check_recovery();
	printf("fuzz_wire: %lu inputs, %lu frames\n", count, frames);
	return frames == 0;
}
