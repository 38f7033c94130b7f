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
