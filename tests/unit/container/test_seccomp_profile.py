"""A user's own profile: what it becomes, what of it counts for whom, and everything that is refused."""

import errno
import json
from typing import Any

import pytest
from bpf import run_filter
from hypothesis import given, settings
from hypothesis import strategies as st

from insula.container.capabilities import ALL, DEFAULT
from insula.container.seccomp import ARCHITECTURES
from insula.container.seccomp_own import own_filter
from insula.container.seccomp_policy import ALLOW, ERRNO, Comparison, Policy, Rule
from insula.container.seccomp_profile import KILL_PROCESS, TRAP, parse_profile
from insula.errors import InvalidArgument

X86, I386, X32 = ARCHITECTURES["amd64"]
EPERM, ENOSYS = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS
READ, MKDIR, PRCTL, UNAME = 0, 83, 157, 63


def parse(
    document: Any, architecture: str = "amd64", capabilities: frozenset[str] = DEFAULT
) -> Policy | None:
    return parse_profile(json.dumps(document), architecture, capabilities)


def rule(action: str = "SCMP_ACT_ALLOW", **more: Any) -> dict[str, Any]:
    return {"names": ["read"], "action": action, **more}


def deny(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": list(calls), **more}


def calls_of(*calls: dict[str, Any], **where: Any) -> list[tuple[str, ...]]:
    policy = parse(deny(*calls), **where)
    assert policy is not None
    return [rule.calls for rule in policy.rules]


def test_a_whole_one() -> None:
    condition = {"index": 1, "value": 6, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}
    policy = parse(
        deny(
            rule(),
            {"name": "mkdir", "action": "SCMP_ACT_ERRNO", "errnoRet": 28, "args": [condition], "comment": "why"},
            rule("SCMP_ACT_TRAP", names=["uname", "prctl"]),
            defaultErrnoRet=5, architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], flags=["SECCOMP_FILTER_FLAG_LOG"],
        )
    )  # fmt: skip
    assert policy == Policy(
        (
            Rule(("read",)),
            Rule(("mkdir",), (Comparison(1, "masked", 6, 2),), ERRNO | 28),
            Rule(("uname", "prctl"), action=TRAP),
        ),
        default=ERRNO | 5,
        newer=ENOSYS,
        kin=frozenset({X86, I386}),
    )


def test_names_in_any_case_and_archmap() -> None:
    policy = parse(
        {"DefaultAction": "SCMP_ACT_ALLOW", "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_MIPS"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}]}
    )  # fmt: skip
    assert policy == Policy((), ALLOW, None, frozenset({I386}))


def test_nothing_said_turns_it_off() -> None:
    assert parse({}) is None
    assert parse({"architectures": ["SCMP_ARCH_X86"]}) is None


def test_what_counts_for_whom() -> None:
    calls = (
        rule(names=["a"], includes={"caps": ["CAP_SYS_ADMIN"]}),
        rule(names=["b"], excludes={"caps": ["CAP_SYS_ADMIN"]}),
        rule(names=["c"], includes={"arches": ["arm64"]}),
        rule(names=["d"], excludes={"arches": ["amd64", "x86"]}),
        rule(names=["e"], includes={"minKernel": "4.8"}),
        rule(names=["f"], includes={"minKernel": "99.0"}),
        rule(names=["g"], includes={"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}),
    )
    assert calls_of(*calls) == [("b",), ("e",)]
    assert calls_of(*calls, capabilities=ALL) == [("a",), ("e",), ("g",)]
    assert calls_of(*calls, architecture="arm64") == [("b",), ("c",), ("d",), ("e",)]


def test_several_conditions_on_one_argument_are_alternatives() -> None:
    first, second = ({"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in (1, 2))
    policy = parse(deny(rule(args=[first, second])))
    assert policy is not None and [len(rule.where) for rule in policy.rules] == [1, 1]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "Decoding seccomp profile failed: the profile is not an object"),
        (deny({"names": "read", "action": "SCMP_ACT_ALLOW"}), "Decoding seccomp profile failed: names is not a list"),
        (deny({"names": [1], "action": "SCMP_ACT_ALLOW"}), "names is not a list of names"),
        (deny({"names": [""], "action": "SCMP_ACT_ALLOW"}), "a call has no name"),
        (deny("read"), "syscalls is not an object"),
        (deny(rule("odd")), "string odd is not a valid action for seccomp"),
        (deny(rule(), defaultAction="odd"), "string odd is not a valid action for seccomp"),
        (deny(rule("SCMP_ACT_NOTIFY")), "SCMP_ACT_NOTIFY cannot be had"),
        (deny(rule(), listenerPath="/x"), "a listener cannot be had"),
        (deny(rule(), flags=["odd"]), "seccomp flag odd is not known"),
        (deny(rule(), architectures=["odd"]), "string odd is not a valid arch for seccomp"),
        (deny(architectures=["SCMP_ARCH_X86"], archMap=[{}]), "both 'architectures' and 'archMap' are specified"),
        (deny(rule(name="x")), "both 'name' and 'names' are specified"),
        (deny(rule(args=[{"index": 0, "op": "odd"}])), "string odd is not a valid operator for seccomp"),
        (deny(rule(args=[{"index": 6, "op": "SCMP_CMP_EQ"}])), "index is not a number from 0 to 5"),
        (deny(rule(args=[{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}])), "value is not a number"),
        (deny(rule(args=[{"index": 0, "value": 1 << 64, "op": "SCMP_CMP_EQ"}])), "value is not a number"),
        (deny(rule(errnoRet=1 << 16)), "errnoret is not a number from 0 to 65535"),
        (deny(rule(includes={"minKernel": "5"})), 'invalid kernel version: "5"'),
        (deny(rule(includes={"minKernel": "9.0"}, action="odd")), "string odd is not a valid action"),
        (deny(*[rule(names=["read"] * 100)] * 41), "it names more than 4096 calls"),
        (deny(*[rule(args=[{"index": 0, "op": "SCMP_CMP_EQ"}])] * 513), "it has more than 512 conditions"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_refused(document: Any, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(document)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "nul\0"], ids=lambda text: text[:5])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Decoding seccomp profile failed"):
        parse_profile(text, "amd64", DEFAULT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["SCMP_ACT_ALLOW", "amd64"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["syscalls", "names", "action", "args", "op", "index", "includes", "archMap", "minKernel"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(deadline=None)
@given(JSON)
def test_any_json_is_a_policy_or_refused(syscalls: Any) -> None:
    try:
        parse({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": syscalls})
    except InvalidArgument as error:
        assert error.message


async def test_it_is_compiled() -> None:
    condition = {"index": 0, "value": 15, "op": "SCMP_CMP_EQ"}
    document = deny(
        rule(names=["read", "uname"]),
        rule(names=["prctl"], args=[condition]),
        rule("SCMP_ACT_ERRNO", names=["mkdir"], errnoRet=errno.ENOSPC),
        rule(names=["no_such_call"]),
    )
    filter = await own_filter(json.dumps(document), "amd64", DEFAULT)
    assert run_filter(filter, X86, READ) == run_filter(filter, X86, UNAME) == ALLOW
    assert run_filter(filter, X86, PRCTL, (15,)) == ALLOW
    assert run_filter(filter, X86, PRCTL, (16,)) == EPERM
    assert run_filter(filter, X86, MKDIR) == ERRNO | errno.ENOSPC
    assert run_filter(filter, X86, 9999) == ENOSYS
    assert run_filter(filter, I386, 3) == 0  # it holds for amd64 alone: everything else is killed
    with_kin = await own_filter(json.dumps(document | {"architectures": ["SCMP_ARCH_X86"]}), "amd64", DEFAULT)
    assert run_filter(with_kin, I386, 3) == ALLOW


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
async def test_actions(architecture: str) -> None:
    native = ARCHITECTURES[architecture][0]
    read, uname = {"amd64": (0, 63), "arm64": (63, 160)}[architecture]
    document = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("SCMP_ACT_KILL_PROCESS")]}
    filter = await own_filter(json.dumps(document), architecture, DEFAULT)
    assert run_filter(filter, native, read) == KILL_PROCESS
    assert run_filter(filter, native, uname) == run_filter(filter, native, 9999) == ALLOW


async def test_one_that_turns_it_off_and_one_of_nothing() -> None:
    assert await own_filter("{}", "amd64", DEFAULT) == b""
    filter = await own_filter('{"defaultAction": "SCMP_ACT_ERRNO"}', "amd64", DEFAULT)
    assert run_filter(filter, X86, READ) == EPERM


async def test_one_that_would_take_for_ever_is_refused() -> None:
    operations = [f"SCMP_CMP_{name}" for name in ("MASKED_EQ", "GE", "NE", "LE", "GT", "LT")]
    calls = [
        rule("SCMP_ACT_ERRNO", args=[
            {"index": n, "value": (i * 7919 + n * 2**33) | 1, "valueTwo": 1, "op": operations[(i + n) % 6]}
            for n in range(6)
        ])
        for i in range(40)
    ]  # fmt: skip
    document = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls}
    with pytest.raises(InvalidArgument, match="cannot be compiled within 5 s"):
        await own_filter(json.dumps(document), "amd64", DEFAULT)


async def test_an_architecture_without_filters_has_none() -> None:
    with pytest.raises(InvalidArgument, match="no seccomp filters on nothing"):
        await own_filter('{"defaultAction": "SCMP_ACT_ERRNO"}', "nothing", DEFAULT)
