"""System call policies as classic BPF programs for the guest's architecture.

The policy (seccomp_policy.py: Docker's default; seccomp_profile.py: a user's own) is data; here the host's libseccomp
turns it into a filter, for an architecture that need not be the host's, with a binary tree over the numbers. The
default's filter depends only on the architecture and the capabilities, so it is made once for each pair; making one
takes some tens of milliseconds, hence in a thread. libseccomp knows all architectures' numbers; a call that one of
them lacks is left out for it.
"""

import asyncio
import ctypes
import errno
import os
import struct
from functools import lru_cache
from typing import Any

from insula.container.seccomp_policy import Comparison, Policy, make_policy
from insula.errors import Internal, Unavailable

LIBRARY = "libseccomp.so.2"
ATTRIBUTE_OPTIMIZE, BINARY_TREE = 8, 2
LOAD, JUMP_EQUAL, JUMP_GREATER, RETURN = 0x20, 0x15, 0x25, 0x06  # linux/bpf_common.h
KILL = 0  # what libseccomp does to a call of an architecture that has no rules
NUMBER_OFFSET, ARCHITECTURE_OFFSET = 0, 4  # struct seccomp_data
LITTLE_ENDIAN = 0x40000000  # __AUDIT_ARCH_LE, linux/audit.h
OPERATIONS = {"!=": 1, "<": 2, "<=": 3, "==": 4, ">=": 5, ">": 6, "masked": 7}
UNKNOWN_CALL = -1

ARCHITECTURES: dict[str, tuple[int, ...]] = {
    "amd64": (0xC000003E, 0x40000003, 0x4000003E),  # x86_64, i386, x32
    "arm64": (0xC00000B7, 0x40000028),  # aarch64, arm
    "386": (0x40000003,),
    "arm": (0x40000028,),
    "ppc64le": (0xC0000015,),
    "s390x": (0x80000016, 0x00000016),  # s390x, s390
    "riscv64": (0xC00000F3,),
}
"""Audit numbers as libseccomp has them (x32 is its own invention): the first is the machine's own."""

SPECIAL_CALLS = {"amd64": 0x40000000, "arm": 0x000F0000}
"""Where a second range of numbers begins, above all others: x32's, and ARM's own."""


class _Compare(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


async def seccomp_filter(architecture: str, capabilities: frozenset[str]) -> bytes:
    """The default's instructions, in the guest's byte order. Raises Unavailable."""
    key = (architecture, capabilities)
    if key not in _made:
        _made[key] = await asyncio.to_thread(compile_filter, architecture, capabilities)
    return _made[key]


_made: dict[tuple[str, frozenset[str]], bytes] = {}


@lru_cache(1)
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY, use_errno=True)
    except OSError as error:
        raise Unavailable(f"the library {LIBRARY} is not installed", "apt-get install libseccomp2") from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_release.restype = None
    for name, arguments in {
        "seccomp_arch_add": (ctypes.c_void_p, ctypes.c_uint32),
        "seccomp_arch_remove": (ctypes.c_void_p, ctypes.c_uint32),
        "seccomp_attr_set": (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32),
        "seccomp_rule_add_array": (
            ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Compare),
        ),
        "seccomp_export_bpf": (ctypes.c_void_p, ctypes.c_int),
        "seccomp_syscall_resolve_name": (ctypes.c_char_p,),
        "seccomp_syscall_resolve_name_arch": (ctypes.c_uint32, ctypes.c_char_p),
        "seccomp_arch_native": (),
    }.items():  # fmt: skip
        getattr(library, name).argtypes = arguments
    library.seccomp_arch_native.restype = ctypes.c_uint32
    return library


def compile_filter(architecture: str, capabilities: frozenset[str]) -> bytes:
    """Docker's default. Blocks for some tens of milliseconds. Raises Unavailable, Internal."""
    return compile_policy(architecture, make_policy(architecture, capabilities))


def compile_policy(architecture: str, policy: Policy) -> bytes:
    """Blocks. Raises Unavailable, Internal."""
    library = _library()
    context = library.seccomp_init(policy.default)
    if not context:
        raise Internal("libseccomp made no filter")
    try:
        _fill(library, context, architecture, policy)
        made = _newer_calls(library, architecture, policy) + _export(library, context)
        return made if ARCHITECTURES[architecture][0] & LITTLE_ENDIAN else _with_actions_mended(made, policy)
    finally:
        library.seccomp_release(context)


def _fill(library: Any, context: int, architecture: str, policy: Policy) -> None:
    own, *kin = ARCHITECTURES[architecture]
    held = [own, *(number for number in kin if policy.kin is None or number in policy.kin)]
    native = library.seccomp_arch_native()  # taken out first, for no filter can have two byte orders
    _check("remove the host's architecture", library.seccomp_arch_remove(context, native))
    for number in held:
        _check("add an architecture", library.seccomp_arch_add(context, number))
    if policy.rules:  # libseccomp 2.5 makes no tree of nothing
        _check("optimise", library.seccomp_attr_set(context, ATTRIBUTE_OPTIMIZE, BINARY_TREE))
    for rule in policy.rules:
        if rule.action == policy.default:
            continue
        for name in rule.calls:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number != UNKNOWN_CALL:  # libseccomp is older than the call: then the default stands
                _add(library, context, rule.action, number, rule.where)


def _add(library: Any, context: int, action: int, number: int, where: tuple[Comparison, ...]) -> None:
    compares = (_Compare * len(where))(
        *(_Compare(item.argument, OPERATIONS[item.operation], item.first, item.second) for item in where)
    )
    status = library.seccomp_rule_add_array(context, action, number, len(where), compares)
    # EDOM: some architecture of these has no such call (or no such argument) and none is needed for it.
    _check(f"add a rule for call {number}", status, -errno.EEXIST, -errno.EDOM, -errno.EINVAL)


def _export(library: Any, context: int) -> bytes:
    fd = os.memfd_create("filter", os.MFD_CLOEXEC)
    try:
        _check("export the filter", library.seccomp_export_bpf(context, fd))
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)


def _with_actions_mended(program: bytes, policy: Policy) -> bytes:
    """libseccomp (2.5.4) writes some of a big-endian program's actions in the byte order of a little-endian host."""
    meant = {policy.default, policy.newer, KILL, *(rule.action for rule in policy.rules)}
    mended = []
    for code, true, false, value in struct.iter_unpack(">HBBI", program):
        if code == RETURN and value not in meant:
            value = int.from_bytes(value.to_bytes(4, "little"), "big")
        mended.append(struct.pack(">HBBI", code, true, false, value))
    return b"".join(mended)


def _newer_calls(library: Any, architecture: str, policy: Policy) -> bytes:
    """In front of the filter: a call newer than every call of the policy answers ENOSYS, not EPERM, so that a
    newer libc falls back to an older call."""
    native = ARCHITECTURES[architecture][0]
    names = {name.encode() for rule in policy.rules for name in rule.calls}
    numbers = (library.seccomp_syscall_resolve_name_arch(native, name) for name in names)
    special = SPECIAL_CALLS.get(architecture, 0xFFFFFFFF)
    highest = max((number for number in numbers if number < special), default=-1)
    if policy.newer is None or highest < 0:
        return b""
    program = (
        (LOAD, 0, 0, ARCHITECTURE_OFFSET),
        (JUMP_EQUAL, 0, 4, native),
        (LOAD, 0, 0, NUMBER_OFFSET),
        (JUMP_GREATER, 2, 0, special - 1),
        (JUMP_GREATER, 0, 1, highest),
        (RETURN, 0, 0, policy.newer),
    )
    order = "<" if native & LITTLE_ENDIAN else ">"
    return b"".join(struct.pack(f"{order}HBBI", *instruction) for instruction in program)


def _check(what: str, status: int, *expected: int) -> None:
    if status != 0 and status not in expected:
        raise Internal(f"libseccomp could not {what}: {os.strerror(-status)}")
