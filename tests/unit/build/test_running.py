import pytest

from insula.agent.boot_document import MountKind
from insula.build.parser import parse
from insula.build.running import SCRIPT, BindMount, CacheMount, Given, Running, plan_run
from insula.errors import InsulaError

SHELL = ("/bin/sh", "-c")


def plan(text: str, **secrets: bytes) -> Running:
    given = Given(secrets, {"default": "/run/agent", "git": "/home/a/git"})
    return plan_run(parse(text.encode()).instructions[0], SHELL, given, "/place")


def test_three_forms() -> None:
    assert plan("RUN a && b").command == (*SHELL, "a && b")
    assert plan('RUN ["a", "b"]').command == ("a", "b")
    assert plan("RUN <<EOF\none\ntwo\nEOF\n").command == (*SHELL, "one\ntwo\n")
    assert plan("RUN cat <<EOF | sort\nb\na\nEOF\n").command == (*SHELL, "cat <<EOF | sort\nb\na\nEOF\n")
    script = plan("RUN <<EOF\n#!/usr/bin/env python3\nprint()\nEOF\n")
    assert script.command == (SCRIPT,) and script.files[0].mode == 0o755
    assert script.hidden == {b".insula-heredoc"}


def test_mounts() -> None:
    found = plan("RUN --mount=type=tmpfs,target=cache/x,size=1m --network=none a")
    assert found.offline and found.mounts[0].kind is MountKind.TMPFS
    assert (found.mounts[0].target, found.mounts[0].data) == ("/place/cache/x", "size=1m")
    assert found.hidden == {b"place", b"place/cache", b"place/cache/x"}


def test_caches() -> None:
    plain = plan("RUN --mount=type=cache,target=/var/cache/apt,sharing=locked a").caches
    assert plain == (CacheMount("/var/cache/apt", "/var/cache/apt", sharing="locked"),)
    assert plan("RUN --mount=type=cache,id=k,dst=x,ro a").caches == (
        CacheMount("k", "/place/x", read_only=True),
    )


def test_caches_of_somebody() -> None:
    (cache,) = plan("RUN --mount=type=cache,target=/x,uid=5,gid=6,mode=0700,sharing=private a").caches
    assert (cache.uid, cache.gid, cache.mode, cache.sharing) == (
        5,
        6,
        0o700,
        "private",
    ) and not cache.is_plain


def test_caches_that_begin_with_something() -> None:
    (cache,) = plan("RUN --mount=type=cache,target=/x,from=made,source=/out a").caches
    assert (cache.from_, cache.source, cache.id) == ("made", "/out", "/x")
    (cache,) = plan("RUN --mount=type=cache,target=/x,id=i,from=made a").caches
    assert (cache.from_, cache.source, cache.id) == ("made", "/", "i")


def test_binds() -> None:
    found = plan("RUN --mount=target=x --mount=type=bind,from=other,source=/a,dst=/b,rw a")
    assert found.binds == (BindMount("/place/x", "."), BindMount("/b", "/a", "other", writable=True))
    assert {b"place/x", b"b", b"proc"} <= found.hidden


def test_secrets_are_files_or_variables_and_in_no_word() -> None:
    found = plan(
        "RUN --mount=type=secret,id=key --mount=type=secret,id=token,env=TOKEN a", key=b"k", token=b"t"
    )
    assert [(f.path, f.content, f.mode) for f in found.files] == [("/run/secrets/key", b"k", 0o400)]
    assert found.env == ("TOKEN=t",) and found.words == "/bin/sh -c a"
    moved = plan("RUN --mount=type=secret,id=key,target=/root/k,mode=0444 a", key=b"k")
    assert (moved.files[0].path, moved.files[0].mode) == ("/root/k", 0o444)
    assert plan("RUN --mount=type=secret,id=gone a").files == ()


def test_ssh_agents() -> None:
    (one,) = (found := plan("RUN --mount=type=ssh a")).agents
    assert (one.source, one.mount.kind, one.mount.target) == (
        "/run/agent",
        MountKind.SOCKET,
        "/run/buildkit/ssh_agent.0",
    )
    assert one.mount.flags == 0o600 and found.env == ("SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0",)
    assert b"run/buildkit/ssh_agent.0" in found.hidden
    found = plan("RUN --mount=type=ssh,id=git,dst=/s,mode=0660,uid=5,gid=6 --mount=type=ssh a")
    assert [(m.source, m.mount.target) for m in found.agents] == [
        ("/home/a/git", "/s"),
        ("/run/agent", "/run/buildkit/ssh_agent.1"),
    ]
    assert found.agents[0].mount.flags == 0o660 | 5 << 16 | 6 << 32 and found.env == ("SSH_AUTH_SOCK=/s",)
    without = plan("RUN --mount=type=ssh,id=gone a")
    assert without.agents == () and without.env == ()


@pytest.mark.parametrize(
    "text,why",
    [
        ("RUN --mount=type=secret,id=gone,required a", "secret gone: not found"),
        ("RUN --mount=type=cache a", "has no target"),
        ("RUN --mount=type=cache,target=/x,source=y a", "a cache mount with a source needs from"),
        ("RUN --mount=type=cache,target=/x,uid=x a", "invalid value for uid: 'x'"),
        ("RUN --mount=type=cache,target=/x,mode=799 a", "invalid value for mode: '799'"),
        ("RUN --mount=type=cache,target=/x,sharing=x a", "unsupported sharing value"),
        ("RUN --mount=source=x a", "the mount of type bind has no target"),
        ("RUN --mount=target=/x,size=1m a", "unexpected key 'size'"),
        ("RUN --mount=type=ssh,id=gone,required a", "no SSH key 'gone' forwarded from the client"),
        ("RUN --mount=type=ssh,env=X a", "unexpected key 'env'"),
        ("RUN " + 9 * "--mount=type=ssh " + "a", "8 mounts of type ssh at most"),
        ("RUN --mount=type=x a", "unsupported mount type 'x'"),
        ("RUN --mount=type=tmpfs a", "has no target"),
        ("RUN --mount=type=tmpfs,target=/x,foo=1 a", "unexpected key 'foo'"),
        ("RUN --mount=type=tmpfs,target=/ a", "on line 1"),
        ("RUN --network=host a", "network=host cannot be had"),
        ("RUN --network=x a", "invalid network mode"),
        ("RUN --security=insecure a", "cannot be had"),
        ("RUN --device=x a", "cannot be had"),
    ],
)
def test_refused(text: str, why: str) -> None:
    with pytest.raises(InsulaError, match=why):
        plan(text)
