/* Boot documents and processes out of a frame's payload (docs/protocol.md §5 and §6). */
#include "document.h"

#include <stdlib.h>
#include <string.h>

#include "decoder.h"
#include "report.h"

enum {
	PATH_LIMIT = 4095, NAME_LIMIT = 256, HOST_LIMIT = 64, ARGUMENT_LIMIT = 131072, DATA_LIMIT = 65536,
	ARGUMENTS_LIMIT = 1024, ENVIRONMENT_LIMIT = 4096, ENTROPY_LIMIT = 512, RESERVED_LIMIT = 4096,
	LAYERS_LIMIT = 16, LINK_NAME_LIMIT = 15,
};

struct document {
	struct arena arena;
	struct boot_document boot;
	struct process_spec process;
	struct link_spec link;
};

static uint8_t take_family(struct decoder *decoder)
{
	uint8_t family = take_u8(&decoder->cursor);

	if (family != 4 && family != 6)
		decoder->cursor.bad = true;
	return family;
}

static void take_rlimits(struct decoder *decoder, struct process_spec *process)
{
	process->limit_count = take_count(decoder, UINT32_MAX, 17);
	process->limits = arena_take(decoder->arena, process->limit_count * sizeof(struct rlimit_spec));
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
	take_rlimits(decoder, process);
	process->seccomp = take_blob(decoder, DATA_LIMIT);
	process->oom_score_adj = (int32_t)take_u32(cursor);
	process->umask = take_u32(cursor);
	if (!process->number || process->seccomp.size % 8)
		cursor->bad = true;
}

static void take_mounts(struct decoder *decoder, struct boot_document *boot)
{
	boot->mount_count = take_count(decoder, UINT32_MAX, 21);
	boot->mounts = arena_take(decoder->arena, boot->mount_count * sizeof(struct mount_spec));
	for (struct mount_spec *mount = boot->mounts; mount < boot->mounts + boot->mount_count; mount++) {
		mount->kind = take_choice(decoder, MOUNT_TMPFS, MOUNT_DISK);
		mount->source = take_string(decoder, PATH_LIMIT);
		mount->target = take_string(decoder, PATH_LIMIT);
		mount->flags = take_u64(&decoder->cursor);
		mount->data = take_string(decoder, PATH_LIMIT);
	}
}

static void take_files(struct decoder *decoder, struct boot_document *boot)
{
	boot->file_count = take_count(decoder, UINT32_MAX, 12);
	boot->files = arena_take(decoder->arena, boot->file_count * sizeof(struct file_spec));
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
	link->addresses = arena_take(decoder->arena, link->address_count * sizeof(struct address_spec));
	for (struct address_spec *one = link->addresses; one < link->addresses + link->address_count; one++) {
		one->family = take_family(decoder);
		take_array(decoder, one->address, sizeof(one->address));
		one->prefix = take_u8(&decoder->cursor);
	}
	link->route_count = take_count(decoder, UINT32_MAX, 34);
	link->routes = arena_take(decoder->arena, link->route_count * sizeof(struct route_spec));
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
	boot->links = arena_take(decoder->arena, boot->link_count * sizeof(struct link_spec));
	for (uint32_t i = 0; i < boot->link_count && !decoder->cursor.bad; i++)
		take_link(decoder, &boot->links[i]);
}

static void take_sysctls(struct decoder *decoder, struct boot_document *boot)
{
	boot->sysctl_count = take_count(decoder, UINT32_MAX, 8);
	boot->sysctls = arena_take(decoder->arena, boot->sysctl_count * sizeof(struct sysctl_spec));
	for (uint32_t i = 0; i < boot->sysctl_count && !decoder->cursor.bad; i++) {
		boot->sysctls[i].path = take_string(decoder, PATH_LIMIT);
		boot->sysctls[i].value = take_string(decoder, PATH_LIMIT);
	}
}

static void take_word(struct cursor *cursor, char word[CPUSET_LIMIT + 1])
{
	uint32_t size = take_u32(cursor);
	const uint8_t *from;

	if (size > CPUSET_LIMIT)
		cursor->bad = true;
	from = take_bytes(cursor, size);
	if (!from)
		return;
	if (size && memchr(from, 0, size))
		cursor->bad = true;
	memcpy(word, from, size);
	word[size] = 0;
}

static void take_limits(struct cursor *cursor, struct limits *limits)
{
	limits->memory = take_u64(cursor);
	limits->memory_low = take_u64(cursor);
	limits->cpu_quota = take_u64(cursor);
	limits->cpu_period = take_u64(cursor);
	limits->cpu_weight = take_u32(cursor);
	take_word(cursor, limits->cpuset_cpus);
	take_word(cursor, limits->cpuset_mems);
	limits->pids = take_u64(cursor);
	limits->io_weight = take_u32(cursor);
	limits->io_count = take_u32(cursor);
	if (limits->io_count > IO_LIMITS)
		cursor->bad = true;
	if (cursor->bad)
		limits->io_count = 0;
	for (uint32_t i = 0; i < limits->io_count; i++)
		for (int rate = 0; rate < IO_RATES; rate++)
			limits->io[i].rates[rate] = take_u64(cursor);
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
	take_limits(cursor, &boot->limits);
	boot->shm = take_u64(cursor);
	take_process(decoder, &boot->main);
	take_blob(decoder, RESERVED_LIMIT);
	if (!boot->number)
		cursor->bad = true;
}

static struct decoder begin(const uint8_t *payload, size_t size, struct document *document)
{
	return (struct decoder){cursor_of(payload, size), &document->arena};
}

static struct document *finish(struct decoder *decoder, struct document *document)
{
	if (cursor_done(&decoder->cursor))
		return document;
	free_document(document);
	return NULL;
}

struct document *decode_boot(const uint8_t *payload, size_t size)
{
	struct document *document = allocate(sizeof(*document));
	struct decoder decoder = begin(payload, size, document);

	take_boot(&decoder, &document->boot);
	return finish(&decoder, document);
}

struct document *decode_process(const uint8_t *payload, size_t size)
{
	struct document *document = allocate(sizeof(*document));
	struct decoder decoder = begin(payload, size, document);

	take_process(&decoder, &document->process);
	return finish(&decoder, document);
}

struct document *decode_link(const uint8_t *payload, size_t size)
{
	struct document *document = allocate(sizeof(*document));
	struct decoder decoder = begin(payload, size, document);

	take_link(&decoder, &document->link);
	return finish(&decoder, document);
}

bool decode_limits(const uint8_t *payload, size_t size, struct limits *limits)
{
	struct cursor cursor = cursor_of(payload, size);

	*limits = (struct limits){0};
	take_limits(&cursor, limits);
	return cursor_done(&cursor);
}

const struct boot_document *document_boot(const struct document *document)
{
	return &document->boot;
}

const struct process_spec *document_process(const struct document *document)
{
	return &document->process;
}

const struct link_spec *document_link(const struct document *document)
{
	return &document->link;
}

void free_document(struct document *document)
{
	if (!document)
		return;
	arena_free(&document->arena);
	free(document);
}
