/* The numbers in the texts of the guest's own kernel: cgroup files and /proc. No I/O here.
 *
 * What is not there reads as zero, for kernels differ in what they count. */
#ifndef INSULA_KERNEL_TEXT_H
#define INSULA_KERNEL_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "message.h"

enum { TICK = 10000000 }; /* nanoseconds: what the kernel tells user space is in hundredths of a second */

/* The number behind a key at the beginning of a line ("anon 4096", "MemTotal:   1024 kB"). */
uint64_t text_number(const char *text, const char *key);
/* The number that is a file's only content; 0 for "max". */
uint64_t text_limit(const char *text);

uint32_t text_devices(const char *text, struct usage_device *, uint32_t most); /* io.stat */
uint32_t text_links(const char *text, struct usage_link *, uint32_t most); /* /proc/net/dev */
void text_processors(const char *text, uint32_t *count, uint64_t *time); /* /proc/stat */

/* /proc/PID/stat; false: it is none, or a thread of the kernel's own. The name points into the text. */
bool text_process(const char *text, struct process_row *);
/* /proc/PID/status: ids, and the container's numbers (the `level`th of each); false: it is in no name space so deep. */
bool text_status(const char *text, int level, struct process_row *);

#endif
