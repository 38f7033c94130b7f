/* Which ids a user string means in this container: Docker's forms (name, uid, name:group, uid:gid, …), looked up in the
 * container's own passwd and group. It runs in the child that is about to become that user's program, inside the
 * container's root: whatever these hostile files do to a reader, they do to their own container. They are read once,
 * up to a bound, and without waiting. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"
#include "scope.h"

#define FILE_BYTES (4 << 20)
#define ID_MAX 0x7fffffffL

enum number { NOT_A_NUMBER, NUMBER, OUT_OF_RANGE };

static enum number parse_id(const char *text, long *id)
{
	char *end;

	errno = 0;
	*id = strtol(text, &end, 10);
	if (end == text || *end || *text == ' ')
		return NOT_A_NUMBER;
	return errno || *id < 0 || *id > ID_MAX ? OUT_OF_RANGE : NUMBER;
}

/* Splits a line of colon-separated fields in place; returns how many there are. */
static int split(char *line, char **fields, int most)
{
	int count = 0;

	while (count < most) {
		fields[count++] = line;
		line = strchr(line, ':');
		if (!line)
			break;
		*line++ = 0;
	}
	return count;
}

/* All of a file, with a NUL behind; empty if there is none. */
static char *read_all(const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text = allocate(FILE_BYTES + 1); /* untouched pages cost nothing */
	ssize_t got = 1;

	for (size_t used = 0; fd >= 0 && got > 0 && used < FILE_BYTES; used += (size_t)got)
		if ((got = read(fd, text + used, FILE_BYTES - used)) < 0)
			break;
	return text;
}

/* Calls visit for each line's fields until it returns true. */
static bool each_line(const char *path, int most, bool (*visit)(char **, int, void *), void *argument)
{
	cleanup_free char *text = read_all(path);
	char *fields[8];

	for (char *line = text, *next; *line; line = next) {
		next = strchrnul(line, '\n');
		if (*next)
			*next++ = 0;
		if (visit(fields, split(line, fields, most), argument))
			return true;
	}
	return false;
}

struct passwd_search { const char *name; long uid, gid; char home[256], found_name[256]; };

static bool match_user(char **fields, int count, void *argument)
{
	struct passwd_search *search = argument;
	long uid, gid;

	if (count < 6 || parse_id(fields[2], &uid) != NUMBER || parse_id(fields[3], &gid) != NUMBER)
		return false;
	if (search->name ? strcmp(fields[0], search->name) != 0 : uid != search->uid)
		return false;
	search->uid = uid;
	search->gid = gid;
	snprintf(search->home, sizeof(search->home), "%s", fields[5]);
	snprintf(search->found_name, sizeof(search->found_name), "%s", fields[0]);
	return true;
}

struct group_search { const char *name; long gid; };

static bool match_group(char **fields, int count, void *argument)
{
	struct group_search *search = argument;
	long gid;

	if (count < 3 || parse_id(fields[2], &gid) != NUMBER || strcmp(fields[0], search->name))
		return false;
	search->gid = gid;
	return true;
}

static int add_group(struct identity *identity, long gid)
{
	for (size_t i = 0; i < identity->group_count; i++)
		if (identity->groups[i] == (gid_t)gid)
			return 0;
	if (identity->group_count >= sizeof(identity->groups) / sizeof(gid_t))
		return -1;
	identity->groups[identity->group_count++] = (gid_t)gid;
	return 0;
}

struct member_search { const char *user; struct identity *identity; };

static bool note_membership(char **fields, int count, void *argument)
{
	struct member_search *search = argument;
	char *rest, *member;
	long gid;

	if (count < 4 || parse_id(fields[2], &gid) != NUMBER)
		return false;
	for (member = strtok_r(fields[3], ",", &rest); member; member = strtok_r(NULL, ",", &rest))
		if (!strcmp(member, search->user) && add_group(search->identity, gid) < 0)
			return true;
	return false;
}

/* A number is a gid whatever the file says, but for an additional group, whose name may be a number. */
static int find_group(const char *name, bool by_name, long *gid, struct failure *failure)
{
	struct group_search search = {.name = name};
	enum number number = parse_id(name, gid);

	if (number == NUMBER && !by_name)
		return 0;
	if (each_line("/etc/group", 4, match_group, &search))
		*gid = search.gid;
	else if (number != NUMBER)
		return fail_with(failure, STEP_USER, number == OUT_OF_RANGE ? ERANGE : ENOENT, name);
	return 0;
}

static int add_groups(const struct process_spec *spec, struct identity *identity, struct failure *failure)
{
	for (uint32_t i = 0; i < spec->groups.count; i++) {
		long gid;

		if (find_group(spec->groups.items[i], true, &gid, failure) < 0)
			return -1;
		if (add_group(identity, gid) < 0)
			return fail_with(failure, STEP_USER, E2BIG, spec->groups.items[i]);
	}
	return 0;
}

/* A number is a uid whatever the file says; it may be no user's. */
static int find_user(const char *name, struct passwd_search *search, struct failure *failure)
{
	enum number number = *name ? parse_id(name, &search->uid) : NUMBER;

	search->name = number == NUMBER ? NULL : name;
	if (each_line("/etc/passwd", 7, match_user, search) || number == NUMBER)
		return 0;
	return fail_with(failure, STEP_USER, number == OUT_OF_RANGE ? ERANGE : ENOENT, name);
}

int user_find(const struct process_spec *spec, struct identity *identity, struct failure *failure)
{
	char name[260];
	struct passwd_search search = {.uid = 0, .home = "/"};
	char *group;

	if ((size_t)snprintf(name, sizeof(name), "%s", spec->user) >= sizeof(name))
		return fail_with(failure, STEP_USER, ENAMETOOLONG, "user");
	group = strchr(name, ':');
	if (group)
		*group++ = 0;
	if (find_user(name, &search, failure) < 0)
		return -1;
	if (group && *group && find_group(group, false, &search.gid, failure) < 0)
		return -1;
	identity->uid = (uid_t)search.uid;
	identity->gid = (gid_t)search.gid;
	/* Its own group is among the others: a file that denies the group access must not be open to it for want of it. */
	add_group(identity, search.gid);
	if (!(group && *group) && *search.found_name) {
		struct member_search members = {search.found_name, identity};

		each_line("/etc/group", 4, note_membership, &members);
	}
	snprintf(identity->home, sizeof(identity->home), "%s", *search.home ? search.home : "/");
	return add_groups(spec, identity, failure);
}
