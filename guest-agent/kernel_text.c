/* The numbers in the texts of the guest's own kernel. */
#define _GNU_SOURCE
#include "kernel_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KERNEL_THREAD = 0x200000 }; /* PF_KTHREAD of the kernel's sched.h, in the flags of /proc/PID/stat */

static const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : NULL;
}

/* What follows a key at the beginning of a line, or NULL. */
static const char *after_key(const char *text, const char *key)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = next_line(line))
		if (!strncmp(line, key, length) && (line[length] == ' ' || line[length] == '\t'))
			return line + length;
	return NULL;
}

uint64_t text_number(const char *text, const char *key)
{
	const char *value = after_key(text, key);

	return value ? strtoull(value, NULL, 10) : 0;
}

uint64_t text_limit(const char *text)
{
	return strtoull(text, NULL, 10);
}

uint32_t text_devices(const char *text, struct usage_device *devices, uint32_t most)
{
	uint32_t count = 0;

	for (const char *line = text; line && count < most; line = next_line(line)) {
		struct usage_device *one = &devices[count];

		if (sscanf(line, "%u:%u rbytes=%" SCNu64 " wbytes=%" SCNu64 " rios=%" SCNu64 " wios=%" SCNu64, &one->major,
		           &one->minor, &one->read_bytes, &one->write_bytes, &one->reads, &one->writes) == 6)
			count++;
	}
	return count;
}

/* "  eth0: bytes packets errs drop fifo frame compressed multicast" and the same eight of what is sent. */
static bool read_link(const char *line, struct usage_link *link)
{
	const char *name = line + strspn(line, " "), *end = name + strcspn(name, ":\n");
	uint64_t *numbers = link->numbers;

	if (*end != ':' || end - name >= (ptrdiff_t)sizeof(link->name))
		return false;
	memset(link->name, 0, sizeof(link->name));
	memcpy(link->name, name, (size_t)(end - name));
	return sscanf(end + 1,
	              "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %*u %*u %*u %*u %" SCNu64 " %" SCNu64 " %" SCNu64
	              " %" SCNu64,
	              &numbers[0], &numbers[1], &numbers[2], &numbers[3], &numbers[4], &numbers[5], &numbers[6],
	              &numbers[7]) == 8;
}

uint32_t text_links(const char *text, struct usage_link *links, uint32_t most)
{
	uint32_t count = 0;

	for (const char *line = text; line && count < most; line = next_line(line))
		count += read_link(line, &links[count]);
	return count;
}

void text_processors(const char *text, uint32_t *count, uint64_t *time)
{
	const char *all = after_key(text, "cpu");
	char *at = (char *)all;

	*count = 0;
	*time = 0;
	/* user, nice, system, idle, iowait, irq, softirq, as Docker's system_cpu_usage */
	for (int i = 0; at && i < 7; i++)
		*time += strtoull(at, &at, 10) * TICK;
	for (const char *line = text; line; line = next_line(line))
		*count += !strncmp(line, "cpu", 3) && line[3] >= '0' && line[3] <= '9';
}

bool text_process(const char *text, struct process_row *row)
{
	const char *name = strchr(text, '('), *end = strrchr(text, ')');
	unsigned parent, group, flags, threads;
	int terminal, foreground, nice;
	uint64_t user, system, start, size, pages;
	char state;

	if (!name || !end || end < name)
		return false;
	if (sscanf(end + 1,
	           " %c %u %u %*d %d %d %u %*u %*u %*u %*u %" SCNu64 " %" SCNu64 " %*d %*d %*d %d %u %*d %" SCNu64 " %" SCNu64
	           " %" SCNu64,
	           &state, &parent, &group, &terminal, &foreground, &flags, &user, &system, &nice, &threads, &start, &size,
	           &pages) != 13 ||
	    flags & KERNEL_THREAD)
		return false;
	row->parent = parent;
	row->state = (uint8_t)state;
	row->flags = foreground > 0 && (unsigned)foreground == group ? ROW_FOREGROUND : 0;
	row->terminal = (uint32_t)terminal;
	row->nice = nice;
	row->threads = threads;
	row->start = start * TICK;
	row->user = user * TICK;
	row->system = system * TICK;
	row->virtual_size = size;
	row->resident = pages; /* the caller knows the size of one */
	row->name = (struct piece){(const uint8_t *)name + 1, (size_t)(end - name - 1)};
	if (row->name.size > ROW_NAME)
		row->name.size = ROW_NAME;
	return true;
}

/* The number of a line's that is so many behind its first; 0 if it has not so many. */
static uint32_t number_at(const char *text, const char *key, int at)
{
	const char *place = after_key(text, key);
	uint32_t value = 0;

	for (int i = 0; place && i <= at; i++) {
		place += strspn(place, " \t");
		if (*place < '0' || *place > '9')
			return 0;
		value = (uint32_t)strtoul(place, (char **)&place, 10);
	}
	return value;
}

bool text_status(const char *text, int level, struct process_row *row)
{
	row->uid = number_at(text, "Uid:", 1);
	row->gid = number_at(text, "Gid:", 1);
	row->pid = number_at(text, "NSpid:", level);
	row->group = number_at(text, "NSpgid:", level);
	row->session = number_at(text, "NSsid:", level);
	return row->pid != 0;
}
