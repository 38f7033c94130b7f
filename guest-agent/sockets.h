/* Sockets that a container has of the host's: at the target of such a mount the agent listens, and each connection
 * becomes two streams to the host, which connects to the real one (docs/protocol.md §2). */
#ifndef INSULA_SOCKETS_H
#define INSULA_SOCKETS_H

#include <stdbool.h>

#include "document.h"

/* Listens for every such mount of the document, before its container is made; the child that becomes it finds the
 * sockets below the agent's folder. `plain`: at the targets themselves. What fails leaves none. */
int sockets_open(const struct boot_document *, bool plain, struct failure *);
/* Takes what waits, as far as there is room: after a greeting, and when a connection has been released. */
void sockets_accept(void);
void sockets_close(void); /* the connections too */

#endif
