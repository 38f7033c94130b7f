/* How the agent says that something failed. One line a report, by one write, so that lines do not mix. */
#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void (*die_hook)(void);

static void print_line(const char *format, va_list arguments)
{
	char line[1024] = "insula-agent: ";
	size_t prefix = strlen(line);
	size_t room = sizeof(line) - prefix - 1; /* one for the newline */
	int length = vsnprintf(line + prefix, room, format, arguments);
	size_t size = prefix + (length < 0 ? 0 : (size_t)length < room ? (size_t)length : room - 1);

	line[size++] = '\n';
	if (write(STDERR_FILENO, line, size) < 0)
		return; /* there is nobody left to tell */
}

void warn(const char *format, ...)
{
	int saved = errno;
	va_list arguments;

	va_start(arguments, format);
	print_line(format, arguments);
	va_end(arguments);
	errno = saved;
}

void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_line(format, arguments);
	va_end(arguments);
	if (die_hook)
		die_hook();
	_exit(1);
}

int fail_with(struct failure *failure, enum step step, int number, const char *detail)
{
	failure->step = (uint16_t)step;
	failure->number = number;
	snprintf(failure->detail, sizeof(failure->detail), "%s", detail);
	return -1;
}

int fail(struct failure *failure, enum step step, const char *detail)
{
	return fail_with(failure, step, errno, detail);
}

void *allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory)
		die("out of memory: %zu bytes", size);
	return memory;
}

char *copy_string(const char *text)
{
	size_t size = strlen(text) + 1;

	return memcpy(allocate(size), text, size);
}
