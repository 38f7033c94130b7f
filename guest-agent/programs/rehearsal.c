/* The program of a rehearsal (hypervisor/insula/guest/rehearsal.py): does what programs do first, so that the
 * machine has done it once: writes, reads, forks, executes itself, is waited for, maps memory. Says nothing that
 * anybody reads, and succeeds. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int again(char *self)
{
	pid_t child = fork();
	if (child < 0)
		return 1;
	if (child == 0) {
		char *arguments[] = {self, "child", NULL};
		execv(self, arguments);
		_exit(1);
	}
	int status = 1;
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int count, char **arguments)
{
	if (count > 1)
		return 0;
	int file = open("/tmp/rehearsal", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (file >= 0) {
		if (write(file, "x", 1) != 1)
			return 1;
		close(file);
		unlink("/tmp/rehearsal");
	}
	char *memory = malloc(1 << 20);
	if (memory == NULL)
		return 1;
	memset(memory, 1, 1 << 20);
	struct stat stat_buffer;
	stat("/etc/passwd", &stat_buffer);
	puts("rehearsal");
	fflush(stdout);
	fputs("rehearsal\n", stderr);
	free(memory);
	for (int i = 0; i < 3; i++)
		if (again(arguments[0]) != 0)
			return 1;
	return 0;
}
