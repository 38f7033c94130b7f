/* fuzz_document SEED COUNT: so many mutated boot documents, processes, limits and tree entries through the decoders, under the
 * sanitizers. What is accepted is walked to its last byte. Each input lies at the end of a block of its own size, so
 * that one byte too far is seen. */
#include "corpus.h"
#include "document.h"
#include "tree_entry.h"

static uint64_t walked;

static void walk_text(const char *text)
{
	walked += strlen(text);
}

static void walk_bytes(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		walked += data[i];
}

static void walk_strings(struct strings strings)
{
	for (uint32_t i = 0; i < strings.count; i++)
		walk_text(strings.items[i]);
	if (strings.items[strings.count])
		abort();
}

static void walk_process(const struct process_spec *process)
{
	walk_strings(process->arguments);
	walk_strings(process->environment);
	walk_strings(process->groups);
	walk_text(process->directory);
	walk_text(process->user);
	walk_bytes(process->seccomp.data, process->seccomp.size);
	for (uint32_t i = 0; i < process->limit_count; i++)
		walked += process->limits[i].resource + process->limits[i].soft + process->limits[i].hard;
}

static void walk_link(const struct link_spec *link)
{
	walk_text(link->name);
	for (uint32_t i = 0; i < link->address_count; i++)
		walked += link->addresses[i].address[15];
	for (uint32_t i = 0; i < link->route_count; i++)
		walked += link->routes[i].gateway[15];
}

static void walk_boot(const struct boot_document *boot)
{
	walk_bytes(boot->entropy.data, boot->entropy.size);
	walk_text(boot->hostname);
	walk_text(boot->domainname);
	walk_bytes(boot->layers, boot->layer_count);
	for (uint32_t i = 0; i < boot->mount_count; i++) {
		walk_text(boot->mounts[i].source);
		walk_text(boot->mounts[i].target);
		walk_text(boot->mounts[i].data);
	}
	walk_strings(boot->masked);
	walk_strings(boot->readonly);
	for (uint32_t i = 0; i < boot->file_count; i++) {
		walk_text(boot->files[i].path);
		walk_bytes(boot->files[i].content.data, boot->files[i].content.size);
	}
	for (uint32_t i = 0; i < boot->link_count; i++)
		walk_link(&boot->links[i]);
	for (uint32_t i = 0; i < boot->sysctl_count; i++) {
		walk_text(boot->sysctls[i].path);
		walk_text(boot->sysctls[i].value);
	}
	walk_process(&boot->main);
}

static bool try_entry(const uint8_t *data, size_t size)
{
	struct tree_entry entry;
	bool good = size >= 4 && decode_entry(data + 4, size - 4, &entry);

	if (good) {
		walk_text(entry.path);
		walk_text(entry.link);
		for (uint32_t i = 0; i < entry.xattr_count; i++)
			walk_bytes(entry.xattrs[i].value, entry.xattrs[i].size);
	}
	if (size >= 4)
		free_entry(&entry);
	return good;
}

static bool try_input(const uint8_t *data, size_t size)
{
	struct document *boot = decode_boot(data, size), *process = decode_process(data, size);
	struct limits limits;
	bool good = boot || process;

	if (decode_limits(data, size, &limits)) {
		walk_text(limits.cpuset_cpus);
		walk_text(limits.cpuset_mems);
		for (uint32_t i = 0; i < limits.io_count; i++)
			walked += limits.io[i].rates[IO_RATES - 1];
		good = true;
	}
	if (boot)
		walk_boot(document_boot(boot));
	if (process)
		walk_process(document_process(process));
	free_document(boot);
	free_document(process);
	return try_entry(data, size) || good;
}

int main(int argc, char **argv)
{
	static struct corpus corpus;
	static uint8_t input[INPUT_ROOM];
	unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000, good = 0;

	random_state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	load_corpus(&corpus, "../tests/wire/vectors/documents.json", "payload");
	load_corpus(&corpus, "../tests/wire/vectors/trees.json", "bytes");
	for (unsigned long i = 0; i < count; i++) {
		size_t size = make_input(&corpus, input);
		uint8_t *exact = malloc(size ? size : 1);

		memcpy(exact, input, size);
		good += try_input(exact, size);
		free(exact);
	}
	printf("fuzz_document: %lu inputs, %lu of them well-formed, %llu walked\n", count, good, (unsigned long long)walked);
	return good == 0; /* a mutator that never makes a good one tests nothing */
}
