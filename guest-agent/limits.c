/* The container's limits, as the files of its cgroup. At its start only what differs from the kernel's defaults is
 * written; in its life what differs from what is in force, and all or nothing. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"
#include "scope.h"

enum { TEXT = CPUSET_LIMIT + 64, DISKS_MAX = 17 };

struct disk { unsigned major, minor; };

static struct limits in_force;
static struct disk disks[DISKS_MAX];
static int disk_count;
static bool has_cpusets;

static void print_maximum(char *text, uint64_t value)
{
	if (value)
		snprintf(text, TEXT, "%" PRIu64, value);
	else
		snprintf(text, TEXT, "max");
}

static void print_memory(const struct limits *limits, char *text)
{
	print_maximum(text, limits->memory);
}

static void print_memory_low(const struct limits *limits, char *text)
{
	snprintf(text, TEXT, "%" PRIu64, limits->memory_low);
}

static void print_cpu(const struct limits *limits, char *text)
{
	char quota[32];

	snprintf(quota, sizeof(quota), "%" PRIu64, limits->cpu_quota);
	snprintf(text, TEXT, "%s %" PRIu64, limits->cpu_quota ? quota : "max",
	         limits->cpu_period ? limits->cpu_period : 100000);
}

static void print_cpu_weight(const struct limits *limits, char *text)
{
	snprintf(text, TEXT, "%" PRIu32, limits->cpu_weight ? limits->cpu_weight : 100);
}

static void print_cpus(const struct limits *limits, char *text)
{
	snprintf(text, TEXT, "%s\n", limits->cpuset_cpus);
}

static void print_mems(const struct limits *limits, char *text)
{
	snprintf(text, TEXT, "%s\n", limits->cpuset_mems);
}

static void print_pids(const struct limits *limits, char *text)
{
	print_maximum(text, limits->pids);
}

static void print_io_weight(const struct limits *limits, char *text)
{
	snprintf(text, TEXT, "default %" PRIu32, limits->io_weight ? limits->io_weight : 100);
}

static const struct {
	const char *name;
	void (*print)(const struct limits *, char *text);
} files[] = {
	{"memory.max", print_memory}, {"memory.low", print_memory_low}, {"cpu.max", print_cpu},
	{"cpu.weight", print_cpu_weight}, {"cpuset.cpus", print_cpus}, {"cpuset.mems", print_mems},
	{"pids.max", print_pids}, {"io.weight", print_io_weight},
};
enum { FILES = sizeof(files) / sizeof(files[0]) };

static uint64_t lowest(const struct limits *limits, int rate)
{
	uint64_t least = 0;

	for (uint32_t i = 0; i < limits->io_count; i++)
		if (limits->io[i].rates[rate] && (!least || limits->io[i].rates[rate] < least))
			least = limits->io[i].rates[rate];
	return least;
}

static void print_io(const struct limits *limits, const struct disk *disk, char *text)
{
	static const char *const names[IO_RATES] = {"rbps", "wbps", "riops", "wiops"};
	int used = snprintf(text, TEXT, "%u:%u", disk->major, disk->minor);

	for (int rate = 0; rate < IO_RATES; rate++) {
		char value[TEXT];

		print_maximum(value, lowest(limits, rate));
		used += snprintf(text + used, (size_t)(TEXT - used), " %s=%.20s", names[rate], value);
	}
}

/* One of FILES + disk_count steps: the file's name, and what it gets. */
static const char *print_step(int step, const struct limits *limits, char *text)
{
	if (step < FILES) {
		files[step].print(limits, text);
		return files[step].name;
	}
	print_io(limits, &disks[step - FILES], text);
	return "io.max";
}

static int write_file(const char *name, const char *text)
{
	char path[96];

	snprintf(path, sizeof(path), CGROUP_FOLDER "/%s", name);
	return write_text(path, text);
}

/* Not at the machine's start: it makes every birth dearer, and hardly a container asks for it. The kernel lets nobody
 * take a set away while there are processes, so that no set is then the set of all. */
static int write_cpuset(const char *name, const char *text)
{
	char path[64], all[TEXT];

	if (!has_cpusets && write_text("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset") < 0)
		return -1;
	has_cpusets = true;
	snprintf(path, sizeof(path), "/sys/fs/cgroup/%s.effective", name);
	if (*text == '\n' && read_text(path, all, sizeof(all)) < 0)
		return -1;
	return write_file(name, *text == '\n' ? all : text);
}

static int write_step(int step, const struct limits *limits, const char **name)
{
	char text[TEXT];

	*name = print_step(step, limits, text);
	return strncmp(*name, "cpuset", 6) ? write_file(*name, text) : write_cpuset(*name, text);
}

static bool is_same(int step, const struct limits *one, const struct limits *other)
{
	char text[TEXT], others[TEXT];

	print_step(step, one, text);
	print_step(step, other, others);
	return !strcmp(text, others);
}

static void put_back(int step, const struct limits *limits)
{
	const char *name;

	if (write_step(step, limits, &name) < 0)
		warn("cannot put %s back: %m", name);
}

static int change(const struct limits *from, const struct limits *to, struct failure *failure)
{
	const char *name;

	for (int step = 0; step < FILES + disk_count; step++) {
		if (is_same(step, from, to) || write_step(step, to, &name) == 0)
			continue;
		fail(failure, STEP_CGROUP, name);
		while (step-- > 0)
			if (!is_same(step, from, to))
				put_back(step, from);
		return -1;
	}
	in_force = *to;
	return 0;
}

static void note_disk(const char *serial)
{
	const char *device = disk_device(serial);
	struct stat status;

	if (device && disk_count < DISKS_MAX && stat(device, &status) == 0)
		disks[disk_count++] = (struct disk){major(status.st_rdev), minor(status.st_rdev)};
}

static void find_disks(const struct boot_document *boot)
{
	disk_count = 0;
	for (uint32_t i = 0; i < boot->layer_count; i++) {
		char serial[16];

		snprintf(serial, sizeof(serial), "layer%u", boot->layers[i]);
		note_disk(serial);
	}
	if (boot->writable_kind)
		note_disk("writable");
}

int limits_set(const struct boot_document *boot, struct failure *failure)
{
	static const struct limits none;

	find_disks(boot);
	return change(&none, &boot->limits, failure);
}

static uint64_t memory_held(void)
{
	char text[32];

	return read_text(CGROUP_FOLDER "/memory.current", text, sizeof(text)) < 0 ? 0 : strtoull(text, NULL, 10);
}

/* The kernel enforces a lower limit by kills; here it is refused where what is held cannot be given back. */
static int make_room(uint64_t limit, struct failure *failure)
{
	uint64_t held = memory_held();
	char text[32];

	if (!limit || held <= limit)
		return 0;
	snprintf(text, sizeof(text), "%" PRIu64, held - limit);
	write_file("memory.reclaim", text); /* as far as it goes */
	return memory_held() > limit ? fail_with(failure, STEP_CGROUP, EBUSY, "memory.max") : 0;
}

int limits_change(const struct limits *to, struct failure *failure)
{
	struct limits from = in_force;

	if (to->memory != from.memory && make_room(to->memory, failure) < 0)
		return -1;
	return change(&from, to, failure);
}
