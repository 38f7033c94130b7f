/* What the host asks for, done and answered. */
#ifndef INSULA_REQUEST_H
#define INSULA_REQUEST_H

#include <stdbool.h>

#include "wire.h"

void requests_init(bool plain);
void request_hello(void);
void request_frame(const struct frame *);
/* Kills all that runs, and ends: a machine is powered off. */
_Noreturn void request_power_off(void);

#endif
