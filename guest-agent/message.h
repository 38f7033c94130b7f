/* What the agent says (docs/protocol.md §3), each put as a whole frame into a box. */
#ifndef INSULA_MESSAGE_H
#define INSULA_MESSAGE_H

#include <stdbool.h>

#include "document.h"
#include "wire.h"

struct welcome_process {
	uint32_t number;
	bool ended;
	uint8_t flags; /* 1: tty */
	uint64_t input_taken, input_limit;
	uint64_t acknowledged[2], end[2]; /* stdout, stderr */
};

/* WELCOME is written in three parts: begin, each process, box_end(). */
void put_welcome(struct box *, bool booted, uint32_t boot_number, uint32_t processes);
void put_welcome_process(struct box *, const struct welcome_process *);

void put_reply(struct box *, uint32_t request, const struct failure *); /* NULL: done */
/* The data may be in two pieces, as a ring has it. */
struct piece { const uint8_t *data; size_t size; };
void put_output(struct box *, uint32_t process, uint8_t stream, uint64_t offset, const struct piece pieces[2]);
void put_output_end(struct box *, uint32_t process, uint8_t stream, uint64_t offset);
void put_credit(struct box *, uint32_t process, uint64_t limit);

enum exit_kind { EXIT_EXITED = 0, EXIT_KILLED = 1 };
enum exit_flags { EXIT_OOM = 1, EXIT_CORE = 2 };

struct exit_report {
	uint8_t kind;
	uint32_t value;
	uint8_t flags;
	uint64_t clock;
};

void put_exit(struct box *, uint32_t process, const struct exit_report *);
void put_oom(struct box *, uint64_t count);
void put_connection(struct box *, uint32_t process, uint32_t mount);

/* What the container uses; the order is the wire's (docs/protocol.md §9). */
enum { USAGE_DEVICES = 64, USAGE_LINKS = 64, USAGE_MEMORY = 22, USAGE_CPU = 6, USAGE_TRAFFIC = 8 };

enum usage_memory {
	MEMORY_CURRENT, MEMORY_LIMIT, MEMORY_PEAK, MEMORY_STAT, /* sixteen numbers of memory.stat */
	MEMORY_OOM_KILLS = MEMORY_STAT + 16, MEMORY_GUEST_TOTAL, MEMORY_GUEST_AVAILABLE,
};
enum usage_cpu { CPU_USAGE, CPU_USER, CPU_SYSTEM, CPU_THROTTLED_TIME, CPU_PERIODS, CPU_THROTTLED };

struct usage_device { uint32_t major, minor; uint64_t read_bytes, write_bytes, reads, writes; };
struct usage_link { char name[16]; uint64_t numbers[USAGE_TRAFFIC]; };

struct usage {
	uint64_t clock, uptime;
	uint64_t memory[USAGE_MEMORY], cpu[USAGE_CPU];
	uint32_t cpus;
	uint64_t cpu_time;
	uint64_t pids, pids_limit;
	uint32_t device_count, link_count;
	struct usage_device devices[USAGE_DEVICES];
	struct usage_link links[USAGE_LINKS];
};

void put_usage_answer(struct box *, uint32_t request, const struct usage *);

/* One process of the container (docs/protocol.md §10). */
enum { ROW_NAME = 64, ROW_COMMAND = 4096 };
enum row_flags { ROW_FOREGROUND = 1, ROW_CUT = 2 };

struct process_row {
	uint32_t id, parent, pid, group, session, uid, gid;
	uint8_t state, flags;
	uint32_t terminal;
	int32_t nice;
	uint32_t threads;
	uint64_t start, user, system, virtual_size, resident;
	struct piece name, command;
};

/* A page is written in three parts: begin, each row, end with the rows' number and where the next page begins. */
struct rows_page { size_t next, count; }; /* places in the box */
struct rows_page put_rows(struct box *, uint32_t request, uint64_t clock, uint64_t uptime);
void put_row(struct box *, const struct process_row *);
void put_rows_end(struct box *, struct rows_page, uint32_t count, uint32_t next);

#endif
