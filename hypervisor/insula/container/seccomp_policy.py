"""Which system calls a container may make: what Docker's default allows, as data.

Everything not named answers EPERM. What is left out is what reaches past a container even with its fourteen
capabilities: mounting, new name spaces, loading modules and BPF, the clock, raw I/O, keyrings, io_uring,
userfaultfd, handles of other files. Some come back with the capability that guards them.
"""

import errno
from dataclasses import dataclass

ALLOW, ERRNO = 0x7FFF0000, 0x00050000  # linux/seccomp.h
NAMESPACE_FLAGS = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
AF_VSOCK = 40
PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, Linux32, UNAME26, both, "which is it?"

FILES = """
access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64
fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync
ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat listxattr llistxattr _llseek
lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat _newselect
open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink
readlinkat readv removexattr rename renameat renameat2 rmdir sendfile sendfile64 setxattr splice stat stat64
statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink
unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev cachestat
"""
MEMORY = """
brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2
mprotect mremap msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease
remap_file_pages
"""
PROCESSES = """
alarm capget capset clone execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getegid
getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpgid getpgrp getpid getppid
getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid
getuid32 ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self pause
pidfd_open pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall rseq
rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_sigtimedwait_time64 rt_tgsigqueueinfo seccomp set_robust_list set_thread_area set_tid_address setfsgid
setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid
setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32
sigaltstack signalfd signalfd4 sigprocmask sigreturn sysinfo tgkill times tkill ugetrlimit uname vfork wait4
waitid waitpid
"""
SCHEDULING = """
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
sched_setparam sched_setscheduler sched_yield futex futex_time64 futex_waitv futex_requeue futex_wait
futex_wake
"""
TIME = """
adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 gettimeofday nanosleep time timer_create timer_delete timer_getoverrun
timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64
timerfd_settime timerfd_settime64
"""
WAITING = """
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
eventfd2 io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit poll ppoll
ppoll_time64 pselect6 pselect6_time64 select
"""
SOCKETS = """
accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64
recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
"""
IPC = """
ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt
shmget
"""
ALWAYS = (FILES, MEMORY, PROCESSES, SCHEDULING, TIME, WAITING, SOCKETS, IPC)

BY_CAPABILITY = {
    "BPF": "bpf",
    "DAC_READ_SEARCH": "open_by_handle_at",
    "PERFMON": "perf_event_open",
    "SYS_ADMIN": """bpf clone3 fanotify_init fanotify_mark fsconfig fsmount fsopen fspick lookup_dcookie
        lsm_get_self_attr lsm_list_modules lsm_set_self_attr listmount mount mount_setattr move_mount open_tree
        perf_event_open quotactl quotactl_fd setdomainname sethostname setns statmount syslog umount umount2
        unshare""",
    "SYS_BOOT": "reboot",
    "SYS_CHROOT": "chroot",
    "SYS_MODULE": "delete_module finit_module init_module",
    "SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "SYS_PACCT": "acct",
    "SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "SYS_RAWIO": "ioperm iopl",
    "SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "SYS_TTY_CONFIG": "vhangup",
    "SYSLOG": "syslog",
}
BY_ARCHITECTURE = {
    "amd64": "arch_prctl modify_ldt",
    "arm64": "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
    "386": "modify_ldt",
    "arm": "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
    "ppc64le": "swapcontext sync_file_range2",
    "s390x": "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
    "riscv64": "riscv_flush_icache",
}
CLONE_FLAGS = {"s390x": 1}
"""Which of clone's arguments are its flags, where it is not the first (clone(2), "C library/kernel differences")."""
UNCONDITIONAL_EXTRAS = "fanotify_mark"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A condition on one argument. operation: '!=', '<', '<=', '==', '>=', '>', or 'masked' (argument & first ==
    second)."""

    argument: int
    operation: str
    first: int
    second: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """What the kernel does (linux/seccomp.h's SECCOMP_RET_…) with calls for which all conditions hold."""

    calls: tuple[str, ...]
    where: tuple[Comparison, ...] = ()
    action: int = ALLOW


@dataclass(frozen=True, slots=True)
class Policy:
    """default: what is done with every other call. newer: what with calls newer than all that are named, None:
    the default. kin: which of the other architectures that the machine can run (i386 on amd64) it holds for, by
    audit number, None: all; a call of one that it does not hold for kills the process."""

    rules: tuple[Rule, ...]
    default: int = ERRNO | errno.EPERM
    newer: int | None = ERRNO | errno.ENOSYS
    kin: frozenset[int] | None = None


def make_policy(architecture: str, capabilities: frozenset[str]) -> Policy:
    """Docker's default, for a container with these capabilities on this architecture."""
    names = set(" ".join(ALWAYS).split()) | set(UNCONDITIONAL_EXTRAS.split())
    names |= set(BY_ARCHITECTURE[architecture].split())
    for capability in capabilities:
        names |= set(BY_CAPABILITY.get(capability, "").split())
    rules = [
        Rule(("socket",), (Comparison(0, "!=", AF_VSOCK),)),
        *(Rule(("personality",), (Comparison(0, "==", value),)) for value in PERSONALITIES),
    ]
    if "SYS_ADMIN" not in capabilities:
        names.discard("clone")
        flags = CLONE_FLAGS.get(architecture, 0)
        rules.append(Rule(("clone",), (Comparison(flags, "masked", NAMESPACE_FLAGS, 0),)))
        # Its flags lie in memory, where a filter cannot look; ENOSYS makes libc take clone instead.
        rules.append(Rule(("clone3",), action=ERRNO | errno.ENOSYS))
    return Policy((Rule(tuple(sorted(names))), *rules))
