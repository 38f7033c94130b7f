/* Folders and empty files at paths in the container's tree, which an image made and may have filled with links. It
 * runs after pivot_root, so a link can lead nowhere but into the container itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"
#include "scope.h"

int place_folder(const char *path, mode_t mode)
{
	char part[PATH_MAX];

	if (mkdir(path, mode) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT || strlen(path) >= sizeof(part))
		return -1;
	strcpy(part, path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return -1;
		*slash = '/';
	}
	return mkdir(path, mode) < 0 && errno != EEXIST ? -1 : 0;
}

int place_file(const char *path, mode_t mode)
{
	char folder[PATH_MAX];
	char *slash;
	int fd;

	if (access(path, F_OK) == 0)
		return 0; /* to open it for writing would copy it up from its layer */
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode);
	if (fd < 0 && errno == ENOENT && strlen(path) < sizeof(folder)) {
		strcpy(folder, path);
		slash = strrchr(folder, '/');
		if (slash && slash != folder) {
			*slash = 0;
			if (place_folder(folder, 0755) < 0)
				return -1;
		}
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode);
	}
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}
