/* connect SOCKET: its input to the socket, to its end; what comes back to its output, until the other side closes. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static bool move(int from, int to)
{
	char block[1 << 16];
	ssize_t size = read(from, block, sizeof(block)), done = 0, now;

	for (; size > 0 && done < size; done += now)
		if ((now = write(to, block + done, (size_t)(size - done))) < 0)
			return false;
	return size > 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (argc != 2)
		return 64;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		perror(argv[1]);
		return 1;
	}
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* what answered has closed: no more is asked */
		while (move(0, fd))
			;
		shutdown(fd, SHUT_WR);
		_exit(0);
	}
	while (move(fd, 1))
		;
	return 0;
}
