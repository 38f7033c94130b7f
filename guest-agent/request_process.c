/* What the host says of a process: how it is to be launched; and while it runs, none of it answered, its input, what of
 * its output is kept, its terminal's size. */
#include "request_process.h"

#include <errno.h>

#include "report.h"
#include "sockets.h"

int fail_malformed(struct failure *failure)
{
	return fail_with(failure, STEP_REQUEST, EBADMSG, "");
}

struct launch launch_of(const struct process_spec *spec)
{
	return (struct launch){
		.number = spec->number, .flags = spec->flags, .rows = spec->rows, .columns = spec->columns,
	};
}

int do_input(struct cursor *cursor, struct failure *failure)
{
	struct process *process = find_process(take_u32(cursor));
	uint64_t offset = take_u64(cursor);
	size_t size = cursor_left(cursor);

	if (cursor->bad || size > FRAME_DATA)
		return fail_malformed(failure);
	if (process)
		input_take(&process->input, offset, cursor->at, size);
	return 0;
}

int do_input_end(struct cursor *cursor, struct failure *failure)
{
	struct process *process = find_process(take_u32(cursor));
	uint64_t offset = take_u64(cursor);

	if (!cursor_done(cursor))
		return fail_malformed(failure);
	if (process)
		input_finish(&process->input, offset);
	return 0;
}

int do_ack(struct cursor *cursor, struct failure *failure)
{
	struct process *process = find_process(take_u32(cursor));
	uint8_t stream = take_u8(cursor);
	uint64_t offset = take_u64(cursor);

	if (!cursor_done(cursor) || stream < 1 || stream > 2)
		return fail_malformed(failure);
	if (process)
		stream_acknowledge(&process->outputs[stream - 1], offset);
	return 0;
}

int do_resume(struct cursor *cursor, struct failure *failure)
{
	uint32_t number = take_u32(cursor);
	uint64_t output = take_u64(cursor);
	uint64_t error = take_u64(cursor);

	if (!cursor_done(cursor))
		return fail_malformed(failure);
	process_resume(number, output, error);
	return 0;
}

int do_resize(struct cursor *cursor, struct failure *failure)
{
	uint32_t number = take_u32(cursor);
	uint16_t rows = take_u16(cursor);
	uint16_t columns = take_u16(cursor);

	if (!cursor_done(cursor))
		return fail_malformed(failure);
	process_resize(number, rows, columns);
	return 0;
}

int do_release(struct cursor *cursor, struct failure *failure)
{
	uint32_t number = take_u32(cursor);

	if (!cursor_done(cursor))
		return fail_malformed(failure);
	process_release(number);
	sockets_accept();
	return 0;
}
