/* PID 1's first acts in a machine: the kernel's own file systems, the modules of the initramfs, the disks' names, and
 * the port. Everything here may die: nothing has been promised to anybody yet. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"
#include "scope.h"

#define MODULES "/modules"
#define PORT "insula.agent"
#define PORT_PATIENCE_MS 10000

static struct { char serial[24], device[32]; } disks[DISKS];

static void mount_or_die(const char *type, const char *target, unsigned long flags, const char *data)
{
	if (mkdir(target, 0755) < 0 && errno != EEXIST)
		die("mkdir %s: %m", target);
	if (mount(type, target, type, flags, data) < 0 && errno != EBUSY)
		die("mount %s: %m", target);
}

static void load_module(const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), MODULES "/%s", name);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		die("module %s: %m", name);
	unlink(path); /* its pages are the machine's memory, and every clone's */
}

static void load_modules(void)
{
	struct dirent **names;
	int count = scandir(MODULES, &names, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		if (names[i]->d_name[0] != '.')
			load_module(names[i]->d_name);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
}

/* One line of a file of the kernel's, without its newline. */
static bool read_line(const char *path, char *line, size_t size)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, line, size - 1);

	if (got < 0)
		return false;
	line[got] = 0;
	line[strcspn(line, "\n")] = 0;
	return true;
}

static void find_disks(void)
{
	cleanup_closedir DIR *folder = opendir("/sys/block");
	struct dirent *entry;
	int count = 0;

	while (folder && (entry = readdir(folder)) && count < DISKS) {
		char path[300];

		if (strncmp(entry->d_name, "vd", 2) || strlen(entry->d_name) > 20)
			continue;
		snprintf(path, sizeof(path), "/sys/block/%s/serial", entry->d_name);
		if (!read_line(path, disks[count].serial, sizeof(disks[count].serial)))
			continue;
		snprintf(disks[count].device, sizeof(disks[count].device), "/dev/%.20s", entry->d_name);
		count++;
	}
}

const char *disk_device(const char *serial)
{
	for (int i = 0; i < DISKS; i++)
		if (*disks[i].serial && !strcmp(disks[i].serial, serial))
			return disks[i].device;
	return NULL;
}

/* -1: it is not there. */
static int find_port(void)
{
	cleanup_closedir DIR *folder = opendir("/sys/class/virtio-ports");
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		char path[320], name[64];

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		if (entry->d_name[0] == '.' || !read_line(path, name, sizeof(name)) || strcmp(name, PORT))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			die("%s: %m", path);
		return fd;
	}
	return -1;
}

/* A port has its name from the host, some time after its driver is there; the kernel tells of each change. */
static int open_port(void)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_groups = 1};
	cleanup_close int news = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	struct pollfd told = {.fd = news, .events = POLLIN};
	char event[4096];
	int port;

	if (news < 0 || bind(news, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		die("listening to the kernel's events: %m");
	while ((port = find_port()) < 0) {
		if (poll(&told, 1, PORT_PATIENCE_MS) <= 0)
			die("the machine has no port " PORT);
		recv(news, event, sizeof(event), MSG_DONTWAIT);
	}
	return port;
}

static void raise_loopback(void)
{
	cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	if (fd >= 0)
		ioctl(fd, SIOCSIFFLAGS, &request);
}

/* The initramfs is the one file system that pivot_root refuses to leave; seen through a bind of itself it is one like
 * any other. */
static void leave_rootfs(void)
{
	if (mkdir("/self", 0700) < 0 || mount("/", "/self", NULL, MS_BIND, NULL) < 0 || chdir("/self") < 0 ||
	    mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		die("leaving the initramfs: %m");
	rmdir("/self");
}

int machine_init(void)
{
	umask(0);
	leave_rootfs();
	mount_or_die("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_or_die("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_or_die("devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, NULL);
	mount_or_die("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=620,gid=5,ptmxmode=666");
	mount_or_die("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_or_die("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=700");
	if (mkdir(AGENT_FOLDER, 0700) < 0)
		die(AGENT_FOLDER ": %m");
	load_modules();
	write_text("/sys/fs/cgroup/cgroup.subtree_control", "+memory +pids +cpu +io");
	write_text("/proc/sys/kernel/printk", "3 4 1 3");
	raise_loopback();
	int port = open_port();
	find_disks();
	return port;
}

void machine_power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	_exit(1);
}
