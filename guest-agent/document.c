/* Boot documents and processes out of a frame's payload (docs/protocol.md §5 and §6).
 *
 * Everything hangs on the cursor's one `bad` flag: the decoders read on over a bad field, allocate nothing for
 * it, and the end decides. A list's count is checked against what is left before anything is allocated, so a
 * document costs a small multiple of its payload at most. */
#include "document.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "scope.h"
#include "wire.h"

enum {
	PATH_LIMIT = 4095, NAME_LIMIT = 256, HOST_LIMIT = 64, ARGUMENT_LIMIT = 131072, DATA_LIMIT = 65536,
	ARGUMENTS_LIMIT = 1024, ENVIRONMENT_LIMIT = 4096, ENTROPY_LIMIT = 512, RESERVED_LIMIT = 4096,
	LAYERS_LIMIT = 16, LINK_NAME_LIMIT = 15, CHUNK = 16384,
};

struct chunk {
	struct chunk *next;
	size_t used, capacity;
	_Alignas(16) uint8_t bytes[];
};

struct document {
	struct chunk *chunks;
	struct boot_document boot;
	struct process_spec process;
};

struct decoder {
	struct cursor cursor;
	struct document *document;
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

static void *arena_take(struct document *document, size_t size)
{
	struct chunk *chunk = document->chunks;
	void *memory;

	size = (size + 15) & ~(size_t)15;
	if (!chunk || chunk->capacity - chunk->used < size) {
		size_t capacity = size > CHUNK ? size : CHUNK;

		chunk = spare && capacity == CHUNK ? take_pointer(spare) : allocate(sizeof(*chunk) + capacity);
		chunk->capacity = capacity;
		chunk->next = document->chunks;
		document->chunks = chunk;
	}
	memory = chunk->bytes + chunk->used;
	chunk->used += size;
	return memory;
}

/* How many items follow: at most `limit`, and never more than the bytes that are left could hold. */
static uint32_t take_count(struct decoder *decoder, uint32_t limit, size_t least)
{
	uint32_t count = take_u32(&decoder->cursor);

	if (count > limit || count > cursor_left(&decoder->cursor) / least)
		decoder->cursor.bad = true;
	return decoder->cursor.bad ? 0 : count;
}

static struct blob take_blob(struct decoder *decoder, uint32_t limit)
{
	uint32_t size = take_u32(&decoder->cursor);
	const uint8_t *from;
	uint8_t *data;

	if (size > limit)
		decoder->cursor.bad = true;
	from = take_bytes(&decoder->cursor, size);
	if (!from)
		return (struct blob){0, (const uint8_t *)""};
	data = arena_take(decoder->document, (size_t)size + 1); /* chunks are zeroed: a NUL follows */
	memcpy(data, from, size);
	return (struct blob){size, data};
}

static char *take_string(struct decoder *decoder, uint32_t limit)
{
	struct blob blob = take_blob(decoder, limit);

	if (blob.size && memchr(blob.data, 0, blob.size))
		decoder->cursor.bad = true;
	return (char *)blob.data;
}

static struct strings take_strings(struct decoder *decoder, uint32_t count_limit, uint32_t limit)
{
	struct strings strings = {.count = take_count(decoder, count_limit, 4)};

	strings.items = arena_take(decoder->document, (strings.count + (size_t)1) * sizeof(char *));
	for (uint32_t i = 0; i < strings.count && !decoder->cursor.bad; i++)
		strings.items[i] = take_string(decoder, limit);
	return strings;
}

static uint8_t take_choice(struct decoder *decoder, uint8_t least, uint8_t most)
{
	uint8_t value = take_u8(&decoder->cursor);

	if (value < least || value > most)
		decoder->cursor.bad = true;
	return value;
}

static uint8_t take_family(struct decoder *decoder)
{
	uint8_t family = take_u8(&decoder->cursor);

	if (family != 4 && family != 6)
		decoder->cursor.bad = true;
	return family;
}

static void take_array(struct decoder *decoder, uint8_t *to, size_t size)
{
	const uint8_t *from = take_bytes(&decoder->cursor, size);

	if (from)
		memcpy(to, from, size);
}

static void take_limits(struct decoder *decoder, struct process_spec *process)
{
	process->limit_count = take_count(decoder, UINT32_MAX, 17);
	process->limits = arena_take(decoder->document, process->limit_count * sizeof(struct limit));
	for (uint32_t i = 0; i < process->limit_count; i++) {
		process->limits[i].resource = take_u8(&decoder->cursor);
		process->limits[i].soft = take_u64(&decoder->cursor);
		process->limits[i].hard = take_u64(&decoder->cursor);
	}
}

static void take_process(struct decoder *decoder, struct process_spec *process)
{
	struct cursor *cursor = &decoder->cursor;

	process->number = take_u32(cursor);
	process->flags = take_u32(cursor);
	process->rows = take_u16(cursor);
	process->columns = take_u16(cursor);
	process->arguments = take_strings(decoder, ARGUMENTS_LIMIT, ARGUMENT_LIMIT);
	process->environment = take_strings(decoder, ENVIRONMENT_LIMIT, ARGUMENT_LIMIT);
	process->directory = take_string(decoder, PATH_LIMIT);
	process->user = take_string(decoder, NAME_LIMIT);
	process->groups = take_strings(decoder, UINT32_MAX, NAME_LIMIT);
	process->bounding = take_u64(cursor);
	process->effective = take_u64(cursor);
	process->permitted = take_u64(cursor);
	process->inheritable = take_u64(cursor);
	process->ambient = take_u64(cursor);
	take_limits(decoder, process);
	process->seccomp = take_blob(decoder, DATA_LIMIT);
	process->oom_score_adj = (int32_t)take_u32(cursor);
	process->umask = take_u32(cursor);
	if (!process->number || process->seccomp.size % 8)
		cursor->bad = true;
}

static void take_mounts(struct decoder *decoder, struct boot_document *boot)
{
	boot->mount_count = take_count(decoder, UINT32_MAX, 21);
	boot->mounts = arena_take(decoder->document, boot->mount_count * sizeof(struct mount_spec));
	for (struct mount_spec *mount = boot->mounts; mount < boot->mounts + boot->mount_count; mount++) {
		mount->kind = take_choice(decoder, MOUNT_TMPFS, MOUNT_BIND);
		mount->source = take_string(decoder, PATH_LIMIT);
		mount->target = take_string(decoder, PATH_LIMIT);
		mount->flags = take_u64(&decoder->cursor);
		mount->data = take_string(decoder, PATH_LIMIT);
	}
}

static void take_files(struct decoder *decoder, struct boot_document *boot)
{
	boot->file_count = take_count(decoder, UINT32_MAX, 12);
	boot->files = arena_take(decoder->document, boot->file_count * sizeof(struct file_spec));
	for (struct file_spec *file = boot->files; file < boot->files + boot->file_count; file++) {
		file->path = take_string(decoder, PATH_LIMIT);
		file->mode = take_u32(&decoder->cursor);
		file->content = take_blob(decoder, DATA_LIMIT);
	}
}

static void take_link(struct decoder *decoder, struct link_spec *link)
{
	link->nic = take_u8(&decoder->cursor);
	link->name = take_string(decoder, LINK_NAME_LIMIT);
	take_array(decoder, link->mac, sizeof(link->mac));
	link->mtu = take_u32(&decoder->cursor);
	link->address_count = take_count(decoder, UINT32_MAX, 18);
	link->addresses = arena_take(decoder->document, link->address_count * sizeof(struct address_spec));
	for (struct address_spec *one = link->addresses; one < link->addresses + link->address_count; one++) {
		one->family = take_family(decoder);
		take_array(decoder, one->address, sizeof(one->address));
		one->prefix = take_u8(&decoder->cursor);
	}
	link->route_count = take_count(decoder, UINT32_MAX, 34);
	link->routes = arena_take(decoder->document, link->route_count * sizeof(struct route_spec));
	for (struct route_spec *one = link->routes; one < link->routes + link->route_count; one++) {
		one->family = take_family(decoder);
		take_array(decoder, one->destination, sizeof(one->destination));
		one->prefix = take_u8(&decoder->cursor);
		take_array(decoder, one->gateway, sizeof(one->gateway));
	}
}

static void take_links(struct decoder *decoder, struct boot_document *boot)
{
	boot->link_count = take_count(decoder, UINT32_MAX, 23);
	boot->links = arena_take(decoder->document, boot->link_count * sizeof(struct link_spec));
	for (uint32_t i = 0; i < boot->link_count && !decoder->cursor.bad; i++)
		take_link(decoder, &boot->links[i]);
}

static void take_sysctls(struct decoder *decoder, struct boot_document *boot)
{
	boot->sysctl_count = take_count(decoder, UINT32_MAX, 8);
	boot->sysctls = arena_take(decoder->document, boot->sysctl_count * sizeof(struct sysctl_spec));
	for (uint32_t i = 0; i < boot->sysctl_count && !decoder->cursor.bad; i++) {
		boot->sysctls[i].path = take_string(decoder, PATH_LIMIT);
		boot->sysctls[i].value = take_string(decoder, PATH_LIMIT);
	}
}

static void take_boot(struct decoder *decoder, struct boot_document *boot)
{
	struct cursor *cursor = &decoder->cursor;

	boot->number = take_u32(cursor);
	boot->clock = take_u64(cursor);
	boot->entropy = take_blob(decoder, ENTROPY_LIMIT);
	boot->hostname = take_string(decoder, HOST_LIMIT);
	boot->domainname = take_string(decoder, HOST_LIMIT);
	boot->root = take_choice(decoder, ROOT_AGENT, ROOT_DISKS);
	boot->layer_count = take_count(decoder, LAYERS_LIMIT, 1);
	take_array(decoder, boot->layers, boot->layer_count);
	boot->writable_kind = take_choice(decoder, 0, 1);
	boot->writable = take_u8(cursor);
	boot->flags = take_u32(cursor);
	take_mounts(decoder, boot);
	boot->masked = take_strings(decoder, UINT32_MAX, PATH_LIMIT);
	boot->readonly = take_strings(decoder, UINT32_MAX, PATH_LIMIT);
	take_files(decoder, boot);
	take_links(decoder, boot);
	take_sysctls(decoder, boot);
	boot->memory = take_u64(cursor);
	boot->memory_swap = take_u64(cursor);
	boot->cpu_quota = take_u64(cursor);
	boot->cpu_period = take_u64(cursor);
	boot->pids = take_u64(cursor);
	boot->shm = take_u64(cursor);
	take_process(decoder, &boot->main);
	take_blob(decoder, RESERVED_LIMIT);
	if (!boot->number)
		cursor->bad = true;
}

static struct document *finish(struct decoder *decoder)
{
	if (cursor_done(&decoder->cursor))
		return decoder->document;
	free_document(decoder->document);
	return NULL;
}

struct document *decode_boot(const uint8_t *payload, size_t size)
{
	struct decoder decoder = {cursor_of(payload, size), allocate(sizeof(struct document))};

	take_boot(&decoder, &decoder.document->boot);
	return finish(&decoder);
}

struct document *decode_process(const uint8_t *payload, size_t size)
{
	struct decoder decoder = {cursor_of(payload, size), allocate(sizeof(struct document))};

	take_process(&decoder, &decoder.document->process);
	return finish(&decoder);
}

const struct boot_document *document_boot(const struct document *document)
{
	return &document->boot;
}

const struct process_spec *document_process(const struct document *document)
{
	return &document->process;
}

void free_document(struct document *document)
{
	if (!document)
		return;
	for (struct chunk *chunk = document->chunks, *next; chunk; chunk = next) {
		next = chunk->next;
		free_chunk(chunk);
	}
	free(document);
}
