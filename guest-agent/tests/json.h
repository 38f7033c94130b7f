/* JSON to stdout, as far as the vectors need it. */
#ifndef INSULA_JSON_H
#define INSULA_JSON_H

#include <inttypes.h>
#include <stdio.h>

#include "document.h"

static const char *comma;

static void begin(char bracket)
{
	putchar(bracket);
	comma = "";
}

static void finish(char bracket)
{
	putchar(bracket);
	comma = ",";
}

static void key(const char *name)
{
	printf("%s", comma);
	if (name)
		printf("\"%s\":", name);
	comma = ",";
}

static void number(const char *name, uint64_t value)
{
	key(name);
	printf("%" PRIu64, value);
}

static void integer(const char *name, int64_t value)
{
	key(name);
	printf("%" PRId64, value);
}

static void hex(const char *name, const uint8_t *data, size_t size)
{
	key(name);
	putchar('"');
	for (size_t i = 0; i < size; i++)
		printf("%02x", data[i]);
	putchar('"');
}

/* Bytes above 127 go out as they are: the text is UTF-8. */
static void text(const char *name, const char *value)
{
	key(name);
	putchar('"');
	for (; *value; value++)
		if (*value == '"' || *value == '\\' || (unsigned char)*value < 32)
			printf("\\u%04x", (unsigned char)*value);
		else
			putchar(*value);
	putchar('"');
}

static void open_list(const char *name)
{
	key(name);
	begin('[');
}

static void texts(const char *name, struct strings strings)
{
	open_list(name);
	for (uint32_t i = 0; i < strings.count; i++)
		text(NULL, strings.items[i]);
	finish(']');
}

#endif
