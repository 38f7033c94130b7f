/* Network devices, addresses and routes by rtnetlink: of the name space that `route` was opened in. All return 0, or -1
 * with errno set. */
#ifndef INSULA_ROUTE_H
#define INSULA_ROUTE_H

#include "document.h"

int route_open(void); /* a descriptor */
int route_raise(int route, int index);
/* Into another name space, by its descriptor, under this name there. */
int route_move(int route, int index, const char *name, int space);
/* Its name, MAC and MTU; then raised. */
int route_name(int route, const struct link_spec *, int index);
int route_address(int route, const struct address_spec *, int index);
int route_set(int route, const struct route_spec *, int index);

#endif
