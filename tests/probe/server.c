/* A server for tests of ports, in a container where no other program may be had.
 *
 *   server PORT
 *
 * By TCP: whoever has ended its direction is told how many bytes came; whoever begins with `D` and a length (8 bytes,
 * big-endian) is sent so many instead. By UDP: datagrams are sent back. Says `ready` once it listens. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PLACES = 2048, FIRST = 2, HEAD = 9 };

struct connection { uint64_t count, left; uint8_t head[HEAD]; };

static struct pollfd ends[PLACES];
static struct connection connections[PLACES];
static nfds_t end_count;
static char room[1 << 16];

static int listen_on(int type, int port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	int end = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), off = 0, on = 1;

	setsockopt(end, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(end, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(end, (struct sockaddr *)&any, sizeof(any)) < 0 || (type == SOCK_STREAM && listen(end, 1024) < 0)) {
		perror("bind");
		exit(1);
	}
	return end;
}

static void add(int end)
{
	if (end_count == PLACES) {
		close(end);
		return;
	}
	memset(&connections[end_count], 0, sizeof(*connections));
	ends[end_count++] = (struct pollfd){.fd = end, .events = POLLIN};
}

static void forget(nfds_t place)
{
	close(ends[place].fd);
	end_count--;
	ends[place] = ends[end_count];
	connections[place] = connections[end_count];
}

static void send_back(int end)
{
	struct sockaddr_in6 peer;
	socklen_t size = sizeof(peer);
	ssize_t got = recvfrom(end, room, sizeof(room), 0, (struct sockaddr *)&peer, &size);

	if (got >= 0)
		sendto(end, room, (size_t)got, 0, (struct sockaddr *)&peer, size);
}

/* False: it is over. */
static bool write_more(nfds_t place)
{
	struct connection *connection = &connections[place];
	size_t size = connection->left < sizeof(room) ? connection->left : sizeof(room);
	ssize_t put = send(ends[place].fd, room, size, MSG_NOSIGNAL);

	if (put < 0)
		return errno == EAGAIN;
	connection->left -= (uint64_t)put;
	return connection->left > 0;
}

static void read_head(nfds_t place, ssize_t got)
{
	struct connection *connection = &connections[place];

	for (ssize_t i = 0; i < got && connection->count + (uint64_t)i < HEAD; i++)
		connection->head[connection->count + (uint64_t)i] = (uint8_t)room[i];
	connection->count += (uint64_t)got;
	if (connection->count != HEAD || connection->head[0] != 'D')
		return;
	for (int i = 1; i < HEAD; i++)
		connection->left = connection->left << 8 | connection->head[i];
	ends[place].events = POLLOUT;
}

static bool read_more(nfds_t place)
{
	char told[32];
	ssize_t got = recv(ends[place].fd, room, sizeof(room), 0);

	if (got < 0)
		return errno == EAGAIN;
	if (got > 0) {
		read_head(place, got);
		return true;
	}
	snprintf(told, sizeof(told), "%llu", (unsigned long long)connections[place].count);
	send(ends[place].fd, told, strlen(told), MSG_NOSIGNAL);
	return false;
}

static void stop(int number)
{
	(void)number;
	_exit(0);
}

int main(int count, char **words)
{
	if (count != 2)
		return 64;
	signal(SIGTERM, stop);
	add(listen_on(SOCK_STREAM, atoi(words[1])));
	add(listen_on(SOCK_DGRAM, atoi(words[1])));
	puts("ready");
	fflush(stdout);
	while (poll(ends, end_count, -1) >= 0) {
		for (nfds_t place = end_count; place-- > FIRST;)
			if (ends[place].revents && !(ends[place].events == POLLOUT ? write_more(place) : read_more(place)))
				forget(place);
		if (ends[1].revents)
			send_back(ends[1].fd);
		for (int end; ends[0].revents && (end = accept4(ends[0].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;)
			add(end);
	}
	return 1;
}
