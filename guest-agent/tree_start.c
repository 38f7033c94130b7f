/* TREE_READ and TREE_WRITE, as processes. */
#include "tree_start.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "container.h"
#include "guest.h"
#include "report.h"
#include "tree.h"

struct tree_launch {
	struct tree_request request;
	int (*body)(void *);
};

static enum place place_of(bool read, uint32_t flags)
{
	if (flags & TREE_OUTSIDE)
		return PLACE_AGENT;
	if (!read)
		return PLACE_INSIDE;
	if (flags & (TREE_UPPER | TREE_LOWER))
		return PLACE_LAYERS;
	return flags & TREE_ROOT ? PLACE_ROOT : PLACE_INSIDE;
}

static int fork_tree(const void *what, struct stdio stdio, pid_t *pid, struct failure *failure)
{
	const struct tree_launch *tree = what;
	struct tree_request request = tree->request;
	enum place place = place_of(tree->body == tree_read, request.flags);
	char upper[48];

	root_upper_below(upper, sizeof(upper));
	request.root = place == PLACE_LAYERS ? upper : "/";
	request.lower = LOWER_BELOW;
	return container_fork(tree->body, &request, place, stdio, pid, failure);
}

/* A string of at most a path's length, with a NUL behind. */
static bool take_text(struct cursor *cursor, char text[PATH_MAX])
{
	uint32_t size = take_u32(cursor);
	const uint8_t *from = size < PATH_MAX ? take_bytes(cursor, size) : NULL;

	if (!from || memchr(from, 0, size))
		return false;
	memcpy(text, from, size);
	text[size] = 0;
	return true;
}

int tree_start(struct cursor *cursor, int (*body)(void *), bool booted, struct process **started,
               struct failure *failure)
{
	uint32_t number = take_u32(cursor);
	char path[PATH_MAX], owner[PATH_MAX];
	struct tree_launch tree = {.request = {.path = path, .owner = owner}, .body = body};
	struct launch launch = {.number = number, .start = fork_tree, .what = &tree};
	bool sound = take_text(cursor, path);

	tree.request.flags = take_u32(cursor);
	if (body == tree_write && tree.request.flags & TREE_OWNED)
		sound = take_text(cursor, owner) && sound;
	if (!sound || !cursor_done(cursor) || !number)
		return fail_with(failure, STEP_REQUEST, EBADMSG, "");
	if (find_process(number))
		return 0;
	if (!booted && !(tree.request.flags & TREE_OUTSIDE))
		return fail_with(failure, STEP_REQUEST, ENOTCONN, "container");
	launch.flags = (body == tree_write ? PROCESS_STDIN : 0) | (tree.request.flags & TREE_OUTSIDE ? PROCESS_OUTSIDE : 0);
	return process_start(&launch, started, failure);
}
