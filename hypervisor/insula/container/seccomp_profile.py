"""A user's own seccomp profile, as Docker's JSON has it (moby/profiles/seccomp), into a Policy. Pure.

What depends on the host under Docker depends on the guest here: its architecture, the container's capabilities, its
kernel's version (counted as the oldest that Insula boots). It comes from an API client, so everything in it is
bounded and of a checked type; what would need a listener outside the guest (SCMP_ACT_NOTIFY) is refused. The flags
of seccomp(2) and names of architectures that the guest does not run change nothing in it and are only checked.
"""

import errno
import json
import re
from typing import Any

from insula.container.seccomp_policy import ALLOW, ERRNO, Comparison, Policy, Rule
from insula.errors import InvalidArgument

CALLS_MAX, CONDITIONS_MAX, ARGUMENTS = 4096, 512, 6
KERNEL = (6, 1)
KILL_PROCESS, KILL_THREAD, TRAP, TRACE, LOG = 0x80000000, 0, 0x00030000, 0x7FF00000, 0x7FFC0000
ACTIONS = {
    "SCMP_ACT_KILL": KILL_THREAD, "SCMP_ACT_KILL_THREAD": KILL_THREAD, "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_TRAP": TRAP, "SCMP_ACT_ERRNO": ERRNO, "SCMP_ACT_TRACE": TRACE, "SCMP_ACT_LOG": LOG,
    "SCMP_ACT_ALLOW": ALLOW,
}  # fmt: skip
NOTIFY = "SCMP_ACT_NOTIFY"
PERMISSIVE = (ALLOW, LOG, TRACE)
OPERATIONS = {
    "SCMP_CMP_NE": "!=", "SCMP_CMP_LT": "<", "SCMP_CMP_LE": "<=", "SCMP_CMP_EQ": "==", "SCMP_CMP_GE": ">=",
    "SCMP_CMP_GT": ">", "SCMP_CMP_MASKED_EQ": "masked",
}  # fmt: skip
NUMBERS = {
    "SCMP_ARCH_X86": 0x40000003, "SCMP_ARCH_X86_64": 0xC000003E, "SCMP_ARCH_X32": 0x4000003E,
    "SCMP_ARCH_ARM": 0x40000028, "SCMP_ARCH_AARCH64": 0xC00000B7, "SCMP_ARCH_PPC64LE": 0xC0000015,
    "SCMP_ARCH_S390": 0x16, "SCMP_ARCH_S390X": 0x80000016, "SCMP_ARCH_RISCV64": 0xC00000F3,
}  # fmt: skip
"""Audit numbers of what a guest can run; other architectures are known, but no guest's."""
OTHERS = frozenset(
    f"SCMP_ARCH_{name}"
    for name in ("MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC", "PPC64", "PARISC",
                 "PARISC64", "LOONGARCH64")
)  # fmt: skip
NAMES = {
    "amd64": ("amd64", "SCMP_ARCH_X86_64"), "386": ("x86", "SCMP_ARCH_X86"), "arm64": ("arm64", "SCMP_ARCH_AARCH64"),
    "arm": ("arm", "SCMP_ARCH_ARM"), "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"), "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
}  # fmt: skip
"""A guest's architecture as the profile's conditions and its lists name it."""
FLAGS = tuple(f"SECCOMP_FILTER_FLAG_{name}" for name in ("TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"))
Object = dict[str, Any]


def parse_profile(text: str, architecture: str, capabilities: frozenset[str]) -> Policy | None:
    """None: the profile has no default and no call, which turns the filter off. Raises InvalidArgument."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"Decoding seccomp profile failed: {str(error)[:200]}") from error
    profile = _object(document, "the profile")
    calls = _list(profile, "syscalls")
    if not _text(profile, "defaultaction") and not calls:
        return None
    if _text(profile, "listenerpath") or _text(profile, "listenermetadata"):
        raise _no_listener("a listener")
    for flag in _list(profile, "flags"):
        if flag not in FLAGS:
            raise InvalidArgument(f"seccomp flag {str(flag)[:80]} is not known")
    default = _action(profile, "defaultaction", "defaulterrnoret")
    newer = None if default in (*PERMISSIVE, ERRNO | errno.ENOSYS) else ERRNO | errno.ENOSYS
    rules: list[Rule] = []
    for item in calls:
        call = _object(item, "syscalls")
        if _holds(call, architecture, capabilities):
            rules += _rules(call)
        else:
            _rules(call)  # what does not count here must make sense, too
    if sum(len(rule.calls) for rule in rules) > CALLS_MAX:
        raise _wrong(f"it names more than {CALLS_MAX} calls")
    if sum(len(rule.calls) * len(rule.where) for rule in rules) > CONDITIONS_MAX:
        raise _wrong(f"it has more than {CONDITIONS_MAX} conditions")
    return Policy(tuple(rules), default, newer, _kin(profile, architecture))


def _kin(profile: Object, architecture: str) -> frozenset[int]:
    names = _names(profile, "architectures")
    maps = _list(profile, "archmap")
    if names and maps:
        raise InvalidArgument(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, "
            "use either 'architectures' or 'archMap'"
        )
    for item in maps:
        entry = _object(item, "archMap")
        below = _names(entry, "subarchitectures")
        if _text(entry, "architecture") == NAMES[architecture][1]:
            names += below
    for name in names:
        if name not in NUMBERS and name not in OTHERS:
            raise InvalidArgument(f"string {name[:80]} is not a valid arch for seccomp")
    return frozenset(NUMBERS[name] for name in names if name in NUMBERS)


def _rules(call: Object) -> list[Rule]:
    name, names = _text(call, "name"), _names(call, "names")
    if name and names:
        raise InvalidArgument(
            "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'"
        )
    calls = tuple(names or ([name] if name else []))
    if "" in calls:
        raise _wrong("a call has no name")
    action = _action(call, "action", "errnoret")
    where = tuple(_comparison(_object(item, "args")) for item in _list(call, "args"))
    if len({item.argument for item in where}) < len(where):  # of one argument: any of them, as in runc
        return [Rule(calls, (item,), action) for item in where]
    return [Rule(calls, where, action)]


def _comparison(item: Object) -> Comparison:
    operation = _text(item, "op")
    if operation not in OPERATIONS:
        raise InvalidArgument(f"string {operation[:80]} is not a valid operator for seccomp")
    argument = _number(item, "index", ARGUMENTS - 1)
    first, second = (_number(item, name, (1 << 64) - 1) for name in ("value", "valuetwo"))
    return Comparison(argument, OPERATIONS[operation], first, second)


def _action(item: Object, name: str, number: str) -> int:
    """The kernel's return value of an action. ERRNO and TRACE carry a number, EPERM where none is given."""
    text = _text(item, name)
    if text == NOTIFY:
        raise _no_listener(NOTIFY)
    if text not in ACTIONS:
        raise InvalidArgument(f"string {text[:80]} is not a valid action for seccomp")
    given = _number(item, number, 0xFFFF, errno.EPERM)
    return ACTIONS[text] | given if ACTIONS[text] in (ERRNO, TRACE) else ACTIONS[text]


def _holds(call: Object, architecture: str, capabilities: frozenset[str]) -> bool:
    """Whether a rule counts for this container: of what excludes it nothing may be so, of what includes it all."""
    found = {}
    for name in ("includes", "excludes"):
        terms = _object(call.get(name) or {}, name)
        arches, kernel = _names(terms, "arches"), _text(terms, "minkernel")
        here = [] if not arches else [NAMES[architecture][0] in arches]
        have = [cap.removeprefix("CAP_") in capabilities for cap in _names(terms, "caps")]
        found[name] = [*here, *have, *([_version(kernel) <= KERNEL] if kernel else [])]
    return all(found["includes"]) and not any(found["excludes"])


def _version(text: str) -> tuple[int, int]:
    matched = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", text, re.ASCII)
    if matched is None:
        raise _wrong(f'invalid kernel version: "{text[:40]}", expected "<kernel>.<major>"')
    return int(matched[1]), int(matched[2])


# -- JSON, of checked types; names match in any case, as Go reads them


def _object(value: Any, what: str) -> Object:
    if not isinstance(value, dict):
        raise _wrong(f"{what} is not an object")
    return {key.lower(): item for key, item in value.items()}


def _list(item: Object, name: str) -> list[Any]:
    value = item.get(name)
    if value is not None and not isinstance(value, list):
        raise _wrong(f"{name} is not a list")
    return value or []


def _names(item: Object, name: str) -> list[str]:
    values = _list(item, name)
    for value in values:
        if not isinstance(value, str):
            raise _wrong(f"{name} is not a list of names")
    return list(values)


def _text(item: Object, name: str) -> str:
    value = item.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong(f"{name} is not a text")
    return value or ""


def _number(item: Object, name: str, most: int, default: int = 0) -> int:
    value = item.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise _wrong(f"{name} is not a number from 0 to {most}")
    return value


def _wrong(why: str) -> InvalidArgument:
    return InvalidArgument(f"Decoding seccomp profile failed: {why}")


def _no_listener(what: str) -> InvalidArgument:
    return InvalidArgument(
        f"seccomp profile: {what} cannot be had", "nobody outside the guest could answer it"
    )
