/* The out-of-memory killer's strikes in the container, told to the host as they come. */
#ifndef INSULA_OOM_H
#define INSULA_OOM_H

#include <stdbool.h>

void oom_watch(void); /* the container is up */
void oom_forget(void); /* before it is taken apart */
/* Whether it has struck since the boot; `look` asks the kernel instead of the last notice. */
bool oom_has_struck(bool look);
void oom_tell(void); /* to a host that has just connected */

#endif
