/* What the container uses, read from the guest's kernel. A file that is not there counts nothing: kernels differ. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "guest.h"
#include "kernel_text.h"
#include "report.h"

enum { MICROSECOND = 1000, KIBIBYTE = 1024 };

static char text[16384]; /* io.stat and /proc/net/dev of a guest with its few devices take a quarter of it */

static const char *read_cgroup(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), CGROUP_FOLDER "/%s", name);
	read_text(path, text, sizeof(text));
	return text;
}

static uint64_t now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t uptime_now(void)
{
	return now(CLOCK_BOOTTIME);
}

uint64_t clock_now(void)
{
	return now(CLOCK_REALTIME);
}

static void read_memory(uint64_t *memory)
{
	static const char *const keys[] = {
		"anon", "file", "kernel_stack", "slab", "sock", "shmem", "file_mapped", "file_dirty", "file_writeback",
		"inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable", "pgfault", "pgmajfault",
	};

	_Static_assert(sizeof(keys) / sizeof(keys[0]) == MEMORY_OOM_KILLS - MEMORY_STAT, "the wire's sixteen");
	memory[MEMORY_CURRENT] = text_limit(read_cgroup("memory.current"));
	memory[MEMORY_LIMIT] = text_limit(read_cgroup("memory.max"));
	memory[MEMORY_PEAK] = text_limit(read_cgroup("memory.peak"));
	memory[MEMORY_OOM_KILLS] = text_number(read_cgroup("memory.events"), "oom_kill");
	read_cgroup("memory.stat");
	for (int i = 0; i < MEMORY_OOM_KILLS - MEMORY_STAT; i++)
		memory[MEMORY_STAT + i] = text_number(text, keys[i]);
	read_text("/proc/meminfo", text, sizeof(text));
	memory[MEMORY_GUEST_TOTAL] = text_number(text, "MemTotal:") * KIBIBYTE;
	memory[MEMORY_GUEST_AVAILABLE] = text_number(text, "MemAvailable:") * KIBIBYTE;
}

static void read_cpu(uint64_t *cpu)
{
	read_cgroup("cpu.stat");
	cpu[CPU_USAGE] = text_number(text, "usage_usec") * MICROSECOND;
	cpu[CPU_USER] = text_number(text, "user_usec") * MICROSECOND;
	cpu[CPU_SYSTEM] = text_number(text, "system_usec") * MICROSECOND;
	cpu[CPU_THROTTLED_TIME] = text_number(text, "throttled_usec") * MICROSECOND;
	cpu[CPU_PERIODS] = text_number(text, "nr_periods");
	cpu[CPU_THROTTLED] = text_number(text, "nr_throttled");
}

int usage_read(pid_t main, struct usage *usage, struct failure *failure)
{
	char path[32];

	if (read_text(CGROUP_FOLDER "/cpu.stat", text, sizeof(text)) < 0)
		return fail(failure, STEP_CGROUP, "cpu.stat");
	memset(usage, 0, sizeof(*usage));
	usage->clock = clock_now();
	usage->uptime = uptime_now();
	read_memory(usage->memory);
	read_cpu(usage->cpu);
	read_text("/proc/stat", text, sizeof(text));
	text_processors(text, &usage->cpus, &usage->cpu_time);
	usage->pids = text_limit(read_cgroup("pids.current"));
	usage->pids_limit = text_limit(read_cgroup("pids.max"));
	usage->device_count = text_devices(read_cgroup("io.stat"), usage->devices, USAGE_DEVICES);
	snprintf(path, sizeof(path), "/proc/%d/net/dev", main);
	/* with its main process gone the container has no network any more */
	if (main > 0 && read_text(path, text, sizeof(text)) >= 0)
		usage->link_count = text_links(text, usage->links, USAGE_LINKS);
	return 0;
}
