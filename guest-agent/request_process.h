/* What the host says of a process: how it is to be launched, its input, what of its output is kept, its terminal's size. */
#ifndef INSULA_REQUEST_PROCESS_H
#define INSULA_REQUEST_PROCESS_H

#include "document.h"
#include "process.h"
#include "wire.h"

struct launch launch_of(const struct process_spec *);
int fail_malformed(struct failure *);
int do_input(struct cursor *, struct failure *);
int do_input_end(struct cursor *, struct failure *);
int do_ack(struct cursor *, struct failure *);
int do_resume(struct cursor *, struct failure *);
int do_resize(struct cursor *, struct failure *);
int do_release(struct cursor *, struct failure *);

#endif
