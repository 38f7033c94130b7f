import errno

import pytest
from bpf import run_filter

from insula.container.capabilities import ALL, DEFAULT
from insula.container.seccomp import ARCHITECTURES, compile_filter, seccomp_filter
from insula.container.seccomp_policy import ALLOW, ERRNO

X86, I386, X32 = ARCHITECTURES["amd64"]
AUDIT_X86 = X86
ARM64, ARM = ARCHITECTURES["arm64"]
EPERM, ENOSYS = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS
NEWNS, NEWUSER, SIGCHLD = 0x20000, 0x10000000, 17

# numbers: (x86_64, aarch64 and riscv64, arm, i386, ppc64le, s390x)
READ, SOCKET, CLONE, CLONE3, MOUNT, PERSONALITY, REBOOT = (
    (0, 63, 3, 3, 3, 3), (41, 198, 281, 359, 326, 359), (56, 220, 120, 120, 120, 120), (435,) * 6,
    (165, 40, 21, 21, 21, 21), (135, 92, 136, 136, 136, 136), (169, 142, 88, 88, 88, 88),
)  # fmt: skip
KEYCTL, BPF, IO_URING_SETUP, USERFAULTFD, UNSHARE, INIT_MODULE, CHROOT, MKNODAT = (
    (250, 219, 311, 288, 271, 280), (321, 280, 386, 357, 361, 351), (425,) * 6, (323, 282, 388, 374, 364, 355),
    (272, 97, 337, 310, 282, 303), (175, 105, 128, 128, 128, 128), (161, 51, 61, 61, 61, 61),
    (259, 33, 324, 297, 288, 290),
)  # fmt: skip
MACHINES = {
    "amd64": ((X86, 0),), "arm64": ((ARM64, 1), (ARM, 2)), "arm": ((ARM, 2),), "386": ((I386, 3),),
    "ppc64le": ((0xC0000015, 4),), "s390x": ((0x80000016, 5),), "riscv64": ((0xC00000F3, 1),),
}  # fmt: skip
CASES = [(name, audit, index) for name, rows in MACHINES.items() for audit, index in rows]


@pytest.fixture(scope="module")
def filters() -> dict[str, bytes]:
    return {name: compile_filter(name, DEFAULT) for name in ARCHITECTURES}


@pytest.mark.parametrize(("name", "audit", "index"), CASES)
class TestDefault:
    @pytest.mark.parametrize("call", [READ, CHROOT, MKNODAT])
    def test_allows(
        self, filters: dict[str, bytes], name: str, audit: int, index: int, call: tuple[int, ...]
    ) -> None:
        assert run_filter(filters[name], audit, call[index]) == ALLOW

    @pytest.mark.parametrize(
        "call", [MOUNT, REBOOT, KEYCTL, BPF, IO_URING_SETUP, USERFAULTFD, UNSHARE, INIT_MODULE]
    )
    def test_refuses(
        self, filters: dict[str, bytes], name: str, audit: int, index: int, call: tuple[int, ...]
    ) -> None:
        assert run_filter(filters[name], audit, call[index]) == EPERM

    def test_clone(self, filters: dict[str, bytes], name: str, audit: int, index: int) -> None:
        filter = filters[name]
        before = (NEWUSER,) if name == "s390x" else ()  # there the new stack comes first
        assert run_filter(filter, audit, CLONE[index], (*before, SIGCHLD)) == ALLOW
        for flag in (NEWNS, NEWUSER):
            assert run_filter(filter, audit, CLONE[index], (*before, SIGCHLD | flag)) == EPERM
        assert run_filter(filter, audit, CLONE3[index]) == ENOSYS

    def test_socket(self, filters: dict[str, bytes], name: str, audit: int, index: int) -> None:
        assert run_filter(filters[name], audit, SOCKET[index], (2,)) == ALLOW
        assert run_filter(filters[name], audit, SOCKET[index], (40,)) == EPERM

    def test_personality(self, filters: dict[str, bytes], name: str, audit: int, index: int) -> None:
        for value, answer in ((0, ALLOW), (8, ALLOW), (0xFFFFFFFF, ALLOW), (0x0040000, EPERM)):
            assert run_filter(filters[name], audit, PERSONALITY[index], (value,)) == answer


def test_a_call_newer_than_the_policy_is_not_there(filters: dict[str, bytes]) -> None:
    assert run_filter(filters["amd64"], X86, 9999) == ENOSYS
    assert run_filter(filters["arm64"], ARM64, 9999) == ENOSYS
    assert run_filter(filters["s390x"], 0x80000016, 9999) == ENOSYS


def test_arm_has_calls_of_its_own_above_all_others(filters: dict[str, bytes]) -> None:
    assert run_filter(filters["arm"], ARM, 0xF0002) == ALLOW  # cacheflush
    assert run_filter(filters["arm"], ARM, 0xF0005) == ALLOW  # set_tls
    assert run_filter(filters["arm"], ARM, 9999) == ENOSYS


def test_a_foreign_architecture_is_killed(filters: dict[str, bytes]) -> None:
    assert run_filter(filters["arm64"], X86, READ[0]) == 0
    assert run_filter(filters["amd64"], ARM64, READ[1]) == 0


def test_i386_and_x32_have_their_own_numbers(filters: dict[str, bytes]) -> None:
    assert run_filter(filters["amd64"], I386, 3) == ALLOW  # read
    assert run_filter(filters["amd64"], I386, 21) == EPERM  # mount
    assert run_filter(filters["amd64"], X86, 0x40000000) == ALLOW  # x32 read
    assert run_filter(filters["amd64"], X86, 0x40000000 + 165) == EPERM  # x32 mount


def test_a_capability_brings_its_calls() -> None:
    filter = compile_filter("amd64", ALL)
    for call in (MOUNT, REBOOT, BPF, UNSHARE, INIT_MODULE, CLONE3):
        assert run_filter(filter, X86, call[0]) == ALLOW
    assert run_filter(filter, X86, KEYCTL[0]) == EPERM


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_is_small_enough_for_the_kernel(filters: dict[str, bytes], name: str) -> None:
    assert len(filters[name]) % 8 == 0
    assert len(filters[name]) // 8 <= 4096


async def test_it_is_made_once() -> None:
    assert await seccomp_filter("amd64", DEFAULT) is await seccomp_filter("amd64", DEFAULT)
