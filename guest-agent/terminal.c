/* Pseudo-terminals. */
#define _GNU_SOURCE
#include "terminal.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "report.h"
#include "scope.h"

enum { MASTER_FLAGS = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC };

/* The multiplexer of a process's own devpts; -1 if what lies there is not one. Its root is the container's to fill, so
 * no link in it is followed. */
static int open_inside(pid_t inside)
{
	struct open_how how = {.flags = MASTER_FLAGS, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS};
	char path[64];
	struct stat status;

	snprintf(path, sizeof(path), "/proc/%d/root", inside);
	cleanup_close int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_close int master = root < 0 ? -1 : (int)syscall(SYS_openat2, root, "dev/pts/ptmx", &how, sizeof(how));
	if (master < 0 || fstat(master, &status) < 0 || !S_ISCHR(status.st_mode) || status.st_rdev != makedev(5, 2))
		return -1;
	return take_fd(&master);
}

int terminal_open(pid_t inside, int *master, int *slave, struct failure *failure)
{
	cleanup_close int opened = inside ? open_inside(inside) : -1;
	int unlocked = 0;

	if (opened < 0)
		opened = open("/dev/ptmx", MASTER_FLAGS);
	if (opened < 0)
		return fail(failure, STEP_TERMINAL, "/dev/ptmx");
	if (ioctl(opened, TIOCSPTLCK, &unlocked) < 0)
		return fail(failure, STEP_TERMINAL, "TIOCSPTLCK");
	*slave = ioctl(opened, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*slave < 0)
		return fail(failure, STEP_TERMINAL, "TIOCGPTPEER");
	*master = take_fd(&opened);
	return 0;
}

void terminal_resize(int master, uint16_t rows, uint16_t columns)
{
	struct winsize size = {.ws_row = rows, .ws_col = columns};

	if ((rows || columns) && ioctl(master, TIOCSWINSZ, &size) < 0)
		warn("TIOCSWINSZ: %m");
}

void terminal_end_input(int master, int times)
{
	struct termios settings;
	char character;

	if (tcgetattr(master, &settings) < 0 || settings.c_cc[VEOF] == _POSIX_VDISABLE)
		return;
	character = (char)settings.c_cc[VEOF];
	/* Not in raw mode: there it is a byte like any other, and the program would read it. */
	while (settings.c_lflag & ICANON && times-- > 0)
		if (write(master, &character, 1) != 1)
			return;
}
