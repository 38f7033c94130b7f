/* What the host asks for, decoded: the boot document and its limits (docs/protocol.md §5) and a process
 * (§6).
 *
 * document.c decodes them from a frame's payload (decoder.h) and allocates everything in one arena, freed with the
 * document. Strings are NUL-terminated and contain no other NUL; lists of strings end with NULL.
 * What is decoded here is only well-formed; whether it can be done is found out by doing it (container.c). */
#ifndef INSULA_DOCUMENT_H
#define INSULA_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum step {
	STEP_REQUEST = 0, STEP_IDENTITY, STEP_DISKS, STEP_MOUNT, STEP_FILES, STEP_NETWORK, STEP_SYSCTL, STEP_CGROUP,
	STEP_NAMESPACES, STEP_ROOT, STEP_DEVICES, STEP_USER, STEP_DIRECTORY, STEP_LIMITS, STEP_SECCOMP, STEP_EXEC,
	STEP_TERMINAL, STEP_MODULE, STEP_TREE,
};

/* Why something failed: goes into a REPLY as it is. Functions that can fail return 0, or -1 with this filled in. */
struct failure {
	uint16_t step;
	int32_t number; /* errno */
	char detail[256]; /* a path or a name, never a sentence */
};

struct strings { uint32_t count; char **items; /* items[count] == NULL */ };
struct blob { uint32_t size; const uint8_t *data; };

enum process_flags {
	PROCESS_TTY = 1, PROCESS_STDIN = 2, PROCESS_NO_NEW_PRIVS = 4, PROCESS_PRIVILEGED = 8, PROCESS_OUTSIDE = 16,
};

struct rlimit_spec { uint8_t resource; uint64_t soft, hard; };

struct process_spec {
	uint32_t number;
	uint32_t flags;
	uint16_t rows, columns;
	struct strings arguments, environment;
	char *directory, *user;
	struct strings groups;
	uint64_t bounding, effective, permitted, inheritable, ambient;
	uint32_t limit_count;
	struct rlimit_spec *limits;
	struct blob seccomp;
	int32_t oom_score_adj;
	uint32_t umask;
};

enum root_kind { ROOT_AGENT = 0, ROOT_DISKS = 1 };
enum boot_flags { BOOT_READ_ONLY = 1, BOOT_PRIVILEGED = 2, BOOT_INIT = 4, BOOT_DISPOSABLE = 8, BOOT_FILES = 16 };
enum mount_kind { MOUNT_TMPFS = 1, MOUNT_SHARE = 2, MOUNT_BIND = 3, MOUNT_SOCKET = 4, MOUNT_DISK = 5 };

struct mount_spec { uint8_t kind; char *source, *target; uint64_t flags; char *data; };
struct file_spec { char *path; uint32_t mode; struct blob content; };
struct address_spec { uint8_t family; uint8_t address[16]; uint8_t prefix; };
struct route_spec { uint8_t family; uint8_t destination[16]; uint8_t prefix; uint8_t gateway[16]; };
struct link_spec {
	uint8_t nic;
	char *name;
	uint8_t mac[6];
	uint32_t mtu;
	uint32_t address_count, route_count;
	struct address_spec *addresses;
	struct route_spec *routes;
};
struct sysctl_spec { char *path, *value; };

enum { IO_LIMITS = 16, IO_RATES = 4, CPUSET_LIMIT = 256 };

struct io_limit { uint64_t rates[IO_RATES]; }; /* bytes read, bytes written, reads, writes a second; 0: no limit */

/* 0 or "": no limit, or the kernel's default. */
struct limits {
	uint64_t memory, memory_low, cpu_quota, cpu_period;
	uint32_t cpu_weight;
	char cpuset_cpus[CPUSET_LIMIT + 1], cpuset_mems[CPUSET_LIMIT + 1];
	uint64_t pids;
	uint32_t io_weight;
	uint32_t io_count;
	struct io_limit io[IO_LIMITS];
};

struct boot_document {
	uint32_t number;
	uint64_t clock;
	struct blob entropy;
	char *hostname, *domainname;
	uint8_t root;
	uint32_t layer_count;
	uint8_t layers[16];
	uint8_t writable_kind, writable;
	uint32_t flags;
	uint32_t mount_count;
	struct mount_spec *mounts;
	struct strings masked, readonly;
	uint32_t file_count;
	struct file_spec *files;
	uint32_t link_count;
	struct link_spec *links;
	uint32_t sysctl_count;
	struct sysctl_spec *sysctls;
	struct limits limits;
	uint64_t shm;
	struct process_spec main;
};

struct document; /* owns the arena; `boot`, `process` or `link` inside, by which decoder made it */

/* They return NULL if the payload is not exactly one well-formed document within the limits of docs/protocol.md. */
struct document *decode_boot(const uint8_t *payload, size_t size);
struct document *decode_process(const uint8_t *payload, size_t size);
struct document *decode_link(const uint8_t *payload, size_t size);
bool decode_limits(const uint8_t *payload, size_t size, struct limits *); /* false: it is not exactly that */
const struct boot_document *document_boot(const struct document *);
const struct process_spec *document_process(const struct document *);
const struct link_spec *document_link(const struct document *);
void free_document(struct document *);

#endif
