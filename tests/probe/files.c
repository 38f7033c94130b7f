/* What tests do with files in a guest that has little else:
 *
 *   files table FOLDER        tries what a file system can do, one line a row: NAME works, NAME ERRNO, NAME wrong, or NAME coarse
 *   files lock FILE           takes a write lock, says so, and holds it until its input ends
 *   files append FILE         writes numbered records, each on the disk (fsync) before its number is said
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define WRONG (-2) /* it said that it did it, and did not */
#define COARSE (-3) /* it told less than it might, as it may */
#define TRY(call)                                                                                                     \
	do {                                                                                                           \
		if ((long)(call) < 0)                                                                                  \
			return -1;                                                                                     \
	} while (0)
#define BE(condition)                                                                                                 \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			return WRONG;                                                                                  \
	} while (0)

static struct stat status;

static const char *errno_name(int number)
{
	static char other[16];
	static const struct { int number; const char *name; } names[] = {
		{EPERM, "EPERM"}, {ENOENT, "ENOENT"}, {EIO, "EIO"}, {ENXIO, "ENXIO"}, {EACCES, "EACCES"}, {EBUSY, "EBUSY"},
		{EEXIST, "EEXIST"}, {EXDEV, "EXDEV"}, {ENODEV, "ENODEV"}, {EISDIR, "EISDIR"}, {EINVAL, "EINVAL"},
		{ENOSPC, "ENOSPC"}, {EROFS, "EROFS"}, {ENOSYS, "ENOSYS"}, {EOPNOTSUPP, "EOPNOTSUPP"}, {EAGAIN, "EAGAIN"},
		{ENOLCK, "ENOLCK"}, {ECONNREFUSED, "ECONNREFUSED"}, {ENODATA, "ENODATA"}, {ENOTTY, "ENOTTY"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].number == number)
			return names[i].name;
	snprintf(other, sizeof(other), "errno %d", number);
	return other;
}

static int make(const char *name, const char *content)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, content, strlen(content)) != (ssize_t)strlen(content))
		return -1;
	return fd;
}

static bool holds(const char *name, const char *content)
{
	char text[64] = "";
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text));

	if (fd >= 0)
		close(fd);
	return size == (ssize_t)strlen(content) && !memcmp(text, content, (size_t)size);
}

/* In a process of its own: 0 if it says so. */
static int elsewhere(int (*what)(void), uid_t uid)
{
	int ended;
	pid_t child = fork();

	if (child == 0)
		_exit(uid && (setgid(uid) < 0 || setuid(uid) < 0) ? 9 : what());
	TRY(waitpid(child, &ended, 0));
	return WIFEXITED(ended) ? WEXITSTATUS(ended) : 99;
}

static int try_owner(void)
{
	TRY(make("f", "x"));
	TRY(chown("f", 1234, 5678));
	TRY(stat("f", &status));
	BE(status.st_uid == 1234 && status.st_gid == 5678);
	return 0;
}

static int try_mode(void)
{
	TRY(make("f", "x"));
	TRY(chmod("f", 0641));
	TRY(stat("f", &status));
	BE((status.st_mode & 07777) == 0641);
	return 0;
}

static int try_set_id(void)
{
	TRY(make("f", "x"));
	TRY(chmod("f", 06755));
	TRY(stat("f", &status));
	BE((status.st_mode & 07777) == 06755);
	TRY(mkdir("d", 0755));
	TRY(chmod("d", 01777));
	TRY(stat("d", &status));
	BE((status.st_mode & 07777) == 01777);
	return 0;
}

static int open_f(void)
{
	return open("f", O_RDONLY) < 0 ? errno : 0;
}

static int try_permission(void)
{
	TRY(make("f", "x"));
	TRY(chmod("f", 0600));
	BE(elsewhere(open_f, 4321) == EACCES);
	TRY(chmod("f", 0644));
	BE(elsewhere(open_f, 4321) == 0);
	return 0;
}

static int try_hard_link(void)
{
	ino_t inode;

	TRY(make("f", "x"));
	TRY(link("f", "g"));
	TRY(stat("f", &status));
	inode = status.st_ino;
	BE(status.st_nlink == 2);
	TRY(stat("g", &status));
	BE(status.st_ino == inode);
	TRY(unlink("f"));
	BE(holds("g", "x"));
	return 0;
}

static int try_symbolic_link(void)
{
	char to[1024], read[1024];

	memset(to, 'a', 1000);
	to[1000] = 0;
	TRY(symlink(to, "l"));
	BE(readlink("l", read, sizeof(read)) == 1000 && !memcmp(to, read, 1000));
	TRY(lstat("l", &status));
	BE(S_ISLNK(status.st_mode));
	TRY(make("f", "x"));
	TRY(symlink("f", "m"));
	BE(holds("m", "x"));
	return 0;
}

static int xattr(const char *name, const void *value, size_t size)
{
	char read[64], list[256];
	ssize_t length;
	bool found = false;

	TRY(make("f", "x"));
	TRY(setxattr("f", name, value, size, 0));
	BE(getxattr("f", name, read, sizeof(read)) == (ssize_t)size && !memcmp(read, value, size));
	TRY(length = listxattr("f", list, sizeof(list)));
	for (char *at = list; at < list + length; at += strlen(at) + 1)
		found = found || !strcmp(at, name);
	BE(found);
	TRY(removexattr("f", name));
	BE(getxattr("f", name, read, sizeof(read)) < 0 && errno == ENODATA);
	return 0;
}

static int try_user_xattr(void)
{
	return xattr("user.test", "val\0ue", 6);
}

static int try_capability(void)
{
	static const uint32_t words[5] = {0x02000001, 1 << 10, 0, 0, 0};

	return xattr("security.capability", words, sizeof(words));
}

static int try_acl(void)
{
	static const struct { uint32_t version; struct { uint16_t tag, perm; uint32_t id; } entries[5]; } acl = {
		2, {{1, 6, ~0u}, {2, 4, 1234}, {4, 4, ~0u}, {16, 4, ~0u}, {32, 4, ~0u}},
	};

	TRY(make("f", "x"));
	TRY(setxattr("f", "system.posix_acl_access", &acl, sizeof(acl), 0));
	return 0;
}

static const struct timespec times[2] = {{1000000001, 123456789}, {1500000002, 987654321}};

/* Whether they are what was set, or that to the second. */
static int judge_times(const char *name)
{
	TRY(stat(name, &status));
	BE(status.st_mtim.tv_sec == 1500000002 && status.st_atim.tv_sec == 1000000001);
	if (status.st_mtim.tv_nsec == 987654321 && status.st_atim.tv_nsec == 123456789)
		return 0;
	return status.st_mtim.tv_nsec == 0 && status.st_atim.tv_nsec == 0 ? COARSE : WRONG;
}

static int try_times(void)
{
	int fd = make("f", "x");

	TRY(fd);
	close(fd);
	TRY(utimensat(AT_FDCWD, "f", times, 0));
	return judge_times("f");
}

/* As tar and cp do it, before they close it. */
static int try_times_open(void)
{
	int fd = make("f", "x");

	TRY(fd);
	TRY(futimens(fd, times));
	TRY(close(fd));
	return judge_times("f");
}

static int try_time_of_a_write(void)
{
	int fd = make("f", "x");

	TRY(fd);
	TRY(futimens(fd, times));
	BE(write(fd, "y", 1) == 1);
	TRY(fstat(fd, &status));
	BE(status.st_mtim.tv_sec > 1600000000 && status.st_size == 2);
	return 0;
}

static int try_sparse(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	off_t far = (off_t)5 << 30;

	TRY(fd);
	BE(pwrite(fd, "end", 3, far) == 3);
	TRY(fsync(fd));
	TRY(stat("f", &status));
	BE(status.st_size == far + 3 && status.st_blocks < 1 << 14);
	return 0;
}

static int try_seek_data(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	TRY(fd);
	BE(pwrite(fd, "end", 3, 1 << 24) == 3);
	TRY(fsync(fd));
	off_t data = lseek(fd, 0, SEEK_DATA);
	TRY(data);
	return data ? data > 1 << 20 ? 0 : WRONG : COARSE; /* 0: all of it is data, which is always a true answer */
}

static int try_punch_hole(void)
{
	static char block[1 << 16];
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	TRY(fd);
	memset(block, 7, sizeof(block));
	BE(write(fd, block, sizeof(block)) == sizeof(block));
	TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 15));
	BE(pread(fd, block, 1, 9) == 1 && block[0] == 0);
	return 0;
}

static int try_fallocate(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	TRY(fd);
	TRY(fallocate(fd, 0, 0, 1 << 20));
	TRY(stat("f", &status));
	BE(status.st_size == 1 << 20);
	return 0;
}

static int try_rename(void)
{
	TRY(make("f", "new"));
	TRY(make("g", "old"));
	TRY(rename("f", "g"));
	BE(holds("g", "new") && access("f", F_OK) < 0);
	TRY(mkdir("d", 0755));
	TRY(mkdir("e", 0755));
	TRY(rename("g", "d/g"));
	TRY(rename("d", "e"));
	BE(holds("e/g", "new"));
	TRY(mkdir("d", 0755));
	BE(rename("d", "e") < 0 && (errno == ENOTEMPTY || errno == EEXIST));
	return 0;
}

static int try_rename_noreplace(void)
{
	TRY(make("f", "new"));
	TRY(make("g", "old"));
	TRY(syscall(SYS_renameat2, AT_FDCWD, "f", AT_FDCWD, "h", 1));
	BE(syscall(SYS_renameat2, AT_FDCWD, "h", AT_FDCWD, "g", 1) < 0 && errno == EEXIST);
	return 0;
}

static int try_rename_exchange(void)
{
	TRY(make("f", "new"));
	TRY(make("g", "old"));
	TRY(syscall(SYS_renameat2, AT_FDCWD, "f", AT_FDCWD, "g", 2));
	BE(holds("f", "old") && holds("g", "new"));
	return 0;
}

static int try_unlinked(void)
{
	char text[4] = "";
	int fd = make("f", "x");

	TRY(fd);
	TRY(unlink("f"));
	BE(pread(fd, text, 1, 0) == 1 && text[0] == 'x');
	BE(pwrite(fd, "yz", 2, 0) == 2 && pread(fd, text, 2, 0) == 2 && text[1] == 'z');
	return 0;
}

static int try_unlinked_stat(void)
{
	int fd = make("f", "x");

	TRY(fd);
	TRY(unlink("f"));
	TRY(fstat(fd, &status));
	BE(status.st_nlink == 0 && status.st_size == 1);
	return 0;
}

static int try_unlinked_truncate(void)
{
	char text[4] = "";
	int fd = make("f", "xyz");

	TRY(fd);
	TRY(unlink("f"));
	TRY(ftruncate(fd, 1));
	BE(pread(fd, text, 2, 0) == 1);
	return 0;
}

static int try_tmpfile(void)
{
	int fd = open(".", O_TMPFILE | O_RDWR, 0644);

	TRY(fd);
	BE(write(fd, "x", 1) == 1);
	return 0;
}

static int try_fsync(void)
{
	int fd = make("f", "x"), folder = open(".", O_RDONLY | O_DIRECTORY);

	TRY(fd);
	TRY(folder);
	TRY(fsync(fd));
	TRY(fdatasync(fd));
	TRY(fsync(folder));
	TRY(syncfs(fd));
	return 0;
}

static int try_exclusive(void)
{
	TRY(make("f", "x"));
	BE(open("f", O_WRONLY | O_CREAT | O_EXCL, 0644) < 0 && errno == EEXIST);
	return 0;
}

static int add_x(void)
{
	int fd = open("f", O_WRONLY | O_APPEND);

	for (int i = 0; i < 100; i++)
		if (write(fd, "x", 1) != 1)
			return 1;
	return 0;
}

static int try_append(void)
{
	int ended;

	TRY(make("f", ""));
	for (int i = 0; i < 3; i++)
		if (fork() == 0)
			_exit(add_x());
	for (int i = 0; i < 3; i++) {
		TRY(wait(&ended));
		BE(ended == 0);
	}
	TRY(stat("f", &status));
	BE(status.st_size == 300);
	return 0;
}

static int try_direct(void)
{
	void *block;
	int fd = open("f", O_RDWR | O_CREAT | O_DIRECT, 0644);

	TRY(fd);
	if (posix_memalign(&block, 4096, 4096))
		return -1;
	memset(block, 'd', 4096);
	TRY(pwrite(fd, block, 4096, 0));
	memset(block, 0, 4096);
	TRY(pread(fd, block, 4096, 0));
	BE(*(char *)block == 'd');
	return 0;
}

static int try_map_read(void)
{
	int fd = make("f", "mapped");
	char *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	if (map == MAP_FAILED)
		return -1;
	BE(!memcmp(map, "mapped", 6));
	return 0;
}

static int try_map_write(void)
{
	int fd = make("f", "before");
	char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return -1;
	memcpy(map, "after!", 6);
	TRY(msync(map, 4096, MS_SYNC));
	BE(holds("f", "after!"));
	TRY(munmap(map, 4096));
	BE(holds("f", "after!"));
	return 0;
}

static int flock_f(void)
{
	return flock(open("f", O_RDWR), LOCK_EX | LOCK_NB) < 0 ? errno : 0;
}

static int try_flock(void)
{
	int fd = make("f", "x");

	TRY(flock(fd, LOCK_EX));
	BE(elsewhere(flock_f, 0) == EWOULDBLOCK);
	TRY(flock(fd, LOCK_UN));
	BE(elsewhere(flock_f, 0) == 0);
	return 0;
}

static int record_lock(int fd, int command, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 1, .l_len = 2};

	return fcntl(fd, command, &lock);
}

static int lock_f(void)
{
	return record_lock(open("f", O_RDWR), F_SETLK, F_WRLCK) < 0 ? errno : 0;
}

static int try_record_lock(void)
{
	int fd = make("f", "xyz");

	TRY(record_lock(fd, F_SETLK, F_WRLCK));
	int met = elsewhere(lock_f, 0);
	BE(met == EAGAIN || met == EACCES);
	TRY(record_lock(fd, F_SETLK, F_UNLCK));
	BE(elsewhere(lock_f, 0) == 0);
	return 0;
}

static int try_ofd_lock(void)
{
	int fd = make("f", "xyz"), other = open("f", O_RDWR);

	TRY(record_lock(fd, F_OFD_SETLK, F_WRLCK));
	BE(record_lock(other, F_OFD_SETLK, F_WRLCK) < 0 && errno == EAGAIN);
	return 0;
}

static int try_inotify(void)
{
	union { struct inotify_event event; char bytes[sizeof(struct inotify_event) + 256]; } got;
	int fd = inotify_init1(IN_NONBLOCK);

	TRY(fd);
	TRY(inotify_add_watch(fd, ".", IN_CREATE));
	TRY(make("f", "x"));
	TRY(read(fd, &got, sizeof(got)));
	BE(got.event.mask & IN_CREATE && !strcmp(got.bytes + sizeof(got.event), "f"));
	return 0;
}

static int try_fifo(void)
{
	char text[4] = "";
	int fd;

	TRY(mkfifo("p", 0644));
	TRY(stat("p", &status));
	BE(S_ISFIFO(status.st_mode));
	fd = open("p", O_RDWR | O_NONBLOCK);
	TRY(fd);
	BE(write(fd, "x", 1) == 1 && read(fd, text, 1) == 1 && text[0] == 'x');
	return 0;
}

static int try_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "s"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);

	TRY(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	TRY(listen(fd, 1));
	TRY(connect(other, (struct sockaddr *)&address, sizeof(address)));
	return 0;
}

static int try_long_names(void)
{
	char name[257];

	memset(name, 'n', 256);
	name[256] = 0;
	BE(make(name, "x") < 0 && errno == ENAMETOOLONG);
	name[255] = 0;
	TRY(make(name, "x"));
	TRY(make("\xff\xfe not UTF-8 \n", "x"));
	return 0;
}

static int try_many_names(void)
{
	DIR *folder;
	struct dirent *entry;
	int count = 0;

	for (int i = 0; i < 10000; i++) {
		char name[16];
		int fd;

		snprintf(name, sizeof(name), "%d", i);
		fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
		TRY(fd);
		close(fd);
	}
	folder = opendir(".");
	if (!folder)
		return -1;
	while ((entry = readdir(folder)))
		count += entry->d_name[0] != '.' && (entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN);
	BE(count == 10000);
	return 0;
}

static int try_copy_range(void)
{
	int from = make("f", "copied"), to = make("g", "");

	TRY(lseek(from, 0, SEEK_SET));
	TRY(syscall(SYS_copy_file_range, from, NULL, to, NULL, 6, 0));
	BE(holds("g", "copied"));
	return 0;
}

static int run_f(void)
{
	execl("./f", "f", "help", (char *)NULL);
	return errno;
}

static int try_exec(void)
{
	char block[1 << 16];
	int from = open("/proc/self/exe", O_RDONLY), to = open("f", O_WRONLY | O_CREAT, 0755);
	ssize_t size;

	TRY(from);
	TRY(to);
	while ((size = read(from, block, sizeof(block))) > 0)
		BE(write(to, block, (size_t)size) == size);
	close(to);
	BE(elsewhere(run_f, 0) == 64);
	return 0;
}

static int try_statfs(void)
{
	struct statfs space;

	TRY(statfs(".", &space));
	BE(space.f_blocks > 0 && space.f_bavail > 0 && space.f_namelen >= 255);
	return 0;
}

static const struct { const char *name; int (*try)(void); } rows[] = {
	{"owner", try_owner}, {"mode", try_mode}, {"set-id, sticky", try_set_id}, {"permission", try_permission},
	{"hard link", try_hard_link}, {"symbolic link", try_symbolic_link}, {"user xattr", try_user_xattr},
	{"capability xattr", try_capability}, {"ACL", try_acl}, {"times", try_times}, {"times of an open file", try_times_open}, {"time of a write", try_time_of_a_write}, {"sparse", try_sparse},
	{"SEEK_DATA", try_seek_data}, {"punch hole", try_punch_hole}, {"fallocate", try_fallocate}, {"rename", try_rename},
	{"RENAME_NOREPLACE", try_rename_noreplace}, {"RENAME_EXCHANGE", try_rename_exchange},
	{"unlinked while open", try_unlinked}, {"unlinked: fstat", try_unlinked_stat},
	{"unlinked: ftruncate", try_unlinked_truncate}, {"O_TMPFILE", try_tmpfile}, {"fsync", try_fsync}, {"O_EXCL", try_exclusive},
	{"O_APPEND", try_append}, {"O_DIRECT", try_direct}, {"mmap", try_map_read}, {"shared writable mmap", try_map_write},
	{"flock", try_flock}, {"record lock", try_record_lock}, {"OFD lock", try_ofd_lock}, {"inotify", try_inotify},
	{"FIFO", try_fifo}, {"socket", try_socket}, {"long names", try_long_names}, {"10,000 names", try_many_names},
	{"copy_file_range", try_copy_range}, {"exec", try_exec}, {"statfs", try_statfs},
};

/* Each in a folder and a process of its own. */
static int table(const char *folder)
{
	if (chdir(folder) < 0)
		return 1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char own[16];
		int ended, result;

		snprintf(own, sizeof(own), "row-%zu", i);
		if (mkdir(own, 0777) < 0 || chmod(own, 0777) < 0)
			return 2;
		fflush(stdout);
		if (fork() == 0) {
			umask(0);
			result = chdir(own) < 0 ? -1 : rows[i].try();
			printf("%s: %s\n", rows[i].name, result == 0 ? "works" : result == WRONG ? "wrong" : result == COARSE ? "coarse" : errno_name(errno));
			fflush(stdout);
			_exit(0);
		}
		if (wait(&ended) < 0 || ended != 0)
			return 3;
	}
	return 0;
}

static int hold_lock(const char *name)
{
	char rest[16];
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open(name, O_RDWR | O_CREAT, 0666);

	if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0) {
		printf("%s\n", errno_name(errno));
		return 1;
	}
	puts("locked");
	fflush(stdout);
	while (read(0, rest, sizeof(rest)) > 0)
		;
	return 0;
}

/* A record is eight bytes of its number and 4,088 of what follows from it. */
static int append(const char *name)
{
	static uint64_t record[512];
	int fd = open(name, O_WRONLY | O_CREAT | O_APPEND, 0644);

	if (fd < 0)
		return 1;
	for (uint64_t number = 0;; number++) {
		for (uint64_t i = 0; i < 512; i++)
			record[i] = number + i * 0x9e3779b97f4a7c15u;
		if (write(fd, record, sizeof(record)) != sizeof(record) || fsync(fd) < 0)
			return 2;
		printf("%llu\n", (unsigned long long)number);
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	static const struct { const char *verb; int (*act)(const char *); } verbs[] = {
		{"table", table}, {"lock", hold_lock}, {"append", append},
	};

	for (size_t i = 0; argc == 3 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(argv[1], verbs[i].verb))
			return verbs[i].act(argv[2]);
	return 64;
}
