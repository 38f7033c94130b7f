/* The one container of this guest: made by a boot document, entered by every further process, taken apart by stop.
 *
 * The event loop (loop.c, process.c) owns numbers, streams and exits; this side owns disks, mounts, name spaces,
 * cgroup, devices, users and limits. Nothing here blocks on the container but the wait for a child's own report
 * (bounded), and nothing here talks to the host. */
#ifndef INSULA_CONTAINER_H
#define INSULA_CONTAINER_H

#include <stdbool.h>
#include <sys/types.h>

#include "document.h"
#include "message.h"

/* The child's ends of its streams; with a tty all three are the terminal's slave (which becomes its controlling
 * terminal, and /dev/console in the main process's container). The caller keeps the other ends and closes these
 * after the call. A process without PROCESS_STDIN gets /dev/null from the caller as input. */
struct stdio { int input, output, error; bool tty; };

/* Brings up the whole container and starts its main process in it; *pid is its process as the agent sees it
 * (to be reaped; in the container it is PID 1, or with BOOT_INIT the small init is, which passes signals on and ends
 * with the main process's status). On failure everything is undone. `plain`: the agent runs as an ordinary process:
 * only ROOT_AGENT is accepted, nothing is mounted or named outside name spaces of its own. */
int container_boot(const struct boot_document *, struct stdio, bool plain, pid_t *pid, struct failure *);

/* Starts a further process in the container (or, with PROCESS_OUTSIDE, beside it). */
int container_spawn(const struct process_spec *, struct stdio, bool plain, pid_t *pid, struct failure *);

/* Mounts the container's root and starts nothing (BOOT_FILES): for file trees alone, until it is stopped. */
int container_open(const struct boot_document *, bool plain, struct failure *);

/* Where a file tree's child has its root: where the container's processes have it, with all that is mounted over it; the
 * agent's; the container's own, with nothing mounted over it; the agent's folder, where the overlay's upper directory is
 * (UPPER_BELOW), and what is below it (LOWER_BELOW). */
enum place { PLACE_INSIDE, PLACE_AGENT, PLACE_ROOT, PLACE_LAYERS };

/* Forks a child for file trees; it runs body(argument) and exits with its result. Where no process of the container's
 * is, inside is its own root. */
int container_fork(int (*body)(void *), void *argument, enum place, struct stdio, pid_t *pid, struct failure *);

bool container_is_up(void);
int container_signal_all(int number, struct failure *);
int container_freeze(struct failure *);   /* freezes the cgroup and syncs the file systems */
int container_thaw(struct failure *);
int container_sync(struct failure *);
/* Kills every process (cgroup.kill), waits for the cgroup to be empty, unmounts all, removes the cgroup: idle again. The
 * main process's zombie is left for the loop to reap. */
int container_stop(struct failure *);
/* A descriptor to poll for POLLPRI when the out-of-memory killer may have struck, or -1; and its count so far. */
int container_oom_descriptor(void);
uint64_t container_oom_count(void);

/* The limits in place of those it has, in its life; on a failure those are in force again. */
int container_update(const struct limits *, struct failure *);
/* A network device comes to the running container, or goes from it. */
int container_link(const struct link_spec *, struct failure *);
int container_unlink(uint8_t nic, struct failure *);
/* What it uses, by the kernel's own count (docs/protocol.md §9). `main`: its main process, 0 if that has ended. */
int container_usage(pid_t main, struct usage *, struct failure *);
/* One page of its processes, from the agent's id `start` on, as a whole frame (docs/protocol.md §10). */
int container_processes(struct box *, uint32_t request, uint32_t start, struct failure *);

/* Clock (ns since 1970, 0: leave) and entropy (credited by RNDADDENTROPY, then RNDRESEEDCRNG). A no-op if plain. */
int set_identity(uint64_t clock, struct blob entropy, bool plain, struct failure *);
/* The hardware's timers, of every processor, by what the kernel waits for. A no-op if plain. */
int set_timers_anew(bool plain, struct failure *);

/* As PID 1 of a machine, before anything else: mounts /proc, /sys, /dev, cgroup2; loads what is in /modules of the initramfs in
 * name order; returns a descriptor of the port `insula.agent`. Dies (reports on the console, powers off) on failure. */
int machine_init(void);
void machine_power_off(void);

#endif
