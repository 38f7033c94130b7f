/* The machine's network devices, given to the container by rtnetlink: moved into its name space by the agent, then
 * named, addressed and raised from inside by its first process; and taken back before the name space ends, since the
 * kernel's own way of returning them takes its time. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"
#include "route.h"
#include "scope.h"

#define NICS 16
#define VIRTIO_DEVICES 64

/* What the container has now, by the devices' numbers (an empty name: it has not), and its name space to take it back
 * from. virtio_of: the virtio number of each, and one; 0 is none. */
static char given[NICS][IFNAMSIZ];
static int virtio_of[NICS];
static int given_space = -1, spare_space = -1;

/* A name that nothing else has, in either name space. */
static void passing_name(uint8_t nic, char *name)
{
	snprintf(name, IFNAMSIZ, "nic%u", nic);
}

static int move_device(int route, int index, uint8_t nic, int space)
{
	char name[IFNAMSIZ];

	passing_name(nic, name);
	return route_move(route, index, name, space);
}

/* The name of the network device that a virtio device is now, if it is one and in the agent's name space. */
static bool device_name(int number, char *name)
{
	char path[64];
	struct dirent *entry;

	snprintf(path, sizeof(path), "/sys/bus/virtio/devices/virtio%d/net", number);
	cleanup_closedir DIR *folder = opendir(path);
	while (folder && (entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			return (size_t)snprintf(name, IFNAMSIZ, "%s", entry->d_name) < IFNAMSIZ;
	return false;
}

/* Which virtio device is which: by the last octet of the address that the host gave it, read before any container has
 * set another one. The order in which a kernel finds them is the machine type's. */
static void find_devices(void)
{
	static bool found;

	for (int number = 0; !found && number < VIRTIO_DEVICES; number++) {
		char name[IFNAMSIZ], path[64], address[32];
		unsigned nic;

		if (!device_name(number, name))
			continue;
		snprintf(path, sizeof(path), "/sys/class/net/%s/address", name);
		if (read_text(path, address, sizeof(address)) >= 17 && sscanf(address + 15, "%2x", &nic) == 1 && nic < NICS)
			virtio_of[nic] = number + 1;
	}
	found = true;
}

static int device_index(uint8_t nic)
{
	char name[IFNAMSIZ];

	find_devices();
	if (nic >= NICS || !virtio_of[nic] || !device_name(virtio_of[nic] - 1, name))
		return 0;
	return (int)if_nametoindex(name);
}

/* A new name space with its lo raised, by descriptor. */
static int make_space(void)
{
	cleanup_close int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), made = -1;

	if (own < 0 || unshare(CLONE_NEWNET) < 0)
		return -1;
	cleanup_close int route = route_open();
	if (route >= 0 && route_raise(route, 1) == 0)
		made = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (setns(own, CLONE_NEWNET) < 0)
		warn("cannot come back from a new network name space: %m");
	return take_fd(&made);
}

/* Into the container's name space, with the agent's to come back to; -1 if there is none. */
static int enter_space(void)
{
	cleanup_close int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	if (own < 0 || setns(given_space, CLONE_NEWNET) < 0)
		return -1;
	return take_fd(&own);
}

static void leave_space(int own)
{
	int number = errno;

	if (setns(own, CLONE_NEWNET) < 0)
		warn("cannot leave the container's network: %m");
	errno = number;
}

void network_make_spare(void)
{
	if (spare_space < 0)
		spare_space = make_space();
}

int network_space(struct failure *failure)
{
	given_space = spare_space >= 0 ? take_fd(&spare_space) : make_space();
	return given_space < 0 ? fail(failure, STEP_NAMESPACES, "network") : given_space;
}

static int give(int route, const struct link_spec *link, struct failure *failure)
{
	int index = device_index(link->nic);

	if (!index)
		return fail_with(failure, STEP_NETWORK, ENODEV, link->name);
	if (move_device(route, index, link->nic, given_space) < 0)
		return fail(failure, STEP_NETWORK, link->name);
	snprintf(given[link->nic], IFNAMSIZ, "%s", link->name);
	return 0;
}

int network_give(const struct boot_document *boot, struct failure *failure)
{
	if (!boot->link_count)
		return 0;
	cleanup_close int route = route_open();
	if (route < 0)
		return fail(failure, STEP_NETWORK, "socket");
	for (uint32_t i = 0; i < boot->link_count; i++)
		if (give(route, &boot->links[i], failure) < 0)
			return -1;
	return 0;
}

/* In the container's name space: a device of its own back to the agent's. */
static int take(int route, uint8_t nic, int own)
{
	char name[IFNAMSIZ];
	int index = (int)if_nametoindex(given[nic]);

	if (!index) { /* its first process ended before it had named it */
		passing_name(nic, name);
		index = (int)if_nametoindex(name);
	}
	if (!index) {
		errno = ENODEV;
		return -1;
	}
	return move_device(route, index, nic, own);
}

/* A container that has renamed or moved its devices loses them only when the kernel gives them back by itself. */
static void take_all(int own)
{
	cleanup_close int route = route_open();

	for (uint8_t nic = 0; nic < NICS; nic++)
		if (*given[nic] && take(route, nic, own) < 0)
			warn("cannot take back the network device %s: %m", given[nic]);
}

static bool any_given(void)
{
	for (uint8_t nic = 0; nic < NICS; nic++)
		if (*given[nic])
			return true;
	return false;
}

void network_take_back(void)
{
	if (given_space < 0)
		return;
	cleanup_close int own = any_given() ? enter_space() : -1;
	if (own >= 0) {
		take_all(own);
		leave_space(own);
	}
	memset(given, 0, sizeof(given));
	close(take_fd(&given_space));
}

static int set_routes(int route, const struct link_spec *link, int index)
{
	for (uint32_t i = 0; i < link->route_count; i++)
		if (route_set(route, &link->routes[i], index) < 0)
			return -1;
	return 0;
}

static int set_up_link(int route, const struct link_spec *link)
{
	char passing[IFNAMSIZ];
	int index;

	passing_name(link->nic, passing);
	index = (int)if_nametoindex(passing);
	if (!index || route_name(route, link, index) < 0)
		return -1;
	for (uint32_t i = 0; i < link->address_count; i++)
		if (route_address(route, &link->addresses[i], index) < 0)
			return -1;
	return set_routes(route, link, index);
}

int network_set_up(const struct boot_document *boot, struct failure *failure)
{
	cleanup_close int route = boot->link_count ? route_open() : -1;

	for (uint32_t i = 0; i < boot->link_count; i++)
		if (set_up_link(route, &boot->links[i]) < 0)
			return fail(failure, STEP_NETWORK, boot->links[i].name);
	return 0;
}

/* In the container's name space, of one that runs: a new link set up, or the routes of one that it has set anew; what
 * fails half way goes back to the agent. */
static int link_inside(const struct link_spec *link, bool had, int own)
{
	cleanup_close int route = route_open();

	if (route < 0)
		return -1;
	if (had) {
		int index = (int)if_nametoindex(link->name);

		return index ? set_routes(route, link, index) : (errno = ENODEV, -1);
	}
	if (set_up_link(route, link) == 0)
		return 0;
	int number = errno;
	if (take(route, link->nic, own) < 0)
		warn("cannot take back the network device %s: %m", link->name);
	*given[link->nic] = 0;
	errno = number;
	return -1;
}

int network_link(const struct link_spec *link, struct failure *failure)
{
	bool had = link->nic < NICS && *given[link->nic];
	int done;

	if (had && strcmp(given[link->nic], link->name))
		return fail_with(failure, STEP_NETWORK, EEXIST, link->name);
	cleanup_close int route = route_open();
	if (route < 0)
		return fail(failure, STEP_NETWORK, "socket");
	if (!had && give(route, link, failure) < 0)
		return -1;
	cleanup_close int own = enter_space();
	if (own < 0)
		return fail(failure, STEP_NETWORK, "setns");
	done = link_inside(link, had, own);
	leave_space(own);
	return done < 0 ? fail(failure, STEP_NETWORK, link->name) : 0;
}

int network_unlink(uint8_t nic, struct failure *failure)
{
	int done = -1;

	if (nic >= NICS || !*given[nic])
		return 0; /* a repeat */
	cleanup_close int own = enter_space();
	if (own < 0)
		return fail(failure, STEP_NETWORK, "setns");
	cleanup_close int route = route_open();
	if (route >= 0)
		done = take(route, nic, own);
	leave_space(own);
	if (done < 0)
		return fail(failure, STEP_NETWORK, given[nic]);
	*given[nic] = 0;
	return 0;
}
