"""How a process becomes its program: user, groups, PATH, directory, limits, filter (docs/protocol.md §6)."""

import errno
import os
import pwd
import struct

import pytest
from host_end import HostEnd, wire

USER, DIRECTORY, LIMITS, SECCOMP, EXEC = 11, 12, 13, 14, 15
NO_NEW_PRIVILEGES, OUTSIDE = 4, 16
ALLOW = struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)  # one instruction: return ALLOW
ME = pwd.getpwuid(os.getuid())


def refusal(host: HostEnd, *arguments: str, **changes) -> tuple[int, int, str]:
    reply = host.ask("SPAWN", wire.process(host.spec(*arguments, **changes)))
    return reply.step, reply.errno, reply.detail


@pytest.mark.parametrize("user", [ME.pw_name, str(ME.pw_uid), f"{ME.pw_uid}:{ME.pw_gid}"])
def test_a_user_by_name_and_by_number(host: HostEnd, user: str) -> None:
    remote = host.run("sh", "-c", 'id -u; id -g; echo "$HOME"', user=user)
    assert remote.stdout.decode().split() == [str(ME.pw_uid), str(ME.pw_gid), ME.pw_dir]


def test_home_is_not_replaced(host: HostEnd) -> None:
    remote = host.run("sh", "-c", "echo $HOME", environment=["PATH=/bin:/usr/bin", "HOME=/somewhere"])
    assert remote.stdout == b"/somewhere\n"


def test_another_user_is_for_root_to_become(host: HostEnd) -> None:
    """A number that is no user's: no home, the group 0, which is among its groups too."""
    spec = host.spec("sh", "-c", 'id -u; id -g; id -G; echo "$HOME"; echo x > /dev/stdout', user="4242424")
    remote = host.expect(spec)
    reply = host.ask("SPAWN", wire.process(spec))
    if os.getuid() == 0:
        host.finish(remote)
        assert remote.stdout.decode().split("\n") == ["4242424", "0", "0", "/", "x", ""]
    else:
        assert (reply.step, reply.errno) == (USER, errno.EPERM)


@pytest.mark.parametrize("user, number, detail", [
    ("no such user", errno.ENOENT, "no such user"),
    ("0:no such group", errno.ENOENT, "no such group"),
    ("-1", errno.ERANGE, "-1"),
    ("2147483648", errno.ERANGE, "2147483648"),
    ("0:99999999999999999999", errno.ERANGE, "99999999999999999999"),
    ("12x", errno.ENOENT, "12x"),
])  # fmt: skip
def test_users_that_are_not_there(host: HostEnd, user: str, number: int, detail: str) -> None:
    assert refusal(host, "true", user=user) == (USER, number, detail)


def test_groups_that_are_not_there(host: HostEnd) -> None:
    assert refusal(host, "true", groups=["no such group"]) == (USER, errno.ENOENT, "no such group")


def test_the_path_is_searched_as_docker_does(host: HostEnd, tmp_path) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    (tmp_path / "a" / "tool").write_text("not executable")
    (tmp_path / "b" / "tool").mkdir()
    path = [f"PATH={tmp_path}/a:{tmp_path}/b:{tmp_path}/c:/bin:/usr/bin"]
    assert refusal(host, "tool", environment=path) == (EXEC, errno.EACCES, "tool")
    (tmp_path / "c" / "tool").write_text("#!/bin/sh\necho found\n")
    (tmp_path / "c" / "tool").chmod(0o755)
    assert host.run("tool", environment=path).stdout == b"found\n"
    assert refusal(host, "tool", environment=["PATH="]) == (EXEC, errno.ENOENT, "tool")


def test_a_program_without_a_head_is_no_program(host: HostEnd, tmp_path) -> None:
    program = tmp_path / "headless"
    program.write_text("echo hello\n")
    program.chmod(0o755)
    assert refusal(host, str(program)) == (EXEC, errno.ENOEXEC, str(program))
    assert refusal(host, str(tmp_path)) == (EXEC, errno.EACCES, str(tmp_path))


def test_a_directory_that_is_not_there(host: HostEnd, tmp_path) -> None:
    assert refusal(host, "true", directory=f"{tmp_path}/x") == (DIRECTORY, errno.ENOENT, f"{tmp_path}/x")


def test_limits(host: HostEnd) -> None:
    limits = [{"resource": 7, "soft": 50, "hard": 60}, {"resource": 4, "soft": 0, "hard": 0}]
    remote = host.run("sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -c", rlimits=limits)
    assert remote.stdout.split() == [b"50", b"60", b"0"]
    bad = [{"resource": 99, "soft": 1, "hard": 1}]
    assert refusal(host, "true", rlimits=bad) == (LIMITS, errno.EINVAL, "rlimit")


def test_no_new_privileges_and_a_filter(host: HostEnd) -> None:
    remote = host.run("grep", "-E", "^(NoNewPrivs|Seccomp):", "/proc/self/status",
                      flags=OUTSIDE | NO_NEW_PRIVILEGES, seccomp=ALLOW.hex())  # fmt: skip
    assert remote.stdout == b"NoNewPrivs:\t1\nSeccomp:\t2\n"
    flags = OUTSIDE | NO_NEW_PRIVILEGES
    assert refusal(host, "true", flags=flags, seccomp="ff" * 8) == (SECCOMP, errno.EINVAL, "filter")
