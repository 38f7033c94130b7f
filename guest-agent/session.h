/* The connection to the host: the port or socket, the epoch, and what waits to be sent (docs/protocol.md §1 and §2).
 *
 * What is put into session_box() goes out when the loop settles, in one write if the port takes it, ahead of any data
 * frame. Without an epoch (no HELLO yet) it is thrown away: WELCOME will tell it anew.
 *
 * The port while no host is there: the driver wakes the loop once when the host goes and once when it comes (and when
 * there is data); read() says 0 and write() EAGAIN meanwhile, and poll() EPOLLHUP all the time. Watched level-triggered
 * that would spin; edge-triggered it is one wakeup a change. EPOLLOUT is asked for only after a write that found no
 * room, once, so that the host's consuming does not wake the loop for nothing, and EPOLLHUP never counts as room, or
 * asking anew would spin after all. So the host's absence needs no state here: nothing is read, one write fails, output
 * stays in its rings, and a HELLO starts anew; what was half written then is dropped. */
#ifndef INSULA_SESSION_H
#define INSULA_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

enum session_kind {
	SESSION_PORT, /* a virtio port: comes and goes by itself */
	SESSION_SOCKET, /* a connected socket: its end is the agent's */
	SESSION_LISTEN, /* a listening socket: one connection after the other */
};

/* `on_frame` gets each frame of the current epoch; `on_hello` each HELLO, after which `box` is of its epoch. */
struct session_events {
	void (*on_hello)(void);
	void (*on_frame)(const struct frame *);
	void (*on_end)(void); /* the socket has ended */
};

void session_open(int fd, enum session_kind, const struct session_events *);
struct box *session_box(void);
bool session_is_live(void); /* a HELLO has come */

/* Reads, handles and writes all that can be; true: there is more to do at once. */
bool session_settle(void);

#endif
