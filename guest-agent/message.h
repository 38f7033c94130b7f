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

#endif
