/* What the agent says. */
#include "message.h"

#include <string.h>

void put_welcome(struct box *box, bool booted, uint32_t boot_number, uint32_t processes)
{
	box_begin(box, FRAME_WELCOME);
	put_u16(box, PROTOCOL_VERSION);
	put_u8(box, booted);
	put_u32(box, boot_number);
	put_u32(box, processes);
}

void put_welcome_process(struct box *box, const struct welcome_process *process)
{
	put_u32(box, process->number);
	put_u8(box, process->ended);
	put_u8(box, process->flags);
	put_u64(box, process->input_taken);
	put_u64(box, process->input_limit);
	for (int i = 0; i < 2; i++) {
		put_u64(box, process->acknowledged[i]);
		put_u64(box, process->end[i]);
	}
}

void put_reply(struct box *box, uint32_t request, const struct failure *failure)
{
	static const struct failure none;
	const struct failure *what = failure ? failure : &none;

	box_begin(box, FRAME_REPLY);
	put_u32(box, request);
	put_u16(box, what->step);
	put_u32(box, (uint32_t)what->number);
	put_string(box, what->detail, strnlen(what->detail, sizeof(what->detail)));
	box_end(box);
}

void put_output(struct box *box, uint32_t process, uint8_t stream, uint64_t offset, const struct piece pieces[2])
{
	box_begin(box, FRAME_OUTPUT);
	put_u32(box, process);
	put_u8(box, stream);
	put_u64(box, offset);
	put_bytes(box, pieces[0].data, pieces[0].size);
	put_bytes(box, pieces[1].data, pieces[1].size);
	box_end(box);
}

void put_output_end(struct box *box, uint32_t process, uint8_t stream, uint64_t offset)
{
	box_begin(box, FRAME_OUTPUT_END);
	put_u32(box, process);
	put_u8(box, stream);
	put_u64(box, offset);
	box_end(box);
}

void put_credit(struct box *box, uint32_t process, uint64_t limit)
{
	box_begin(box, FRAME_CREDIT);
	put_u32(box, process);
	put_u64(box, limit);
	box_end(box);
}

void put_exit(struct box *box, uint32_t process, const struct exit_report *report)
{
	box_begin(box, FRAME_EXIT);
	put_u32(box, process);
	put_u8(box, report->kind);
	put_u32(box, report->value);
	put_u8(box, report->flags);
	put_u64(box, report->clock);
	box_end(box);
}

void put_oom(struct box *box, uint64_t count)
{
	box_begin(box, FRAME_OOM);
	put_u64(box, count);
	box_end(box);
}

void put_connection(struct box *box, uint32_t process, uint32_t mount)
{
	box_begin(box, FRAME_CONNECTION);
	put_u32(box, process);
	put_u32(box, mount);
	box_end(box);
}

static void put_numbers(struct box *box, const uint64_t *numbers, int count)
{
	for (int i = 0; i < count; i++)
		put_u64(box, numbers[i]);
}

void put_usage_answer(struct box *box, uint32_t request, const struct usage *usage)
{
	box_begin(box, FRAME_USAGE_ANSWER);
	put_u32(box, request);
	put_u64(box, usage->clock);
	put_u64(box, usage->uptime);
	put_numbers(box, usage->memory, USAGE_MEMORY);
	put_numbers(box, usage->cpu, USAGE_CPU);
	put_u32(box, usage->cpus);
	put_u64(box, usage->cpu_time);
	put_u64(box, usage->pids);
	put_u64(box, usage->pids_limit);
	put_u32(box, usage->device_count);
	for (const struct usage_device *one = usage->devices; one < usage->devices + usage->device_count; one++) {
		put_u32(box, one->major);
		put_u32(box, one->minor);
		put_u64(box, one->read_bytes);
		put_u64(box, one->write_bytes);
		put_u64(box, one->reads);
		put_u64(box, one->writes);
	}
	put_u32(box, usage->link_count);
	for (const struct usage_link *one = usage->links; one < usage->links + usage->link_count; one++) {
		put_string(box, one->name, strnlen(one->name, sizeof(one->name) - 1));
		put_numbers(box, one->numbers, USAGE_TRAFFIC);
	}
	box_end(box);
}

struct rows_page put_rows(struct box *box, uint32_t request, uint64_t clock, uint64_t uptime)
{
	struct rows_page page;

	box_begin(box, FRAME_PROCESSES_ANSWER);
	put_u32(box, request);
	put_u64(box, clock);
	put_u64(box, uptime);
	page.next = box->size;
	put_u32(box, 0);
	page.count = box->size;
	put_u32(box, 0);
	return page;
}

void put_row(struct box *box, const struct process_row *row)
{
	const uint32_t ids[] = {row->id, row->parent, row->pid, row->group, row->session, row->uid, row->gid};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		put_u32(box, ids[i]);
	put_u8(box, row->state);
	put_u8(box, row->flags);
	put_u32(box, row->terminal);
	put_u32(box, (uint32_t)row->nice);
	put_u32(box, row->threads);
	put_numbers(box, (const uint64_t[]){row->start, row->user, row->system, row->virtual_size, row->resident}, 5);
	put_string(box, row->name.data, row->name.size);
	put_string(box, row->command.data, row->command.size);
}

void put_rows_end(struct box *box, struct rows_page page, uint32_t count, uint32_t next)
{
	memcpy(box->bytes + page.next, &next, sizeof(next));
	memcpy(box->bytes + page.count, &count, sizeof(count));
	box_end(box);
}
