/* What a variable lets go of when its scope ends, so that an early return is the only control flow needed.
 *
 * Ownership leaves a scope by take_fd() or take_pointer(), which empty the variable. Freeing nothing and closing -1
 * are no-ops, and errno survives all of it. */
#ifndef INSULA_SCOPE_H
#define INSULA_SCOPE_H

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void close_scoped(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static inline void free_scoped(void *pointer)
{
	int saved = errno;

	free(*(void **)pointer);
	errno = saved;
}

static inline void closedir_scoped(DIR **directory)
{
	int saved = errno;

	if (*directory)
		closedir(*directory);
	errno = saved;
}

#define cleanup_close __attribute__((cleanup(close_scoped)))
#define cleanup_free __attribute__((cleanup(free_scoped)))
#define cleanup_closedir __attribute__((cleanup(closedir_scoped)))

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define take_pointer(variable) ({ __auto_type taken_ = (variable); (variable) = NULL; taken_; })

#endif
