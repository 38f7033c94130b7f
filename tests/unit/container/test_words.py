"""Small pure parts: signals, tmpfs options, failures, names, the registry."""

import errno

import pytest

from insula.agent.reports import Step
from insula.agent.session import GuestFailure
from insula.container.failure import explain
from insula.container.names import make_name
from insula.container.record import Record
from insula.container.registry import Registry
from insula.container.settings import Settings
from insula.container.signals import parse_signal
from insula.container.spec import ContainerSpec, check_name
from insula.container.tmpfs import parse_tmpfs
from insula.errors import Conflict, InsulaError, InvalidArgument, NotFound, Unavailable


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", 15),
        ("SIGTERM", 15),
        ("sigkill", 9),
        ("9", 9),
        ("RTMIN", 34),
        ("SIGRTMIN+3", 37),
        ("RTMAX-1", 63),
        ("64", 64),
    ],
)
def test_signals(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "65", "-1", "NOSUCH", "SIG", "RTMIN+31", "RTMAX-99", "9 ", "²", "SIGSIGTERM"]
)
def test_no_signals(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Invalid signal"):
        parse_signal(text)


@pytest.mark.parametrize(
    "options", ["size=x", "size", "mode=9", "bind", "ro=1", "size=1m,,evil", "mpol=x", "size=1m\0"]
)
def test_no_tmpfs(options: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid tmpfs option"):
        parse_tmpfs("/run", options)


def test_a_tmpfs() -> None:
    made = parse_tmpfs("/run//x/", "rw,exec,size=50%,mode=1777,uid=5")
    assert (made.target, made.data) == ("/run/x", "size=50%,mode=1777,uid=5")
    assert made.flags == 2 | 4 | 1 << 21


@pytest.mark.parametrize(
    ("failure", "code", "words"),
    [
        (
            GuestFailure(Step.EXEC, errno.ENOENT, "foo"),
            127,
            'exec: "foo": executable file not found in $PATH',
        ),
        (GuestFailure(Step.EXEC, errno.EACCES, "foo"), 126, 'exec: "foo": permission denied'),
        (GuestFailure(Step.EXEC, errno.ENOEXEC, "foo"), 126, 'exec: "foo": exec format error'),
        (
            GuestFailure(Step.USER, errno.ENOENT, "joe"),
            126,
            "unable to find user joe: no matching entries in passwd file",
        ),
        (
            GuestFailure(Step.USER, errno.ENOENT, "boat"),
            126,
            "unable to find group boat: no matching entries in group file",
        ),
        (
            GuestFailure(Step.SYSCTL, errno.ENOENT, "net/x"),
            128,
            "open /proc/sys/net/x: no such file or directory",
        ),
        (GuestFailure(Step.SYSCTL, errno.EINVAL, "net/x"), 128, "write /proc/sys/net/x: invalid argument"),
        (GuestFailure(Step.LIMITS, errno.EPERM, "nofile"), 128, "error setting rlimit nofile: operation not"),
        (GuestFailure(Step.DIRECTORY, errno.ENOTDIR, "/w"), 127, 'chdir to cwd ("/w"): not a directory'),
        (GuestFailure(Step.MOUNT, errno.EINVAL, "/x"), 128, "the guest could not mount"),
        (Unavailable("no machine"), 128, "no machine"),
    ],
)
def test_failures(failure: InsulaError, code: int, words: str) -> None:
    told = explain(failure, ("foo",), "/w", "joe:boat")
    assert told.exit_code == code
    assert words in told.error.message


def test_a_failure_by_path() -> None:
    told = explain(GuestFailure(Step.EXEC, errno.ENOENT, "/bin/foo"), ("/bin/foo",), "")
    assert told.exit_code == 127 and told.error.message.endswith("no such file or directory")


def test_names() -> None:
    taken: set[str] = set()
    for _ in range(5000):
        name = make_name(lambda name: name not in taken)
        check_name(name)
        assert name not in taken
        taken.add(name)


class Named:
    def __init__(self, id: str, name: str) -> None:
        self.record = Record(
            id=id,
            name=name,
            created_ns=1,
            spec=ContainerSpec(image="i"),
            settings=Settings(),
            image_id="x",
            platform="p",
        )


def test_the_registry() -> None:
    registry: Registry[Named] = Registry()
    for id, name in (("a" * 64, "one"), ("ab" + "c" * 62, "two"), ("d" * 64, "abcc")):
        registry.reserve(name, id)
        registry.add(Named(id, name))
    assert registry.find("one") is registry.find("/one") is registry.find("a" * 64) is registry.find("aaa")
    assert registry.find("abcc").record.name == "abcc", "a name goes before a prefix"
    assert registry.find("abccc").record.name == "two"
    with pytest.raises(InvalidArgument, match="multiple IDs"):
        registry.find("a")
    for unknown in ("", "/", "nobody", "f", "../x", "A" * 64):
        with pytest.raises(NotFound):
            registry.find(unknown)
    with pytest.raises(Conflict):
        registry.reserve("one", "f" * 64)
    registry.forget(registry.find("one").record)
    registry.reserve("one", "f" * 64)
    with pytest.raises(NotFound):
        registry.find("one")
