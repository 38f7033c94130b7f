/* What a test asks of a place it cannot see into: a jail on the host, or a container in a guest.
 *
 *   probe VERB [WORD…]
 *
 * One static program with verbs. An attempt is one line, its name and `ok` or the errno as a number; the test judges.
 * Exits 0 unless the verb itself is wrong. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static void told(const char *name, long result)
{
	if (result >= 0)
		printf("%s ok\n", name);
	else
		printf("%s %d\n", name, errno);
}

static int failed(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return 1;
}

/* -- files */

static int print_path(const char *path, const struct stat *status, int kind, struct FTW *place)
{
	(void)status;
	(void)place;
	printf("%c %s\n", kind == FTW_D || kind == FTW_DNR ? 'd' : 'f', path);
	return 0;
}

/* Everything below a folder, on its own file system. */
static int walk(char **words)
{
	return nftw(words[0], print_path, 16, FTW_PHYS | FTW_MOUNT) < 0 ? failed(words[0]) : 0;
}

static int list(char **words)
{
	DIR *folder = opendir(words[0]);
	struct dirent *entry;

	if (!folder)
		return failed(words[0]);
	while ((entry = readdir(folder)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			puts(entry->d_name);
	closedir(folder);
	return 0;
}

static int look(char **words)
{
	struct stat status;

	for (; *words; words++)
		told(*words, lstat(*words, &status));
	return 0;
}

static int make(char **words)
{
	for (; *words; words++) {
		int fd = open(*words, O_WRONLY | O_CREAT, 0600);

		told(*words, fd);
		if (fd >= 0)
			close(fd);
	}
	return 0;
}

static int show(char **words)
{
	char block[65536];

	for (; *words; words++) {
		int fd = open(*words, O_RDONLY);
		ssize_t size;

		if (fd < 0)
			return failed(*words);
		while ((size = read(fd, block, sizeof(block))) > 0)
			if (write(1, block, (size_t)size) != size)
				return failed("stdout");
		close(fd);
	}
	return 0;
}

/* -- descriptors given by whoever started this */

static void *map(int fd, int protection, int flags)
{
	void *memory = mmap(NULL, 4096, protection, flags, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* Every way to change a file that one holds a descriptor of. */
static int change(char **words)
{
	int fd = atoi(words[0]), again;
	char path[64], *memory;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	told("write", pwrite(fd, "x", 1, 0));
	told("shrink", ftruncate(fd, 0));
	told("grow", ftruncate(fd, (off_t)1 << 40));
	told("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	told("map", map(fd, PROT_READ | PROT_WRITE, MAP_SHARED) ? 0 : -1);
	memory = map(fd, PROT_READ, MAP_SHARED);
	told("protect", memory ? mprotect(memory, 4096, PROT_READ | PROT_WRITE) : -1);
	told("unseal", fcntl(fd, F_ADD_SEALS, 0));
	told("chmod", fchmod(fd, 0777));
	told("chmod-path", chmod(path, 0777));
	told("attribute", fsetxattr(fd, "user.x", "x", 1, 0));
	told("times", futimens(fd, NULL));
	told("flags", ioctl(fd, _IOW('f', 2, long), &(int){0x10}) /* FS_IOC_SETFLAGS: immutable */);
	told("reopen", again = open(path, O_RDWR));
	told("reopened-write", again < 0 ? -1 : pwrite(again, "x", 1, 0));
	told("reopened-map", again >= 0 && map(again, PROT_READ | PROT_WRITE, MAP_SHARED) ? 0 : -1);
	told("truncate", open(path, O_RDWR | O_TRUNC));
	return 0;
}

/* A private map may be written: that is how a clone has a template's memory. */
static int map_private(char **words)
{
	char *memory = map(atoi(words[0]), PROT_READ | PROT_WRITE, MAP_PRIVATE);

	told("map", memory ? 0 : -1);
	if (memory)
		memory[0] = 'x';
	told("written", memory ? 0 : -1);
	return 0;
}

/* How many descriptors there can be, and which are there now. */
static int descriptors(char **words)
{
	struct stat status;
	int count = 0;

	(void)words;
	for (int fd = 0; fd < 4096; fd++)
		if (fstat(fd, &status) == 0)
			printf("held %d\n", fd);
	while (dup(0) >= 0)
		count++;
	printf("more %d\n", count);
	return 0;
}

static int limits(char **words)
{
	static const struct { const char *name; int number; } all[] = {
		{"core", RLIMIT_CORE}, {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC},
	};

	(void)words;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct rlimit limit;

		getrlimit(all[i].number, &limit);
		printf("%s %lld %lld\n", all[i].name, (long long)limit.rlim_cur, (long long)limit.rlim_max);
	}
	return 0;
}

/* -- network */

static int connect_to(int family, const void *address, socklen_t size)
{
	int fd = socket(family, SOCK_STREAM, 0);

	return fd < 0 ? -1 : connect(fd, address, size);
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

/* probe network PORT ABSTRACT-NAME PATH: what of the host's can be connected to. */
static int network(char **words)
{
	struct if_nameindex *links = if_nameindex();
	struct sockaddr_in host = loopback(atoi(words[0]));
	struct sockaddr_un name = {.sun_family = AF_UNIX}, path = {.sun_family = AF_UNIX};

	for (struct if_nameindex *link = links; link && link->if_index; link++)
		printf("link %s\n", link->if_name);
	told("tcp", connect_to(AF_INET, &host, sizeof(host)));
	strncpy(name.sun_path + 1, words[1], sizeof(name.sun_path) - 2);
	told("abstract", connect_to(AF_UNIX, &name, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(words[1]))));
	strncpy(path.sun_path, words[2], sizeof(path.sun_path) - 1);
	told("path", connect_to(AF_UNIX, &path, sizeof(path)));
	return 0;
}

/* probe isn FROM TO: the sequence number of a connection between two ports of lo, and the clock before and after it
 * was drawn. A raw socket sees the packet; nobody need listen. */
static int isn(char **words)
{
	struct sockaddr_in from = loopback(atoi(words[0])), to = loopback(atoi(words[1]));
	int seen = socket(AF_INET, SOCK_RAW, IPPROTO_TCP), fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	struct { struct iphdr ip; struct tcphdr tcp; char rest[2048]; } packet;
	struct timespec before, after;

	if (seen < 0 || fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
		return failed("socket");
	clock_gettime(CLOCK_REALTIME, &before);
	connect(fd, (struct sockaddr *)&to, sizeof(to)); /* refused, but asked */
	clock_gettime(CLOCK_REALTIME, &after);
	while (recv(seen, &packet, sizeof(packet), 0) >= (ssize_t)(sizeof(packet.ip) + sizeof(packet.tcp))) {
		if (packet.tcp.source != from.sin_port || packet.tcp.dest != to.sin_port || !packet.tcp.syn)
			continue;
		printf("%u %lld %lld\n", ntohl(packet.tcp.seq), before.tv_sec * 1000000000ll + before.tv_nsec,
		       after.tv_sec * 1000000000ll + after.tv_nsec);
		return 0;
	}
	return failed("recv");
}

/* -- privilege */

static int gain(char **words)
{
	struct timespec now = {0};

	(void)words;
	told("user-space", unshare(CLONE_NEWUSER));
	told("mount-space", unshare(CLONE_NEWNS));
	told("network-space", unshare(CLONE_NEWNET));
	told("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
	told("remount", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
	told("unmount", umount2("/proc", MNT_DETACH));
	told("chroot", chroot("/tmp"));
	told("root", setresuid(0, 0, 0));
	told("other-user", setresuid(1000, 1000, 1000));
	told("groups", setgroups(1, (gid_t[]){0}));
	told("clock", clock_settime(CLOCK_REALTIME, &now));
	told("host-name", sethostname("x", 1));
	told("node", mknod("/dev/probe-disk", S_IFBLK | 0600, 0x800));
	told("module", syscall(SYS_init_module, "", 0, ""));
	told("priority", setpriority(PRIO_PROCESS, 0, -20));
	told("more-files", setrlimit(RLIMIT_NOFILE, &(struct rlimit){1 << 20, 1 << 20}));
	told("cores", setrlimit(RLIMIT_CORE, &(struct rlimit){1 << 20, 1 << 20}));
	return 0;
}

/* probe attack PID…: what can be done to processes. */
static int attack(char **words)
{
	told("everybody", kill(-1, 0)); /* were the jail to fail, the test would end its own user */
	for (; *words; words++) {
		static const struct { const char *name, *path; int flags; } files[] = {
			{"memory", "mem", O_RDWR}, {"root", "root/usr", O_RDONLY}, {"descriptors", "fd", O_RDONLY},
			{"environment", "environ", O_RDONLY}, {"score", "oom_score_adj", O_WRONLY},
		};
		char path[64];

		told("kill", kill(atoi(*words), SIGKILL));
		told("trace", ptrace(PTRACE_SEIZE, atoi(*words), NULL, NULL));
		told("limits", prlimit(atoi(*words), RLIMIT_CPU, &(struct rlimit){1, 1}, NULL));
		for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
			snprintf(path, sizeof(path), "/proc/%s/%s", *words, files[i].path);
			told(files[i].name, open(path, files[i].flags));
		}
	}
	return 0;
}

/* -- who this is */

static void print_hex(const char *name, const uint8_t *bytes, size_t size)
{
	printf("%s ", name);
	for (size_t i = 0; i < size; i++)
		printf("%02x", bytes[i]);
	printf("\n");
}

static void print_line(const char *name, const char *path)
{
	char line[256] = "";
	FILE *file = fopen(path, "re");

	if (file && fgets(line, sizeof(line), file))
		line[strcspn(line, "\n")] = 0;
	printf("%s %s\n", name, line);
	if (file)
		fclose(file);
}

static int identity(char **words)
{
	uint8_t bytes[32] = {0};
	char name[256] = "";
	struct utsname kernel;
	struct if_nameindex *links = if_nameindex();
	int fd = open("/dev/urandom", O_RDONLY);

	(void)words;
	print_hex("at_random", (const uint8_t *)getauxval(AT_RANDOM), 16);
	if (fd < 0 || read(fd, bytes, sizeof(bytes)) != sizeof(bytes))
		return failed("/dev/urandom");
	print_hex("urandom", bytes, sizeof(bytes));
	print_line("boot_id", "/proc/sys/kernel/random/boot_id");
	gethostname(name, sizeof(name));
	uname(&kernel);
	printf("hostname %s\nmachine %s\n", name, kernel.machine);
	for (struct if_nameindex *link = links; link && link->if_index; link++) {
		char path[64];

		snprintf(path, sizeof(path), "/sys/class/net/%s/address", link->if_name);
		print_line(link->if_name, path);
	}
	return 0;
}

static int processors(char **words)
{
	(void)words;
	printf("%ld\n", sysconf(_SC_NPROCESSORS_ONLN));
	return 0;
}

/* -- a program to watch */

/* probe count FROM TO: numbered lines. */
static int count(char **words)
{
	for (long number = atol(words[0]); number < atol(words[1]); number++)
		printf("line %ld\n", number);
	fflush(stdout);
	return 7;
}

/* Until somebody ends it. */
static int wait_for_end(char **words)
{
	(void)words;
	puts("waiting");
	fflush(stdout);
	for (;;)
		pause();
}

static const struct { const char *name; int words; int (*act)(char **); } verbs[] = {
	{"walk", 1, walk}, {"list", 1, list}, {"look", 0, look}, {"make", 0, make}, {"show", 0, show}, {"change", 1, change},
	{"map-private", 1, map_private}, {"descriptors", 0, descriptors}, {"limits", 0, limits}, {"network", 3, network},
	{"isn", 2, isn}, {"gain", 0, gain}, {"attack", 0, attack}, {"identity", 0, identity},
	{"processors", 0, processors}, {"count", 2, count}, {"wait", 0, wait_for_end},
};

int main(int count, char **words)
{
	for (size_t i = 0; count > 1 && i < sizeof(verbs) / sizeof(*verbs); i++)
		if (!strcmp(words[1], verbs[i].name) && count - 2 >= verbs[i].words) {
			int status = verbs[i].act(words + 2);

			fflush(stdout);
			return status;
		}
	fprintf(stderr, "no such verb\n");
	return 64;
}
