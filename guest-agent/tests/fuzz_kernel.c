/* fuzz_kernel SEED COUNT: so many mutated texts of the kernel's through the readers of its numbers, under the
 * sanitizers. The kernel is the guest's own, but names in these texts are its programs' (a process may be called
 * "a) R 1"). Each input lies in a block of its own size. First the texts as they are, against what they say. */
#include "corpus.h"
#include "kernel_text.h"

#define CHECK(what) ((what) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what), abort()))

static const char *const texts[] = {
	"anon 16384\nfile 679936\nkernel_stack 0\nslab 52792\nsock 0\nshmem 4096\npgfault 22\n",
	"usage_usec 32730\nuser_usec 3636\nsystem_usec 29093\nnr_periods 1\nnr_throttled 2\nthrottled_usec 3\n",
	"254:0 rbytes=979968 wbytes=1 rios=21 wios=2 dbytes=0 dios=0\n7:1 \n254:16 rbytes=3 wbytes=4 rios=5 wios=6 dbytes=0 dios=0\n",
	"Inter-|   Receive                                                |  Transmit\n"
	" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
	"    lo:       1       2    3    4    0     0          0         0        5       6    7    8    0     0       0          0\n"
	"abcdefghijklmno:18446744073709551615 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
	"cpu  100 2 30 4000 5 6 7 8 9 10\ncpu0 1 1 1 1 1 1 1 1 0 0\ncpu1 1 1 1 1 1 1 1 1 0 0\nintr 5 6 7\nctxt 9\n",
	"42 (a) R 1 (b) S 7 42 42 34816 42 4194304 1 2 3 4 11 12 13 14 20 -5 3 0 500 2174976 20 18446744073709551615\n",
	"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 0 0 0 18446744073709551615\n",
	"Name:\ta\nState:\tS (sleeping)\nUid:\t1\t1000\t3\t4\nGid:\t5\t29\t7\t8\nNStgid:\t42\t1\nNSpid:\t42\t1\nNSpgid:\t42\t1\nNSsid:\t42\t0\n",
	"max\n", "1048576\n", "",
};
enum { TEXTS = sizeof(texts) / sizeof(texts[0]) };

static struct usage_device devices[USAGE_DEVICES];
static struct usage_link links[USAGE_LINKS];

static void check_samples(void)
{
	struct process_row row = {0};
	uint32_t count;
	uint64_t time;

	CHECK(text_number(texts[0], "file") == 679936 && text_number(texts[0], "fil") == 0);
	CHECK(text_number(texts[0], "pgfault") == 22 && text_number(texts[1], "throttled_usec") == 3);
	CHECK(text_devices(texts[2], devices, USAGE_DEVICES) == 2 && text_devices(texts[2], devices, 1) == 1);
	CHECK(devices[0].read_bytes == 979968 && devices[0].writes == 2 && devices[1].minor == 16 && devices[1].reads == 5);
	CHECK(text_links(texts[3], links, USAGE_LINKS) == 2 && text_links(texts[3], links, 1) == 1);
	CHECK(!strcmp(links[0].name, "lo") && links[0].numbers[0] == 1 && links[0].numbers[3] == 4);
	CHECK(links[0].numbers[4] == 5 && links[0].numbers[7] == 8 && links[1].numbers[0] == UINT64_MAX);
	text_processors(texts[4], &count, &time);
	CHECK(count == 2 && time == 4150ull * TICK);
	CHECK(text_process(texts[5], &row) && row.name.size == 9 && !memcmp(row.name.data, "a) R 1 (b", 9));
	CHECK(row.state == 'S' && row.parent == 7 && row.terminal == 34816 && row.flags == ROW_FOREGROUND && row.nice == -5);
	CHECK(row.threads == 3 && row.user == 11ull * TICK && row.system == 12ull * TICK && row.start == 500ull * TICK);
	CHECK(row.virtual_size == 2174976 && row.resident == 20);
	CHECK(!text_process(texts[6], &row));
	CHECK(text_status(texts[7], 1, &row) && row.uid == 1000 && row.gid == 29 && row.pid == 1 && row.group == 1);
	CHECK(row.session == 0 && text_status(texts[7], 0, &row) && row.pid == 42 && !text_status(texts[7], 2, &row));
	CHECK(text_limit(texts[8]) == 0 && text_limit(texts[9]) == 1048576);
}

static unsigned long try_text(const char *text)
{
	struct process_row row = {0};
	uint32_t count, found;
	uint64_t time;

	found = text_devices(text, devices, USAGE_DEVICES);
	CHECK(found <= USAGE_DEVICES);
	found += text_links(text, links, USAGE_LINKS);
	for (int i = 0; i < USAGE_LINKS; i++)
		CHECK(memchr(links[i].name, 0, sizeof(links[i].name)));
	text_processors(text, &count, &time);
	if (text_process(text, &row)) {
		CHECK(row.name.size <= ROW_NAME && (const char *)row.name.data + row.name.size <= text + strlen(text));
		found++;
	}
	found += text_status(text, (int)random_below(4), &row);
	return found + (text_number(text, "anon") != 0) + (text_limit(text) != 0);
}

int main(int argc, char **argv)
{
	static struct corpus corpus;
	static uint8_t input[INPUT_ROOM];
	unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000, found = 0;

	random_state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	check_samples();
	for (int i = 0; i < TEXTS; i++)
		corpus.items[corpus.count++] = (struct item){(uint8_t *)texts[i], strlen(texts[i])};
	for (unsigned long i = 0; i < count; i++) {
		size_t size = make_input(&corpus, input);
		char *exact = malloc(size + 1);

		memcpy(exact, input, size);
		exact[size] = 0;
		found += try_text(exact);
		free(exact);
	}
	printf("fuzz_kernel: %lu inputs, %lu things found in them\n", count, found);
	return found == 0;
}
