/* How the agent says that something failed: to the host by a failure, on the console by die() and warn().
 *
 * die() is for the time before the event loop runs; PID 1 must not end, so afterwards only warn(). Both keep errno
 * and print %m of it. A failure names a step and a path or name: the host makes the sentence. */
#ifndef INSULA_REPORT_H
#define INSULA_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "document.h"

#define PRINTF_LIKE __attribute__((format(printf, 1, 2)))

_Noreturn void die(const char *format, ...) PRINTF_LIKE;
void warn(const char *format, ...) PRINTF_LIKE;

/* Both fill in the failure and return -1; fail() takes the number from errno. */
int fail(struct failure *, enum step, const char *detail);
int fail_with(struct failure *, enum step, int number, const char *detail);

/* Called by die() in place of exit(1) when set: a machine is powered off. */
extern void (*die_hook)(void);

/* Allocation that dies when there is none left, zeroed. */
void *allocate(size_t size);
char *copy_string(const char *text);

#endif
