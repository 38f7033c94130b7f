/* Pseudo-terminals. */
#ifndef INSULA_TERMINAL_H
#define INSULA_TERMINAL_H

#include <stdint.h>

#include <sys/types.h>

#include "document.h"

/* Both ends are close-on-exec, the master non-blocking. A terminal that belongs to the devpts of the container whose
 * process `inside` is (0: the agent's own) has a name there. */
int terminal_open(pid_t inside, int *master, int *slave, struct failure *);
/* A size of 0 by 0 is left as it is. */
void terminal_resize(int master, uint16_t rows, uint16_t columns);
/* Sends the terminal's end-of-file character so many times. */
void terminal_end_input(int master, int times);

#endif
