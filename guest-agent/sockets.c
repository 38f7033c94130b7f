/* Listeners. A connection that finds no room, or no host that has greeted, waits in its listener's queue. */
#define _GNU_SOURCE
#include "sockets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest.h"
#include "loop.h"
#include "process.h"
#include "report.h"
#include "scope.h"
#include "session.h"

enum { SOCKETS_MAX = 8, QUEUE = 64 };

static struct listener {
	struct watch watch; /* fd -1: none */
	uint32_t mount;
	char path[108];
} listeners[SOCKETS_MAX] = {[0 ... SOCKETS_MAX - 1] = {.watch = {.fd = -1}}};

static void accept_from(struct listener *listener)
{
	int fd;

	while (listener->watch.fd >= 0 && session_is_live() && process_has_room()) {
		fd = accept4(listener->watch.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 || !process_connect(listener->mount, fd))
			return;
	}
}

static void listener_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	accept_from((struct listener *)watch); /* its first member */
}

void sockets_accept(void)
{
	for (struct listener *listener = listeners; listener < listeners + SOCKETS_MAX; listener++)
		accept_from(listener);
}

/* Mode and owner are the host's socket's, as far as this machine has such ids (docs/protocol.md §5). */
static int own(const char *path, uint64_t flags)
{
	return chown(path, flags >> 16 & 0xffff, flags >> 32 & 0xffff) < 0 ? -1 : chmod(path, flags & 07777);
}

static int listen_at(struct listener *listener, const struct mount_spec *mount, bool plain)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(address.sun_path, listener->path, sizeof(address.sun_path));
	if (fd < 0 || (unlink(listener->path) < 0 && errno != ENOENT) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || (!plain && own(listener->path, mount->flags) < 0) ||
	    listen(fd, QUEUE) < 0)
		return -1;
	listener->watch = (struct watch){.fd = take_fd(&fd), .ready = listener_ready};
	loop_add(&listener->watch, EPOLLIN);
	return 0;
}

static int open_one(struct listener *listener, const struct boot_document *boot, uint32_t index, bool plain,
                    struct failure *failure)
{
	const struct mount_spec *mount = &boot->mounts[index];
	int length;

	if (!plain && mkdir(SOCKETS_FOLDER, 0700) < 0 && errno != EEXIST)
		return fail(failure, STEP_MOUNT, SOCKETS_FOLDER);
	listener->mount = index;
	length = plain ? snprintf(listener->path, sizeof(listener->path), "%s", mount->target)
	               : snprintf(listener->path, sizeof(listener->path), SOCKETS_FOLDER "/%u", index);
	if ((size_t)length >= sizeof(listener->path))
		return fail_with(failure, STEP_MOUNT, ENAMETOOLONG, mount->target);
	return listen_at(listener, mount, plain) < 0 ? fail(failure, STEP_MOUNT, mount->target) : 0;
}

int sockets_open(const struct boot_document *boot, bool plain, struct failure *failure)
{
	uint32_t count = 0;

	sockets_close();
	for (uint32_t i = 0; i < boot->mount_count; i++) {
		if (boot->mounts[i].kind != MOUNT_SOCKET)
			continue;
		if (count == SOCKETS_MAX)
			fail_with(failure, STEP_MOUNT, E2BIG, boot->mounts[i].target);
		if (count == SOCKETS_MAX || open_one(&listeners[count++], boot, i, plain, failure) < 0) {
			sockets_close();
			return -1;
		}
	}
	return 0;
}

void sockets_close(void)
{
	for (struct listener *listener = listeners; listener < listeners + SOCKETS_MAX; listener++) {
		if (listener->watch.fd < 0)
			continue;
		loop_remove(&listener->watch);
		close(take_fd(&listener->watch.fd));
		unlink(listener->path);
	}
	connections_drop();
}
