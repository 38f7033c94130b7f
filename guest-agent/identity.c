/* Who this clone is: its clock and its randomness. Clones of one template start equal in every byte; until this has
 * been done nothing may be drawn from the kernel's generator. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/random.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>

#include "guest.h"
#include "report.h"
#include "scope.h"

static int credit_entropy(struct blob entropy, struct failure *failure)
{
	cleanup_close int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	cleanup_free struct rand_pool_info *pool = allocate(sizeof(*pool) + entropy.size + sizeof(__u32));

	pool->entropy_count = (int)entropy.size * 8;
	pool->buf_size = (int)entropy.size;
	memcpy(pool->buf, entropy.data, entropy.size);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, pool) < 0)
		return fail(failure, STEP_IDENTITY, "RNDADDENTROPY");
	if (ioctl(fd, RNDRESEEDCRNG) < 0)
		return fail(failure, STEP_IDENTITY, "RNDRESEEDCRNG");
	return 0;
}

/* A timer that is long due makes the kernel set the hardware's, of the processor that this runs on. */
static int set_timer_anew(void)
{
	struct itimerspec due = {.it_value.tv_nsec = 1};
	cleanup_close int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	return fd < 0 ? -1 : timerfd_settime(fd, TFD_TIMER_ABSTIME, &due, NULL);
}

/* QEMU does not save what every architecture's timers are set to (not ppc64's, not riscv64's), and a kernel that goes on
 * from such a state takes for set what is not: it would wait for ever. */
int set_timers_anew(bool plain, struct failure *failure)
{
	cpu_set_t all, one;
	int done;

	if (plain)
		return 0;
	done = sched_getaffinity(0, sizeof(all), &all);

	for (int cpu = 0; done == 0 && cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		done = (CPU_COUNT(&all) > 1 && sched_setaffinity(0, sizeof(one), &one) < 0) || set_timer_anew() < 0;
	}
	if (done == 0 && CPU_COUNT(&all) > 1)
		done = sched_setaffinity(0, sizeof(all), &all);
	return done == 0 ? 0 : fail(failure, STEP_IDENTITY, "timers");
}

int set_identity(uint64_t clock, struct blob entropy, bool plain, struct failure *failure)
{
	if (plain)
		return 0;
	if (clock) {
		struct timespec now = {(time_t)(clock / 1000000000u), (long)(clock % 1000000000u)};

		if (clock_settime(CLOCK_REALTIME, &now) < 0)
			return fail(failure, STEP_IDENTITY, "clock");
	}
	return entropy.size ? credit_entropy(entropy, failure) : 0;
}
