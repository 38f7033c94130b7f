/* The event loop: epoll, with every signal read from a signalfd.
 *
 * Everything is watched edge-triggered: whoever is called notes that its descriptor is ready and works until it is
 * not, or until there is no room. So a full ring costs no system call to stop, a hung-up port or pipe does not spin,
 * and nothing polls. A watch may be removed from within any callback, its own included. */
#ifndef INSULA_LOOP_H
#define INSULA_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct watch {
	int fd;
	void (*ready)(struct watch *, uint32_t events);
};

/* Blocks all signals and makes the loop. */
void loop_init(void (*on_signal)(int number));
void loop_add(struct watch *, uint32_t events);
void loop_change(struct watch *, uint32_t events);
void loop_remove(struct watch *);

/* For ever: waits, calls whoever is ready, then `settle`, which returns true to be called again without waiting. */
_Noreturn void loop_run(bool (*settle)(void));

#endif
