/* TREE_READ and TREE_WRITE, as processes. */
#include "tree_start.h"

#include <errno.h>
#include <string.h>

#include "container.h"
#include "report.h"
#include "tree.h"

struct tree_launch {
	struct tree_request request;
	int (*body)(void *);
};

static int fork_tree(const void *what, struct stdio stdio, pid_t *pid, struct failure *failure)
{
	const struct tree_launch *tree = what;
	struct tree_request request = tree->request;
	bool upper = tree->body == tree_read && request.flags & TREE_UPPER;

	return container_fork(tree->body, &request, request.flags & TREE_OUTSIDE, upper, stdio, pid, failure);
}

int tree_start(struct cursor *cursor, int (*body)(void *), bool booted, struct process **started,
               struct failure *failure)
{
	uint32_t number = take_u32(cursor);
	uint32_t size = take_u32(cursor);
	const uint8_t *path = take_bytes(cursor, size);
	struct tree_launch tree = {.request.flags = take_u32(cursor), .body = body};
	struct launch launch = {.number = number, .start = fork_tree, .what = &tree};
	char text[4096];

	if (!cursor_done(cursor) || !number || size >= sizeof(text) || memchr(path, 0, size))
		return fail_with(failure, STEP_REQUEST, EBADMSG, "");
	if (find_process(number))
		return 0;
	if (!booted && !(tree.request.flags & TREE_OUTSIDE))
		return fail_with(failure, STEP_REQUEST, ENOTCONN, "container");
	memcpy(text, path, size);
	text[size] = 0;
	tree.request.path = text;
	launch.flags = (body == tree_write ? PROCESS_STDIN : 0) | (tree.request.flags & TREE_OUTSIDE ? PROCESS_OUTSIDE : 0);
	return process_start(&launch, started, failure);
}
