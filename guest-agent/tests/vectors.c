/* vectors VERB: reads lines from stdin and answers each with one line of JSON, so that the golden vectors can be held
 * against what the agent's own code reads and writes.
 *
 *   read     hex of a stream       -> [{type, epoch, payload}…] (each byte fed by itself)
 *   write    epoch type hex        -> the frame, hex
 *   boot     hex of a document     -> its fields, or null
 *   process  hex of a document     -> its fields, or null
 *   limits   hex of UPDATE's limits -> their fields, or null
 *   link     hex of LINK's link    -> its fields, or null
 *   entry    hex of a tree's entry -> its fields and `again`, the entry encoded anew, or null
 *   message  words                 -> the agent's message of these fields, hex */
#include "corpus.h"
#include "document.h"
#include "document_json.h"
#include "json.h"
#include "message.h"
#include "tree_entry.h"

enum { LINE = 1 << 20 };

static void answer_boot(const uint8_t *data, size_t size)
{
	struct document *document = decode_boot(data, size);

	if (document)
		print_boot(document_boot(document));
	else
		printf("null");
	free_document(document);
}

static void answer_process(const uint8_t *data, size_t size)
{
	struct document *document = decode_process(data, size);

	if (document)
		print_process(document_process(document));
	else
		printf("null");
	free_document(document);
}

static void answer_link(const uint8_t *data, size_t size)
{
	struct document *document = decode_link(data, size);

	if (document)
		print_link(document_link(document));
	else
		printf("null");
	free_document(document);
}

static void answer_limits(const uint8_t *data, size_t size)
{
	struct limits limits;

	if (decode_limits(data, size, &limits))
		print_limits(&limits);
	else
		printf("null");
}

static void print_entry(const struct tree_entry *entry)
{
	struct box again = {0};

	begin('{');
	number("kind", entry->kind);
	number("mode", entry->mode);
	number("uid", entry->uid);
	number("gid", entry->gid);
	integer("mtime_seconds", entry->seconds);
	number("mtime_nanoseconds", entry->nanoseconds);
	number("major", entry->major);
	number("minor", entry->minor);
	number("size", entry->size);
	text("path", entry->path);
	text("link", entry->link);
	open_list("xattrs");
	for (uint32_t i = 0; i < entry->xattr_count; i++) {
		key(NULL);
		begin('{');
		text("name", entry->xattrs[i].name);
		hex("value", entry->xattrs[i].value, entry->xattrs[i].size);
		finish('}');
	}
	finish(']');
	open_list("extents");
	for (uint32_t i = 0; i < entry->extent_count; i++) {
		key(NULL);
		begin('{');
		number("offset", entry->extents[i].offset);
		number("length", entry->extents[i].length);
		finish('}');
	}
	finish(']');
	put_entry(&again, entry);
	hex("again", again.bytes, again.size);
	finish('}');
	free(again.bytes);
}

static void answer_entry(const uint8_t *data, size_t size)
{
	struct tree_entry entry = {0};

	if (size >= 4 && decode_entry(data + 4, size - 4, &entry))
		print_entry(&entry);
	else
		printf("null");
	free_entry(&entry);
}

static void answer_read(const uint8_t *data, size_t size)
{
	static struct reader reader;
	struct frame frame;

	begin('[');
	for (size_t i = 0; i < size; i++) {
		size_t room;

		*reader_space(&reader, &room) = data[i];
		reader_filled(&reader, 1);
		while (reader_next(&reader, &frame)) {
			key(NULL);
			begin('{');
			number("type", frame.type);
			number("epoch", frame.epoch);
			hex("payload", frame.payload, frame.size);
			finish('}');
		}
	}
	finish(']');
	reader_reset(&reader);
}

static void print_box(struct box *box)
{
	comma = "";
	hex(NULL, box->bytes, box->size);
	free(box->bytes);
}

static void answer_write(char *line, uint8_t *data)
{
	struct box box = {.epoch = (uint32_t)strtoul(line, &line, 10)};
	uint32_t type = (uint32_t)strtoul(line, &line, 10);
	size_t size = read_hex(line + strspn(line, " "), data);

	box_begin(&box, (enum frame_type)type);
	put_bytes(&box, data, size);
	box_end(&box);
	print_box(&box);
}

static uint64_t word(char **line)
{
	return strtoull(*line, line, 10);
}

static void put_welcome_words(struct box *box, char *line)
{
	uint64_t booted = word(&line), boot_number = word(&line), count = word(&line);

	put_welcome(box, booted, (uint32_t)boot_number, (uint32_t)count);
	while (count--) {
		struct welcome_process one = {.number = (uint32_t)word(&line)};

		one.ended = word(&line);
		one.flags = (uint8_t)word(&line);
		one.input_taken = word(&line);
		one.input_limit = word(&line);
		for (int i = 0; i < 2; i++) {
			one.acknowledged[i] = word(&line);
			one.end[i] = word(&line);
		}
		put_welcome_process(box, &one);
	}
	box_end(box);
}

static void put_output_words(struct box *box, char *line)
{
	uint32_t process = (uint32_t)word(&line);
	uint8_t stream = (uint8_t)word(&line), data[256];
	uint64_t offset = word(&line);
	size_t size = read_hex(line + strspn(line, " "), data);

	put_output(box, process, stream, offset, (struct piece[2]){{data, 1}, {data + 1, size - 1}});
}

static void put_reply_words(struct box *box, char *line)
{
	uint32_t request = (uint32_t)word(&line);
	struct failure failure = {.step = (uint16_t)word(&line), .number = (int32_t)word(&line)};

	snprintf(failure.detail, sizeof(failure.detail), "%s", line + strspn(line, " "));
	put_reply(box, request, failure.number ? &failure : NULL);
}

static void words(char **line, uint64_t *numbers, int count)
{
	for (int i = 0; i < count; i++)
		numbers[i] = word(line);
}

static void put_usage_words(struct box *box, char *line)
{
	struct usage usage = {0};
	uint32_t request = (uint32_t)word(&line);

	usage.clock = word(&line);
	usage.uptime = word(&line);
	words(&line, usage.memory, USAGE_MEMORY);
	words(&line, usage.cpu, USAGE_CPU);
	usage.cpus = (uint32_t)word(&line);
	usage.cpu_time = word(&line);
	usage.pids = word(&line);
	usage.pids_limit = word(&line);
	usage.device_count = (uint32_t)word(&line);
	for (uint32_t i = 0; i < usage.device_count; i++) {
		uint64_t n[6];

		words(&line, n, 6);
		usage.devices[i] = (struct usage_device){(uint32_t)n[0], (uint32_t)n[1], n[2], n[3], n[4], n[5]};
	}
	usage.link_count = (uint32_t)word(&line);
	for (uint32_t i = 0; i < usage.link_count; i++) {
		line += strspn(line, " ");
		snprintf(usage.links[i].name, sizeof(usage.links[i].name), "%.*s", (int)strcspn(line, " "), line);
		line += strcspn(line, " ");
		words(&line, usage.links[i].numbers, USAGE_TRAFFIC);
	}
	put_usage_answer(box, request, &usage);
}

static struct piece hex_word(char **line, uint8_t *room)
{
	struct piece piece = {room, 0};

	*line += strspn(*line, " ");
	piece.size = read_hex(*line, room);
	*line += strcspn(*line, " ");
	return piece;
}

static void put_rows_words(struct box *box, char *line)
{
	uint64_t head[5], n[17];
	struct rows_page page;

	words(&line, head, 5);
	page = put_rows(box, (uint32_t)head[0], head[1], head[2]);
	for (uint64_t i = 0; i < head[4]; i++) {
		uint8_t name[ROW_NAME], command[ROW_COMMAND];
		struct process_row row;

		words(&line, n, 17);
		row = (struct process_row){
			(uint32_t)n[0], (uint32_t)n[1], (uint32_t)n[2], (uint32_t)n[3], (uint32_t)n[4], (uint32_t)n[5],
			(uint32_t)n[6], (uint8_t)n[7], (uint8_t)n[8], (uint32_t)n[9], (int32_t)n[10], (uint32_t)n[11],
			n[12], n[13], n[14], n[15], n[16], hex_word(&line, name), {0},
		};
		row.command = hex_word(&line, command);
		put_row(box, &row);
	}
	put_rows_end(box, page, (uint32_t)head[4], (uint32_t)head[3]);
}

static void put_other_words(struct box *box, const char *name, char *line)
{
	uint32_t process = strcmp(name, "OOM") ? (uint32_t)word(&line) : 0;
	struct exit_report report;

	if (!strcmp(name, "OOM")) {
		put_oom(box, word(&line));
	} else if (!strcmp(name, "CONNECTION")) {
		put_connection(box, process, (uint32_t)word(&line));
	} else if (!strcmp(name, "CREDIT")) {
		put_credit(box, process, word(&line));
	} else if (!strcmp(name, "OUTPUT_END")) {
		uint8_t stream = (uint8_t)word(&line);

		put_output_end(box, process, stream, word(&line));
	} else {
		report.kind = (uint8_t)word(&line);
		report.value = (uint32_t)word(&line);
		report.flags = (uint8_t)word(&line);
		report.clock = word(&line);
		put_exit(box, process, &report);
	}
}

static void answer_message(char *line)
{
	struct box box = {.epoch = (uint32_t)word(&line)};
	char *name = line + 1;

	line = name + strcspn(name, " ");
	*line++ = 0;
	if (!strcmp(name, "WELCOME"))
		put_welcome_words(&box, line);
	else if (!strcmp(name, "OUTPUT"))
		put_output_words(&box, line);
	else if (!strcmp(name, "REPLY"))
		put_reply_words(&box, line);
	else if (!strcmp(name, "USAGE_ANSWER"))
		put_usage_words(&box, line);
	else if (!strcmp(name, "PROCESSES_ANSWER"))
		put_rows_words(&box, line);
	else
		put_other_words(&box, name, line);
	print_box(&box);
}

/* From a block of its own size, so that the sanitizer sees a byte too far. */
static void answer(const char *verb, char *line, uint8_t *data)
{
	size_t size;
	uint8_t *exact;

	if (!strcmp(verb, "write")) {
		answer_write(line, data);
		return;
	}
	if (!strcmp(verb, "message")) {
		answer_message(line);
		return;
	}
	size = read_hex(line, data);
	exact = malloc(size ? size : 1);
	memcpy(exact, data, size);
	if (!strcmp(verb, "read"))
		answer_read(exact, size);
	else if (!strcmp(verb, "boot"))
		answer_boot(exact, size);
	else if (!strcmp(verb, "process"))
		answer_process(exact, size);
	else if (!strcmp(verb, "limits"))
		answer_limits(exact, size);
	else if (!strcmp(verb, "link"))
		answer_link(exact, size);
	else
		answer_entry(exact, size);
	free(exact);
}

int main(int argc, char **argv)
{
	static char line[LINE];
	static uint8_t data[LINE];

	while (argc == 2 && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		answer(argv[1], line, data);
		putchar('\n');
	}
	return 0;
}
