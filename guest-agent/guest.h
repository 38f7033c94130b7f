/* What the container side shares among its files: names in the agent's own tree, the machine's disks, the steps of a
 * container's making. Everything here runs either in the agent (before the clone, with the agent's name spaces) or in
 * the child that becomes the program; the comment at each declaration says which. */
#ifndef INSULA_GUEST_H
#define INSULA_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "container.h"
#include "document.h"

#define AGENT_FOLDER "/run/insula"
#define ROOT_FOLDER AGENT_FOLDER "/root"
#define UPPER_BELOW "writable/upper"
#define UPPER_FOLDER AGENT_FOLDER "/" UPPER_BELOW
#define LOWER_BELOW "lower"
#define CGROUP_FOLDER "/sys/fs/cgroup/container"
#define TREES_FOLDER "/sys/fs/cgroup/trees"
#define SOCKETS_FOLDER AGENT_FOLDER "/sockets"
#define BLOCKS_FOLDER AGENT_FOLDER "/blocks"
#define BLOCK_BELOW "data"
#define BLOCKS_MAX 4
#define DISKS 16

/* machine.c: the block device of a disk, by the serial number the host gave it ("layer3", "writable", "block0"), or NULL. */
const char *disk_device(const char *serial);

/* root.c, in the agent. The overlay is mounted on ROOT_FOLDER. root_unmount is complete and synchronous: when it
 * returns 0 the disks are closed and hold everything. */
int root_mount(const struct boot_document *, struct failure *);
int root_unmount(struct failure *);
int root_sync(struct failure *);
/* An ext4 of a volume's, which goes with the root. */
int root_mount_disk(const char *device, const char *target, struct failure *);
bool root_is_mounted(void);
void root_upper_below(char *name, size_t size); /* the overlay's upper directory, below the agent's folder */
/* In a child of a file tree's: what is below the overlay's upper directory, in a mount name space of the child's own. */
int root_show_lower(struct failure *);

/* blocks.c, in the agent: the disks of volumes, each mounted below BLOCKS_FOLDER by its place in the document. */
int blocks_mount(const struct boot_document *, struct failure *);

/* cgroup.c, in the agent. */
int cgroup_make(const struct boot_document *, struct failure *);
int cgroup_open(const char *folder, struct failure *); /* a descriptor for CLONE_INTO_CGROUP */
int cgroup_open_trees(struct failure *); /* the same, of the one beside it for file trees, made if need be */
int cgroup_kill(const char *folder, struct failure *); /* kills all and waits for the last to go */
int cgroup_freeze(bool frozen, struct failure *);
int cgroup_signal(int number, struct failure *);
void cgroup_remove(void);
void cgroup_make_spare(void); /* so that the next cgroup_make finds it made */
int write_text(const char *path, const char *text);
int read_text(const char *path, char *text, size_t size); /* how much, with a NUL behind; what does not fit is left */

/* limits.c, in the agent: those of a new cgroup, and other ones in place of those in force (all or nothing). */
int limits_set(const struct boot_document *, struct failure *);
int limits_change(const struct limits *, struct failure *);

/* usage.c, in the agent: what the container uses, which has this main process (0: it has ended); the clocks. */
int usage_read(pid_t main, struct usage *, struct failure *);
uint64_t uptime_now(void);
uint64_t clock_now(void);

/* process_list.c, in the agent: a page of the container's processes as a whole frame. */
int process_list(struct box *, uint32_t request, uint32_t start, bool plain, struct failure *);

/* devices.c: the filter, in the agent; the nodes, in the child after pivot_root. */
int devices_filter(int cgroup, struct failure *);
int devices_make(bool privileged, struct failure *);

/* inside.c, in the child: name spaces are new; makes the container's world around it and moves into it. What comes from
 * the agent's tree is taken along as detached mounts; put_down consumes one. */
struct inside {
	const struct boot_document *boot;
	int terminal; /* the slave to show as /dev/console, or -1 */
};
int inside_enter(const struct inside *, struct failure *);
/* The same for a container of which there are only its files: its root, and what is mounted over it. */
int inside_files(const struct boot_document *, struct failure *);

int take_along(int fd, const char *path);
int put_down(int tree, const char *target);

/* mounts.c, in the child: the mounts that the container's options ask for. Before pivot_root what the agent has made
 * ready for some of them (-1 for the others; the caller frees the list), after it all of them. */
int *mounts_take_along(const struct boot_document *, struct failure *);
int mount_extras(const struct boot_document *, int *trees, struct failure *);

/* place.c, in the child, after pivot_root: files and mount points in a tree of the image's making. */
int place_folder(const char *path, mode_t mode);
int place_file(const char *path, mode_t mode);

/* user.c, in the child, in the container's root. */
struct identity {
	uid_t uid;
	gid_t gid;
	gid_t groups[512];
	size_t group_count;
	char home[256];
};
int user_find(const struct process_spec *, struct identity *, struct failure *);

/* program.c, in the child: becomes the program, or returns -1. */
int program_become(const struct process_spec *, struct stdio, struct failure *);
void reset_signals(void);

/* credentials.c, in the child. */
int credentials_drop(const struct process_spec *, const struct identity *, struct failure *);
int seccomp_load(struct blob, struct failure *);

/* network.c, in the agent: the container's name space, a descriptor that stays the network's; the machine's devices
 * moved into it, and taken back before it ends. To make one takes the kernel milliseconds, so a spare is made when
 * nobody waits. In the child: the devices named, addressed and raised. */
int network_space(struct failure *);
int network_give(const struct boot_document *, struct failure *);
void network_take_back(void);
void network_make_spare(void);
int network_set_up(const struct boot_document *, struct failure *);
/* In the agent, while the container runs: the container has this link from now on (one that it has gets its routes set
 * anew), or has it no more. Repeats change nothing. */
int network_link(const struct link_spec *, struct failure *);
int network_unlink(uint8_t nic, struct failure *);

/* init.c, in the child: the small init of BOOT_INIT, which shows itself as Docker's, before these arguments. Returns in
 * the grandchild, which becomes the program. */
int init_split(const struct strings *arguments);

#endif
