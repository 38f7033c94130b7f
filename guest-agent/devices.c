/* The devices that a container may use: Docker's, by nodes in its own /dev and by a filter on its cgroup, so that a
 * node made by itself or found in its image opens nothing more. The agent's port and the raw disks are thereby out of
 * its reach. A privileged container has no filter and every node of the machine.
 *
 * The filter is a BPF program over struct bpf_cgroup_dev_ctx {access_type, major, minor}; access_type has the device's
 * type in its low half and the accesses asked for in its high half (linux/bpf.h). */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"
#include "scope.h"

static const struct { const char *name; unsigned major, minor; } nodes[] = {
	{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
};

static const struct { const char *name, *target; } links[] = {
	{"ptmx", "pts/ptmx"}, {"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"}, {"core", "/proc/kcore"},
};

#define LOAD(to, from, at) {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = (to), .src_reg = (from), .off = (at)}
#define MOVE(to, from) {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (to), .src_reg = (from)}
#define SET(to, value) {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (to), .imm = (value)}
#define SHIFT_RIGHT(reg, by) {.code = BPF_ALU64 | BPF_RSH | BPF_K, .dst_reg = (reg), .imm = (by)}
#define AND(reg, mask) {.code = BPF_ALU64 | BPF_AND | BPF_K, .dst_reg = (reg), .imm = (mask)}
#define EQUAL(reg, value, skip) {.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = (reg), .imm = (value), .off = (skip)}
#define UNEQUAL(reg, value, skip) {.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = (reg), .imm = (value), .off = (skip)}
#define RETURN {.code = BPF_JMP | BPF_EXIT}

int devices_filter(int cgroup, struct failure *failure)
{
	static const struct bpf_insn program[] = {
		/* 0 */ LOAD(BPF_REG_2, BPF_REG_1, 0),
		/* 1 */ MOVE(BPF_REG_3, BPF_REG_2),
		/* 2 */ SHIFT_RIGHT(BPF_REG_3, 16),
		/* 3 */ AND(BPF_REG_2, 0xffff),
		/* 4 */ LOAD(BPF_REG_4, BPF_REG_1, 4),
		/* 5 */ LOAD(BPF_REG_5, BPF_REG_1, 8),
		/* 6: making any node is allowed; opening it is another matter */ EQUAL(BPF_REG_3, BPF_DEVCG_ACC_MKNOD, 13),
		/* 7 */ UNEQUAL(BPF_REG_2, BPF_DEVCG_DEV_CHAR, 10),
		/* 8: terminals */ EQUAL(BPF_REG_4, 136, 11),
		/* 9 */ UNEQUAL(BPF_REG_4, 5, 2),
		/* 10: tty, console, ptmx are 5:0 to 5:2 */
		{.code = BPF_JMP | BPF_JLE | BPF_K, .dst_reg = BPF_REG_5, .imm = 2, .off = 9},
		/* 11 */ {.code = BPF_JMP | BPF_JA, .off = 6},
		/* 12 */ UNEQUAL(BPF_REG_4, 1, 5),
		/* 13 */ EQUAL(BPF_REG_5, 3, 6),
		/* 14 */ EQUAL(BPF_REG_5, 5, 5),
		/* 15 */ EQUAL(BPF_REG_5, 7, 4),
		/* 16 */ EQUAL(BPF_REG_5, 8, 3),
		/* 17 */ EQUAL(BPF_REG_5, 9, 2),
		/* 18: denied */ SET(BPF_REG_0, 0),
		/* 19 */ RETURN,
		/* 20: allowed */ SET(BPF_REG_0, 1),
		/* 21 */ RETURN,
	};
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
		.insn_cnt = sizeof(program) / sizeof(*program),
		.insns = (uintptr_t)program,
		.license = (uintptr_t)"Apache-2.0",
	};
	union bpf_attr attach = {.target_fd = (uint32_t)cgroup, .attach_type = BPF_CGROUP_DEVICE};
	static int filter = -1; /* kept: the next container's is the same */

	if (filter < 0)
		filter = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
	attach.attach_bpf_fd = (uint32_t)filter;
	if (filter < 0 || syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof(attach)) < 0)
		return fail(failure, STEP_DEVICES, "filter");
	return 0;
}

/* Every device of the machine, as its kernel lists them. */
static void make_all(const char *list, mode_t type)
{
	cleanup_closedir DIR *folder = opendir(list);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		char path[320], link[64], name[128];
		unsigned major, minor;
		FILE *uevent;

		if (sscanf(entry->d_name, "%u:%u", &major, &minor) != 2)
			continue;
		snprintf(path, sizeof(path), "%s/%s/uevent", list, entry->d_name);
		uevent = fopen(path, "re");
		*link = 0;
		while (uevent && fgets(name, sizeof(name), uevent))
			if (sscanf(name, "DEVNAME=%63s", link) == 1)
				break;
		if (uevent)
			fclose(uevent);
		if (!*link || strchr(link, '/') || !strncmp(link, "pty", 3) || !strncmp(link, "tty", 3))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", link);
		mknod(path, type | 0600, makedev(major, minor)); /* those made already stay as they are */
	}
}

int devices_make(bool privileged, struct failure *failure)
{
	char path[32];

	for (size_t i = 0; i < sizeof(nodes) / sizeof(*nodes); i++) {
		snprintf(path, sizeof(path), "/dev/%s", nodes[i].name);
		if (mknod(path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) < 0)
			return fail(failure, STEP_DEVICES, path);
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		snprintf(path, sizeof(path), "/dev/%s", links[i].name);
		if (symlink(links[i].target, path) < 0)
			return fail(failure, STEP_DEVICES, path);
	}
	if (privileged) {
		make_all("/sys/dev/char", S_IFCHR);
		make_all("/sys/dev/block", S_IFBLK);
	}
	return 0;
}
