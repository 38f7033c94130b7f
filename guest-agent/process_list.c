/* The container's processes, from /proc: all that are in a PID name space below the agent's. Those come and go while
 * they are read; one that has gone is left out. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"
#include "kernel_text.h"
#include "process.h"
#include "report.h"
#include "scope.h"

enum { PAGE_BYTES = 32768, TEXT = 4096 };

static int read_of(uint32_t id, const char *name, char *text, size_t size)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%u/%s", id, name);
	return read_text(path, text, size);
}

/* A plain agent's container has no name space of its own: its processes are those that the agent started in it. */
static bool read_row(uint32_t id, bool plain, struct process_row *row)
{
	static char stat[TEXT], status[TEXT], command[ROW_COMMAND + 2];
	int size;

	*row = (struct process_row){.id = id};
	if (plain && !process_is_inside((pid_t)id))
		return false;
	if (read_of(id, "stat", stat, sizeof(stat)) < 0 || !text_process(stat, row) ||
	    read_of(id, "status", status, sizeof(status)) < 0 || !text_status(status, plain ? 0 : 1, row))
		return false;
	row->resident *= (uint64_t)sysconf(_SC_PAGESIZE);
	size = read_of(id, "cmdline", command, sizeof(command));
	if (size > ROW_COMMAND) {
		size = ROW_COMMAND;
		row->flags |= ROW_CUT;
	}
	row->command = (struct piece){(const uint8_t *)command, size < 0 ? 0 : (size_t)size};
	return true;
}

/* The kernel lists processes in the order of their ids. */
static uint32_t next_id(DIR *folder)
{
	struct dirent *entry;

	while ((entry = readdir(folder)))
		if (isdigit((unsigned char)entry->d_name[0]))
			return (uint32_t)strtoul(entry->d_name, NULL, 10);
	return 0;
}

int process_list(struct box *box, uint32_t request, uint32_t start, bool plain, struct failure *failure)
{
	cleanup_closedir DIR *folder = opendir("/proc");
	uint32_t count = 0, next = 0, least = start, id;
	struct process_row row;

	if (!folder)
		return fail(failure, STEP_REQUEST, "/proc");
	struct rows_page page = put_rows(box, request, clock_now(), uptime_now());
	while (!next && (id = next_id(folder))) {
		if (id < least || !read_row(id, plain, &row))
			continue;
		put_row(box, &row);
		count++;
		least = id + 1;
		if (box->size - page.count > PAGE_BYTES)
			next = least;
	}
	put_rows_end(box, page, count, next);
	return 0;
}
