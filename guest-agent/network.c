/* The machine's network devices, given to the container by rtnetlink: moved into its name space by the agent, then
 * named, addressed and raised from inside by its first process; and taken back before the name space ends, since the
 * kernel's own way of returning them takes its time. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"
#include "scope.h"

#define NICS 16

/* What the container has now, and its name space to take it back from. */
static struct { char name[IFNAMSIZ]; uint8_t nic; } given[NICS];
static uint32_t given_count;
static int given_space = -1, spare_space = -1;

struct message {
	struct nlmsghdr header;
	char room[512];
};

static void begin(struct message *message, uint16_t type, uint16_t flags, const void *body, size_t size)
{
	memset(message, 0, sizeof(*message));
	message->header.nlmsg_type = type;
	message->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	message->header.nlmsg_len = NLMSG_LENGTH(size);
	memcpy(NLMSG_DATA(&message->header), body, size);
}

static void put(struct message *message, uint16_t type, const void *data, size_t size)
{
	struct rtattr *attribute = (struct rtattr *)((char *)message + NLMSG_ALIGN(message->header.nlmsg_len));

	attribute->rta_type = type;
	attribute->rta_len = (uint16_t)RTA_LENGTH(size);
	memcpy(RTA_DATA(attribute), data, size);
	message->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(message->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len));
}

static int open_route(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}

/* Sends one request and reads its acknowledgement. */
static int ask(int route, const struct message *message)
{
	struct { struct nlmsghdr header; struct nlmsgerr error; char rest[1024]; } answer;

	if (send(route, message, message->header.nlmsg_len, 0) < 0)
		return -1;
	if (recv(route, &answer, sizeof(answer), 0) < (ssize_t)(sizeof(answer.header) + sizeof(answer.error)))
		return -1;
	if (answer.header.nlmsg_type != NLMSG_ERROR || answer.error.error) {
		errno = -answer.error.error;
		return -1;
	}
	return 0;
}

static int raise_device(int route, int index)
{
	struct ifinfomsg body = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct message message;

	begin(&message, RTM_NEWLINK, 0, &body, sizeof(body));
	return ask(route, &message);
}

/* A name that nothing else has, in either name space. */
static void passing_name(uint8_t nic, char *name)
{
	snprintf(name, IFNAMSIZ, "nic%u", nic);
}

static int move_device(int route, int index, uint8_t nic, uint16_t attribute, uint32_t where)
{
	struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = index};
	struct message message;
	char name[IFNAMSIZ];

	passing_name(nic, name);
	begin(&message, RTM_NEWLINK, 0, &body, sizeof(body));
	put(&message, IFLA_IFNAME, name, strlen(name) + 1);
	put(&message, attribute, &where, sizeof(where));
	return ask(route, &message);
}

/* The nth of the machine's virtio network devices, in the order of their virtio numbers. */
static int device_index(uint8_t nth)
{
	for (int number = 0, seen = 0; number < 64; number++) {
		char path[64];
		struct dirent *entry;

		snprintf(path, sizeof(path), "/sys/bus/virtio/devices/virtio%d/net", number);
		cleanup_closedir DIR *folder = opendir(path);
		while (folder && (entry = readdir(folder)))
			if (entry->d_name[0] != '.' && seen++ == nth)
				return (int)if_nametoindex(entry->d_name);
	}
	return 0;
}

/* A new name space with its lo raised, by descriptor. */
static int make_space(void)
{
	cleanup_close int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), made = -1;

	if (own < 0 || unshare(CLONE_NEWNET) < 0)
		return -1;
	cleanup_close int route = open_route();
	if (route >= 0 && raise_device(route, 1) == 0)
		made = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (setns(own, CLONE_NEWNET) < 0)
		warn("cannot come back from a new network name space: %m");
	return take_fd(&made);
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

int network_give(const struct boot_document *boot, struct failure *failure)
{
	if (!boot->link_count)
		return 0;
	if (boot->link_count > NICS)
		return fail_with(failure, STEP_NETWORK, E2BIG, "links");
	cleanup_close int route = open_route();
	if (route < 0)
		return fail(failure, STEP_NETWORK, "socket");
	for (uint32_t i = 0; i < boot->link_count; i++) {
		const struct link_spec *link = &boot->links[i];
		int index = device_index(link->nic);

		if (!index)
			return fail_with(failure, STEP_NETWORK, ENODEV, link->name);
		if (move_device(route, index, link->nic, IFLA_NET_NS_FD, (uint32_t)given_space) < 0)
			return fail(failure, STEP_NETWORK, link->name);
		snprintf(given[given_count].name, IFNAMSIZ, "%s", link->name);
		given[given_count++].nic = link->nic;
	}
	return 0;
}

/* A container that has renamed or moved its devices loses them only when the kernel gives them back by itself. */
static void take_all(int own)
{
	cleanup_close int route = open_route();

	for (uint32_t i = 0; i < given_count; i++) {
		char name[IFNAMSIZ];
		int index = (int)if_nametoindex(given[i].name);

		if (!index) { /* its first process ended before it had named it */
			passing_name(given[i].nic, name);
			index = (int)if_nametoindex(name);
		}
		if (!index || move_device(route, index, given[i].nic, IFLA_NET_NS_FD, (uint32_t)own) < 0)
			warn("cannot take back the network device %s: %m", given[i].name);
	}
}

void network_take_back(void)
{
	if (given_space < 0)
		return;
	cleanup_close int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own >= 0 && given_count && setns(given_space, CLONE_NEWNET) == 0) {
		take_all(own);
		if (setns(own, CLONE_NEWNET) < 0)
			warn("cannot leave the container's network: %m");
	}
	given_count = 0;
	close(take_fd(&given_space));
}

/* Named before it is raised: a device that is up cannot be. */
static int set_link(int route, const struct link_spec *link, int index)
{
	struct ifinfomsg body = {.ifi_index = index};
	struct message message;

	begin(&message, RTM_NEWLINK, 0, &body, sizeof(body));
	put(&message, IFLA_IFNAME, link->name, strlen(link->name) + 1);
	put(&message, IFLA_ADDRESS, link->mac, sizeof(link->mac));
	if (link->mtu)
		put(&message, IFLA_MTU, &link->mtu, sizeof(link->mtu));
	return ask(route, &message) < 0 ? -1 : raise_device(route, index);
}

/* Nobody else has a lease's address, so nobody is asked whether it is free: it can be used at once. */
static int add_address(int route, const struct address_spec *address, int index)
{
	bool six = address->family == 6;
	struct ifaddrmsg body = {
		.ifa_family = six ? AF_INET6 : AF_INET, .ifa_prefixlen = address->prefix, .ifa_index = (unsigned)index,
		.ifa_flags = six ? IFA_F_NODAD : 0,
	};
	struct message message;

	begin(&message, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
	put(&message, IFA_LOCAL, address->address, six ? 16 : 4);
	put(&message, IFA_ADDRESS, address->address, six ? 16 : 4);
	return ask(route, &message);
}

static int add_route(int route, const struct route_spec *spec, int index)
{
	static const uint8_t none[16];
	bool six = spec->family == 6, direct = !memcmp(spec->gateway, none, six ? 16 : 4);
	struct rtmsg body = {
		.rtm_family = six ? AF_INET6 : AF_INET, .rtm_dst_len = spec->prefix, .rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BOOT, .rtm_scope = direct && !six ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};
	struct message message;

	begin(&message, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
	if (spec->prefix)
		put(&message, RTA_DST, spec->destination, six ? 16 : 4);
	if (!direct)
		put(&message, RTA_GATEWAY, spec->gateway, six ? 16 : 4);
	put(&message, RTA_OIF, &index, sizeof(index));
	return ask(route, &message);
}

static int set_up_link(int route, const struct link_spec *link)
{
	char passing[IFNAMSIZ];
	int index;

	passing_name(link->nic, passing);
	index = (int)if_nametoindex(passing);
	if (!index || set_link(route, link, index) < 0)
		return -1;
	for (uint32_t i = 0; i < link->address_count; i++)
		if (add_address(route, &link->addresses[i], index) < 0)
			return -1;
	for (uint32_t i = 0; i < link->route_count; i++)
		if (add_route(route, &link->routes[i], index) < 0)
			return -1;
	return 0;
}

int network_set_up(const struct boot_document *boot, struct failure *failure)
{
	cleanup_close int route = boot->link_count ? open_route() : -1;

	for (uint32_t i = 0; i < boot->link_count; i++)
		if (set_up_link(route, &boot->links[i]) < 0)
			return fail(failure, STEP_NETWORK, boot->links[i].name);
	return 0;
}
