/* Who this clone is: its clock and its randomness. Clones of one template start equal in every byte; until this has
 * been done nothing may be drawn from the kernel's generator. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
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
