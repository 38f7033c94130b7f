/* Requests to the kernel's rtnetlink, each sent and acknowledged before the next. */
#define _GNU_SOURCE
#include "route.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

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

int route_open(void)
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

int route_raise(int route, int index)
{
	struct ifinfomsg body = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct message message;

	begin(&message, RTM_NEWLINK, 0, &body, sizeof(body));
	return ask(route, &message);
}

int route_move(int route, int index, const char *name, int space)
{
	struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = index};
	struct message message;

	begin(&message, RTM_NEWLINK, 0, &body, sizeof(body));
	put(&message, IFLA_IFNAME, name, strlen(name) + 1);
	put(&message, IFLA_NET_NS_FD, &space, sizeof(space));
	return ask(route, &message);
}

/* Named before it is raised: a device that is up cannot be. */
int route_name(int route, const struct link_spec *link, int index)
{
	struct ifinfomsg body = {.ifi_index = index};
	struct message message;

	begin(&message, RTM_NEWLINK, 0, &body, sizeof(body));
	put(&message, IFLA_IFNAME, link->name, strlen(link->name) + 1);
	put(&message, IFLA_ADDRESS, link->mac, sizeof(link->mac));
	if (link->mtu)
		put(&message, IFLA_MTU, &link->mtu, sizeof(link->mtu));
	return ask(route, &message) < 0 ? -1 : route_raise(route, index);
}

/* Nobody else has a lease's address, so nobody is asked whether it is free: it can be used at once. */
int route_address(int route, const struct address_spec *address, int index)
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

/* In place of the one to the same destination, if there is one: the default route may move from link to link. */
int route_set(int route, const struct route_spec *spec, int index)
{
	static const uint8_t none[16];
	bool six = spec->family == 6, direct = !memcmp(spec->gateway, none, six ? 16 : 4);
	struct rtmsg body = {
		.rtm_family = six ? AF_INET6 : AF_INET, .rtm_dst_len = spec->prefix, .rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BOOT, .rtm_scope = direct && !six ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};
	struct message message;

	begin(&message, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof(body));
	if (spec->prefix)
		put(&message, RTA_DST, spec->destination, six ? 16 : 4);
	if (!direct)
		put(&message, RTA_GATEWAY, spec->gateway, six ? 16 : 4);
	put(&message, RTA_OIF, &index, sizeof(index));
	return ask(route, &message);
}
