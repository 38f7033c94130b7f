"""Docker's default system call policy as a classic BPF program for the guest's architecture.

The policy (seccomp_policy.py) is data; here the host's libseccomp turns it into a filter, for an architecture
that need not be the host's, with a binary tree over the numbers. A filter depends only on the architecture and
the capabilities, so it is made once for each pair; making one takes some tens of milliseconds, hence in a
thread. libseccomp knows all architectures' numbers; a call that one of them lacks is left out for it.
"""

import asyncio
import ctypes
import errno
import os
import struct
from functools import lru_cache
from typing import Any

from insula.container.seccomp_policy import ALWAYS, Comparison, Rule, make_rules
from insula.errors import Internal, Unavailable

LIBRARY = "libseccomp.so.2"
ALLOW = 0x7FFF0000
ERRNO = 0x00050000
ATTRIBUTE_OPTIMIZE, BINARY_TREE = 8, 2
LOAD, JUMP_EQUAL, JUMP_GREATER, RETURN = 0x20, 0x15, 0x25, 0x06  # linux/bpf_common.h
NUMBER_OFFSET, ARCHITECTURE_OFFSET = 0, 4  # struct seccomp_data
X32_BIT = 0x40000000
OPERATIONS = {"!=": 1, "==": 4, "masked": 7}
UNKNOWN_CALL = -1

ARCHITECTURES: dict[str, tuple[int, ...]] = {
    "amd64": (0xC000003E, 0x40000003, 0x4000003E),  # x86_64, i386, x32
    "arm64": (0xC00000B7, 0x40000028),  # aarch64, arm
}
"""Audit numbers as libseccomp has them (x32 is its own invention): the first is the machine's own."""


class _Compare(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


async def seccomp_filter(architecture: str, capabilities: frozenset[str]) -> bytes:
    """The filter's instructions; empty for an architecture that has none yet. Raises Unavailable."""
    if architecture not in ARCHITECTURES:
        return b""
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
    """Blocks for some tens of milliseconds. Raises Unavailable, Internal."""
    library = _library()
    context = library.seccomp_init(ERRNO | errno.EPERM)
    if not context:
        raise Internal("libseccomp made no filter")
    try:
        _fill(library, context, architecture, make_rules(architecture, capabilities))
        return _unknown_calls(library, architecture) + _export(library, context)
    finally:
        library.seccomp_release(context)


def _fill(library: Any, context: int, architecture: str, rules: tuple[Rule, ...]) -> None:
    for number in ARCHITECTURES[architecture]:
        _check("add an architecture", library.seccomp_arch_add(context, number), -errno.EEXIST)
    native = library.seccomp_arch_native()
    if native not in ARCHITECTURES[architecture]:
        _check("remove the host's architecture", library.seccomp_arch_remove(context, native))
    _check("optimise", library.seccomp_attr_set(context, ATTRIBUTE_OPTIMIZE, BINARY_TREE))
    for rule in rules:
        action = ALLOW if rule.errno == 0 else ERRNO | rule.errno
        for name in rule.calls:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number != UNKNOWN_CALL:  # older than the call: then EPERM stands
                _add(library, context, action, number, rule.where)


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


def _unknown_calls(library: Any, architecture: str) -> bytes:
    """In front of the filter: a call newer than every call of the policy answers ENOSYS, not EPERM, so that a
    newer libc falls back to an older call."""
    native = ARCHITECTURES[architecture][0]
    names = " ".join(ALWAYS).split()
    highest = max(library.seccomp_syscall_resolve_name_arch(native, name.encode()) for name in names)
    program = (
        (LOAD, 0, 0, ARCHITECTURE_OFFSET),
        (JUMP_EQUAL, 0, 4, native),
        (LOAD, 0, 0, NUMBER_OFFSET),
        (JUMP_GREATER, 2, 0, X32_BIT - 1),
        (JUMP_GREATER, 0, 1, highest),
        (RETURN, 0, 0, ERRNO | errno.ENOSYS),
    )
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _check(what: str, status: int, *expected: int) -> None:
    if status != 0 and status not in expected:
        raise Internal(f"libseccomp could not {what}: {os.strerror(-status)}")
