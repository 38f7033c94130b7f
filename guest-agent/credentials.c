/* What a process may do, taken away in the one order in which it can be: the filter that needs a privilege to load
 * first, then the bounding set, ids, capabilities, and where no_new_privs is asked for, that and the filter last. */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"

int seccomp_load(struct blob filter, struct failure *failure)
{
	struct sock_fprog program = {
		.len = (unsigned short)(filter.size / sizeof(struct sock_filter)),
		.filter = (struct sock_filter *)filter.data,
	};

	if (!filter.size)
		return 0;
	if (filter.size % sizeof(struct sock_filter) || filter.size / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return fail_with(failure, STEP_SECCOMP, EINVAL, "filter");
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		return fail(failure, STEP_SECCOMP, "filter");
	return 0;
}

static int bound(uint64_t bounding, struct failure *failure)
{
	for (int cap = 0; cap < 64; cap++) {
		if (bounding & (1ull << cap))
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno == EINVAL)
				return 0; /* the kernel's last capability was the one before */
			return fail(failure, STEP_LIMITS, "bounding set");
		}
	}
	return 0;
}

static int set_capabilities(const struct process_spec *spec, struct failure *failure)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(spec->effective >> (32 * i));
		data[i].permitted = (uint32_t)(spec->permitted >> (32 * i));
		data[i].inheritable = (uint32_t)(spec->inheritable >> (32 * i));
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return fail(failure, STEP_LIMITS, "capabilities");
	for (int cap = 0; cap < 64; cap++)
		if (spec->ambient & (1ull << cap) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return fail(failure, STEP_LIMITS, "ambient capabilities");
	return 0;
}

/* A plain agent that is an ordinary user's can make its processes nobody else's. */
static int stay(const struct process_spec *spec, const struct identity *identity, struct failure *failure)
{
	if (*spec->user && identity->uid != geteuid())
		return fail_with(failure, STEP_USER, EPERM, spec->user);
	if (!(spec->flags & PROCESS_NO_NEW_PRIVS))
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(failure, STEP_LIMITS, "no_new_privs");
	return seccomp_load(spec->seccomp, failure);
}

int credentials_drop(const struct process_spec *spec, const struct identity *identity, struct failure *failure)
{
	bool last = spec->flags & PROCESS_NO_NEW_PRIVS;

	if (geteuid() != 0)
		return stay(spec, identity, failure);
	if (!last && seccomp_load(spec->seccomp, failure) < 0)
		return -1;
	if (bound(spec->bounding, failure) < 0)
		return -1;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(identity->group_count, identity->groups) < 0 ||
	    setresgid(identity->gid, identity->gid, identity->gid) < 0 ||
	    setresuid(identity->uid, identity->uid, identity->uid) < 0 || prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return fail(failure, STEP_USER, spec->user);
	if (set_capabilities(spec, failure) < 0)
		return -1;
	if (!last)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(failure, STEP_LIMITS, "no_new_privs");
	return seccomp_load(spec->seccomp, failure);
}
