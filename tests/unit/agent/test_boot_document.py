from collections.abc import Callable
from dataclasses import fields
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insula.agent.boot_document import (
    DOCUMENT_MAX,
    Address,
    BootDocument,
    BootFlag,
    File,
    Link,
    Mount,
    MountKind,
    Route,
    Sysctl,
)
from insula.agent.limits import IoLimit, Limits
from insula.agent.process_spec import Capabilities, Limit, ProcessFlag, ProcessSpec
from insula.errors import Internal, InvalidArgument

MAC = b"\x02\x42\xac\x11\x00\x02"


def process(**changes: object) -> ProcessSpec:
    return ProcessSpec(**({"number": 1, "arguments": ("true",)} | changes))  # type: ignore[arg-type]


def boot(**changes: object) -> BootDocument:
    return BootDocument(**({"number": 1, "main": process()} | changes))  # type: ignore[arg-type]


texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
numbers = st.integers(0, (1 << 64) - 1)
v4, v6 = st.ip_addresses(v=4), st.ip_addresses(v=6)
addresses = st.builds(
    lambda ip, n: Address(ip_interface(f"{ip}/{min(n, ip.max_prefixlen)}")), v4 | v6, st.integers(0, 128)
)
routes = st.one_of(
    st.builds(lambda ip, via: Route(ip_network(ip), via), v4, v4.filter(int)),
    st.builds(lambda ip: Route(ip_network(f"{ip}/64", strict=False)), v6),
)
specs = st.builds(
    ProcessSpec,
    number=st.integers(1, 0xFFFFFFFF),
    arguments=st.lists(texts, max_size=4).map(lambda rest: ("sh", *rest)),
    environment=st.lists(texts, max_size=4).map(tuple),
    flags=st.integers(0, 31).map(ProcessFlag),
    rows=st.integers(0, 0xFFFF),
    columns=st.integers(0, 0xFFFF),
    directory=texts,
    user=texts,
    groups=st.lists(texts, max_size=3).map(tuple),
    capabilities=st.builds(Capabilities, numbers, numbers, numbers, numbers, numbers),
    limits=st.lists(st.builds(Limit, st.integers(0, 15), st.just(3), st.integers(3, 9)), max_size=3).map(
        tuple
    ),
    seccomp=st.binary(max_size=5).map(lambda program: program * 8),
    oom_score_adj=st.integers(-1000, 1000),
    umask=st.integers(0, 0o777),
)
links = st.builds(
    Link,
    st.integers(0, 255),
    st.sampled_from(["eth0", "a" * 15]),
    st.just(MAC),
    st.integers(68, 65535),
    st.lists(addresses, max_size=2).map(tuple),
    st.lists(routes, max_size=2).map(tuple),
)
cpusets = st.sampled_from(["", "0", "0-1,3", "7"])
limits = st.builds(
    Limits,
    memory=numbers,
    memory_low=numbers,
    cpu_quota=st.just(0) | st.integers(1_000, 1 << 40),
    cpu_period=st.integers(1_000, 1_000_000),
    cpu_weight=st.integers(0, 10_000),
    cpuset_cpus=cpusets,
    cpuset_mems=cpusets,
    pids=numbers,
    io_weight=st.integers(0, 10_000),
    io=st.lists(st.builds(IoLimit, numbers, numbers, numbers, numbers), max_size=3).map(tuple),
)
documents = st.builds(
    BootDocument,
    number=st.integers(1, 0xFFFFFFFF),
    main=specs,
    clock_ns=numbers,
    entropy=st.binary(max_size=64),
    hostname=texts.filter(lambda t: len(t.encode()) <= 64),
    disks=st.just(True),
    layers=st.lists(st.integers(0, 255), max_size=16).map(tuple),
    writable=st.none() | st.integers(0, 255),
    flags=st.integers(0, 15).map(BootFlag),
    mounts=st.lists(
        st.builds(Mount, st.sampled_from(MountKind), texts, texts.filter(bool), numbers, texts), max_size=3
    ).map(tuple),
    masked=st.lists(texts, max_size=3).map(tuple),
    read_only=st.lists(texts, max_size=3).map(tuple),
    files=st.lists(st.builds(File, texts.filter(bool), st.binary(max_size=99), st.integers(0, 0o7777)), max_size=3).map(tuple),
    links=st.lists(links, max_size=2).map(tuple),
    sysctls=st.lists(st.builds(Sysctl, st.just("kernel/shmmax"), texts), max_size=2).map(tuple),
    limits=limits,
    shm=numbers,
)  # fmt: skip


@given(documents)
def test_what_is_encoded_is_decoded(document: BootDocument) -> None:
    assert BootDocument.decode(document.encode()) == document


@given(specs, st.integers(0, 10_000))
def test_a_cut_spec_is_refused(spec: ProcessSpec, at: int) -> None:
    payload = spec.encode()
    with pytest.raises(Internal, match="malformed process"):
        ProcessSpec.decode(payload[: at % len(payload)])


def test_names_that_are_not_utf8_keep_their_bytes() -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    payload = process(arguments=("sh", name)).encode()
    assert b"caf\xe9" in payload
    assert ProcessSpec.decode(payload).arguments == ("sh", name)


def test_the_largest_document_and_one_byte_more() -> None:
    room = DOCUMENT_MAX - len(boot(main=process(environment=("", ""))).encode())
    halves = ("a" * (room // 2), "b" * (room - room // 2))
    assert len(boot(main=process(environment=halves)).encode()) == DOCUMENT_MAX
    with pytest.raises(InvalidArgument, match="boot document takes 262141 bytes"):
        boot(main=process(environment=(*halves[:1], halves[1] + "b"))).encode()


@pytest.mark.parametrize(
    "build",
    [
        lambda: process(number=0),
        lambda: process(number=1 << 32),
        lambda: process(arguments=()),
        lambda: process(arguments=("",)),
        lambda: process(arguments=["true"]),
        lambda: process(arguments=("a\0b",)),
        lambda: process(arguments=("a", b"b")),
        lambda: process(arguments=("a" * 131_073,)),
        lambda: process(arguments=("a",) * 1_025),
        lambda: process(arguments=("\ud800",)),
        lambda: process(environment=("a=b",) * 4_097),
        lambda: process(flags=32),
        lambda: process(rows=65_536),
        lambda: process(columns=-1),
        lambda: process(directory="/" * 4_096),
        lambda: process(user="u" * 257),
        lambda: process(groups=("g",) * 1_025),
        lambda: process(seccomp=bytes(4)),
        lambda: process(seccomp=bytes(65_544)),
        lambda: process(oom_score_adj=1_001),
        lambda: process(umask=0o1000),
        lambda: process(limits=(Limit(7, 1, 1),) * 17),
        lambda: Limit(16, 0, 0),
        lambda: Limit(7, 2, 1),
        lambda: Capabilities(ambient=1 << 64),
        lambda: Mount(9, "a", "b"),  # type: ignore[arg-type]
        lambda: Mount(MountKind.TMPFS, "tmpfs", ""),
        lambda: Mount(MountKind.TMPFS, "tmpfs", "/a", -1),
        lambda: File("", b""),
        lambda: File("/etc/hosts", bytes(65_537)),
        lambda: File("/etc/hosts", b"", 0o10000),
        lambda: Link(0, "", MAC, 1500),
        lambda: Link(0, "a" * 16, MAC, 1500),
        lambda: Link(0, "a/b", MAC, 1500),
        lambda: Link(0, "..", MAC, 1500),
        lambda: Link(0, "eth0", MAC[:5], 1500),
        lambda: Link(0, "eth0", MAC, 67),
        lambda: Link(256, "eth0", MAC, 1500),
        lambda: Route(ip_network("10.0.0.0/8"), ip_address("fe80::1")),
        lambda: Sysctl("../sys/kernel", "1"),
        lambda: Sysctl("/kernel/shmmax", "1"),
        lambda: Sysctl("", "1"),
        lambda: boot(number=0),
        lambda: boot(entropy=bytes(513)),
        lambda: boot(hostname="h" * 65),
        lambda: boot(layers=tuple(range(17))),
        lambda: boot(layers=(256,)),
        lambda: boot(writable=-1),
        lambda: boot(disks=False, layers=(0,)),
        lambda: boot(disks=False, writable=0),
        lambda: boot(flags=32),
        lambda: boot(mounts=[]),
        lambda: boot(masked=("/a\0",)),
        lambda: boot(shm=-1),
        lambda: boot(clock_ns=1 << 64),
    ],
)
def test_what_the_agent_could_not_parse_is_not_built(build: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgument):
        build()


def test_every_field_of_a_document_is_on_the_wire() -> None:
    """Two documents that differ in one field only are different bytes."""
    link = Link(
        0, "eth0", MAC, 1500, (Address(ip_interface("10.0.0.2/8")),), (Route(ip_network("0.0.0.0/0")),)
    )
    changes: dict[str, object] = {
        "number": 2, "main": process(number=2), "clock_ns": 1, "entropy": b"x", "hostname": "h", "domainname": "d",
        "disks": False, "layers": (1,), "writable": 0, "flags": BootFlag.INIT,
        "mounts": (Mount(MountKind.TMPFS, "a", "/b"),), "masked": ("/a",), "read_only": ("/a",),
        "files": (File("/a", b""),), "links": (link,), "sysctls": (Sysctl("a", "b"),),
        "limits": Limits(memory=1), "shm": 1,
    }  # fmt: skip
    assert set(changes) == {field.name for field in fields(BootDocument)}
    base = boot().encode()
    encoded = {name: boot(**{name: value}).encode() for name, value in changes.items()}
    assert base not in encoded.values()
    assert len(set(encoded.values())) == len(changes)
