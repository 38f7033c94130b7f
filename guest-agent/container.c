/* The one container: made in the order cgroup, root, name spaces, world, program; taken apart in the reverse.
 *
 * Further processes enter the name spaces of the main one, which the agent holds by pidfd. File trees are read and
 * written by children of a cgroup beside the container's, in its mount name space alone: they go on while the
 * container is frozen, and what runs in it never sees them. */
#define _GNU_SOURCE
#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "birth.h"
#include "guest.h"
#include "report.h"
#include "scope.h"

/* The template's and the pool clone's: after each, things are made ready for the container that follows. After that one
 * hardly another comes. */
#define REHEARSALS 2
#define SPACES (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

static bool up, on_disks, frozen;
static unsigned stops;
static int main_pidfd = -1;

bool container_is_up(void)
{
	return up;
}

static int start_main(const struct boot_document *boot, struct stdio stdio, pid_t *pid, struct failure *failure)
{
	struct birth birth = {
		.spaces = (SPACES & ~CLONE_NEWNET) | CLONE_NEWPID, .enter = CLONE_NEWNET, .boot = boot, .spec = &boot->main,
		.stdio = stdio,
	};

	if (cgroup_make(boot, failure) < 0)
		return -1;
	cleanup_close int cgroup = birth.cgroup = cgroup_open(CGROUP_FOLDER, failure);
	if (cgroup < 0 || (!(boot->flags & BOOT_PRIVILEGED) && devices_filter(cgroup, failure) < 0))
		return -1;
	birth.home = network_space(failure);
	if (birth.home < 0 || network_give(boot, failure) < 0)
		return -1;
	if (root_mount(boot, failure) < 0 || give_birth(&birth, pid, failure) < 0)
		return -1;
	main_pidfd = (int)syscall(SYS_pidfd_open, *pid, 0);
	return main_pidfd < 0 ? fail(failure, STEP_NAMESPACES, "pidfd") : 0;
}

static int prepare_boot(const struct boot_document *boot, bool plain, struct failure *failure)
{
	if (plain != (boot->root == ROOT_AGENT))
		return fail_with(failure, STEP_REQUEST, EINVAL, "root");
	if (set_identity(boot->clock, boot->entropy, plain, failure) < 0)
		return -1;
	on_disks = !plain;
	/* an earlier stop may have failed half way */
	return on_disks && root_is_mounted() ? container_stop(failure) : 0;
}

/* What a boot has come to; one that failed is undone. */
static int finish_boot(int result)
{
	struct failure ignored;

	up = result == 0;
	if (!up && on_disks && container_stop(&ignored) < 0)
		warn("a failed boot is not undone: %s", ignored.detail);
	return result;
}

int container_boot(const struct boot_document *boot, struct stdio stdio, bool plain, pid_t *pid,
                   struct failure *failure)
{
	struct birth birth = {.cgroup = -1, .spec = &boot->main, .stdio = stdio};

	if (prepare_boot(boot, plain, failure) < 0)
		return -1;
	return finish_boot(plain ? give_birth(&birth, pid, failure) : start_main(boot, stdio, pid, failure));
}

static int wait_for_the_end(void *unused)
{
	(void)unused;
	while (true)
		pause();
	return 0;
}

/* Who holds the mounts over a container's files, as its main process does where one runs. */
static int start_holder(const struct boot_document *boot, struct failure *failure)
{
	cleanup_close int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
	cleanup_close int cgroup = cgroup_open_trees(failure);
	struct birth birth = {
		.spaces = CLONE_NEWNS, .cgroup = cgroup, .boot = boot, .files = true, .spec = &boot->main,
		.stdio = {nothing, nothing, nothing, false}, .body = wait_for_the_end,
	};
	pid_t pid;

	if (nothing < 0)
		return fail(failure, STEP_FILES, "/dev/null");
	if (cgroup < 0 || give_birth(&birth, &pid, failure) < 0)
		return -1;
	main_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return main_pidfd < 0 ? fail(failure, STEP_NAMESPACES, "pidfd") : 0;
}

static int open_files(const struct boot_document *boot, struct failure *failure)
{
	if (root_mount(boot, failure) < 0)
		return -1;
	return boot->mount_count ? start_holder(boot, failure) : 0;
}

int container_open(const struct boot_document *boot, bool plain, struct failure *failure)
{
	if (prepare_boot(boot, plain, failure) < 0)
		return -1;
	return finish_boot(plain ? 0 : open_files(boot, failure));
}

/* It is the agent's children that are born into the PID name space, while the agent itself stays; after the clone its
 * children are its own again. */
static int spawn_inside(const struct process_spec *spec, struct stdio stdio, pid_t *pid, struct failure *failure)
{
	struct birth birth = {.home = main_pidfd, .enter = SPACES | CLONE_NEWCGROUP, .spec = spec, .stdio = stdio};
	cleanup_close int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	int done;

	if (frozen)
		return fail_with(failure, STEP_CGROUP, EBUSY, "frozen");
	cleanup_close int cgroup = birth.cgroup = cgroup_open(CGROUP_FOLDER, failure);
	if (cgroup < 0)
		return -1;
	if (own < 0 || syscall(SYS_setns, main_pidfd, CLONE_NEWPID) < 0)
		return fail(failure, STEP_NAMESPACES, "setns");
	done = give_birth(&birth, pid, failure);
	if (syscall(SYS_setns, own, CLONE_NEWPID) < 0)
		warn("cannot leave the container's PID name space: %m");
	return done;
}

int container_spawn(const struct process_spec *spec, struct stdio stdio, bool plain, pid_t *pid,
                    struct failure *failure)
{
	struct birth birth = {.cgroup = -1, .spec = spec, .stdio = stdio};

	if (plain || spec->flags & PROCESS_OUTSIDE || !on_disks)
		return give_birth(&birth, pid, failure);
	return spawn_inside(spec, stdio, pid, failure);
}

/* Its mount name space is gone then, while its root is mounted until it is stopped. */
static bool main_has_ended(void)
{
	struct pollfd main = {.fd = main_pidfd, .events = POLLIN};

	return main_pidfd < 0 || poll(&main, 1, 0) > 0;
}

int container_fork(int (*body)(void *), void *argument, enum place place, struct stdio stdio, pid_t *pid,
                   struct failure *failure)
{
	struct birth birth = {.cgroup = -1, .body = body, .argument = argument, .stdio = stdio};

	if (place == PLACE_AGENT || (!on_disks && place != PLACE_LAYERS))
		return give_birth(&birth, pid, failure);
	if (!on_disks)
		return fail_with(failure, STEP_REQUEST, EOPNOTSUPP, "plain");
	cleanup_close int cgroup = birth.cgroup = cgroup_open_trees(failure);
	if (cgroup < 0)
		return -1;
	birth.place = place == PLACE_INSIDE && main_has_ended() ? PLACE_ROOT : place;
	if (birth.place == PLACE_INSIDE) {
		birth.home = main_pidfd;
		birth.enter = CLONE_NEWNS;
	}
	return give_birth(&birth, pid, failure);
}

int container_signal_all(int number, struct failure *failure)
{
	if (on_disks)
		return cgroup_signal(number, failure);
	return fail_with(failure, STEP_REQUEST, EOPNOTSUPP, "plain");
}

int container_freeze(struct failure *failure)
{
	if (!on_disks)
		return fail_with(failure, STEP_REQUEST, EOPNOTSUPP, "plain");
	if (cgroup_freeze(true, failure) < 0)
		return -1;
	frozen = true;
	return root_sync(failure);
}

int container_thaw(struct failure *failure)
{
	frozen = false;
	return on_disks ? cgroup_freeze(false, failure) : 0;
}

int container_sync(struct failure *failure)
{
	return on_disks ? root_sync(failure) : 0;
}

int container_stop(struct failure *failure)
{
	up = frozen = false;
	if (!on_disks)
		return 0;
	network_take_back(); /* before the name space goes with its last process, at a time of the kernel's own choosing */
	if (cgroup_kill(CGROUP_FOLDER, failure) < 0 || cgroup_kill(TREES_FOLDER, failure) < 0)
		return -1;
	if (main_pidfd >= 0)
		close(take_fd(&main_pidfd));
	if (root_unmount(failure) < 0)
		return -1;
	cgroup_remove();
	if (stops++ < REHEARSALS) {
		network_make_spare();
		cgroup_make_spare();
	}
	return 0;
}

int container_update(const struct limits *limits, struct failure *failure)
{
	return on_disks ? limits_change(limits, failure) : fail_with(failure, STEP_REQUEST, EOPNOTSUPP, "plain");
}

int container_link(const struct link_spec *link, struct failure *failure)
{
	return on_disks ? network_link(link, failure) : fail_with(failure, STEP_REQUEST, EOPNOTSUPP, "plain");
}

int container_unlink(uint8_t nic, struct failure *failure)
{
	return on_disks ? network_unlink(nic, failure) : fail_with(failure, STEP_REQUEST, EOPNOTSUPP, "plain");
}

int container_usage(pid_t main, struct usage *usage, struct failure *failure)
{
	return on_disks ? usage_read(main, usage, failure) : fail_with(failure, STEP_REQUEST, EOPNOTSUPP, "plain");
}

int container_processes(struct box *box, uint32_t request, uint32_t start, struct failure *failure)
{
	return process_list(box, request, start, !on_disks, failure);
}
