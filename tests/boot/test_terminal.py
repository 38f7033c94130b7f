"""A real terminal (pexpect) in front of the docker command, a real machine behind it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pexpect
import pytest
from words import BOTH, Words

from boot_paths import MACHINES, PLATFORMS

pytestmark = [pytest.mark.boot, pytest.mark.platform]

SECONDS = 30
DETACH = "\x10\x11"  # ctrl-p ctrl-q
PROMPT = "/ # "


@contextmanager
def terminal(docker: Words, *args: str, size: tuple[int, int] = (33, 101)) -> Iterator[pexpect.spawn]:
    """The docker command at a terminal of so many rows and columns."""
    program, *words = docker.daemon.command("docker", *args)
    child = pexpect.spawn(program, words, env=docker.daemon.env, dimensions=size, timeout=SECONDS)
    try:
        yield child
    finally:
        child.close(force=True)


def ended(child: pexpect.spawn) -> int | None:
    """Its exit status, once it has ended by itself."""
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def until_size(child: pexpect.spawn, rows: int, columns: int) -> None:
    """The program's own terminal has this size, if not at once then when the client has told."""
    child.sendline(f'until [ "$(stty size)" = "{rows} {columns}" ]; do sleep 0.05; done; echo has-"it"')
    child.expect("has-it")
    child.expect(PROMPT)


@pytest.mark.parametrize("platform", PLATFORMS)
@BOTH
def test_a_shell_with_prompt_size_resize_and_ctrl_c(docker: Words, platform: str) -> None:
    with terminal(docker, "run", "-it", "--rm", "--platform", platform, "busybox") as child:
        child.expect(PROMPT)
        child.sendline("tty; uname -m")
        child.expect("/dev/pts/0")
        child.expect(MACHINES[platform])
        until_size(child, 33, 101)
        child.setwinsize(44, 111)
        until_size(child, 44, 111)
        child.sendline("sh -c \"echo be''gun; exec sleep 1000000\"")
        child.expect("begun")
        child.sendintr()
        child.expect(PROMPT)
        child.sendline("exit 9")
        assert ended(child) == 9
    assert docker.containers() == []


def test_a_program_hears_of_a_resize(docker: Words) -> None:
    script = "trap 'echo now $(stty size)' WINCH; echo ready; while :; do sleep 1 & wait $!; done"
    with terminal(docker, "run", "-it", "--name", "sized", "busybox", "sh", "-c", script) as child:
        child.expect("ready")
        # The command listens for changes only some time after the start: one before that is nobody's.
        for columns in range(40, 70):
            child.setwinsize(12, columns)
            if child.expect([f"now 12 {columns}", pexpect.TIMEOUT], timeout=2) == 0:
                return
    raise AssertionError("it never heard")


@BOTH
def test_detach_and_attach_again(docker: Words) -> None:
    with terminal(docker, "run", "-it", "--name", "left", "busybox") as child:
        child.expect(PROMPT)
        child.sendline("kept=here")
        child.expect(PROMPT)
        child.send(DETACH)
        assert ended(child) == 0
    assert docker.state("left")["Running"] is True
    with terminal(docker, "attach", "left", size=(20, 70)) as child:
        child.sendline('echo still-"$kept"')
        child.expect("still-here")
        until_size(child, 20, 70)
        child.send(DETACH)
        child.expect("read escape sequence")
        assert ended(child) == 1  # the command's own, where `run` says 0
    with terminal(docker, "attach", "--detach-keys", "ctrl-x,q", "left") as child:
        child.sendline('echo once-"$kept"')
        child.expect("once-here")
        child.send("\x18q")
        assert ended(child) == 1
    with terminal(docker, "attach", "left") as child:
        child.sendline("exit 7")
        assert ended(child) == 7
    assert docker.state("left")["ExitCode"] == 7


def test_two_see_one_terminal(docker: Words) -> None:
    with terminal(docker, "run", "-it", "--name", "shared", "busybox") as first:
        first.expect(PROMPT)
        with terminal(docker, "attach", "shared") as second:
            second.sendline('echo both-"of"-us')
            second.expect("both-of-us")
            first.expect("both-of-us")
            second.send(DETACH)
            assert ended(second) == 1
        first.sendline("exit")
        assert ended(first) == 0


def test_ctrl_c_reaches_a_program_without_a_shell(docker: Words) -> None:
    with terminal(docker, "run", "-it", "--rm", "--init", "busybox", "sleep", "1000000") as child:
        docker.until_running(1)
        child.sendintr()
        assert ended(child) == 130


def test_ctrl_d_ends_the_input(docker: Words) -> None:
    with terminal(docker, "run", "-it", "--rm", "busybox", "sh", "-c", "echo ready; cat; echo over") as child:
        child.expect("ready")
        child.sendline("typed")
        child.expect("typed.*typed")
        child.sendeof()
        child.expect("over")
        assert ended(child) == 0


def test_an_exec_has_a_terminal_of_its_own(docker: Words) -> None:
    docker.sleeper("--name", "host")
    with terminal(docker, "exec", "-it", "host", "sh", size=(21, 91)) as child:
        child.expect(PROMPT)
        until_size(child, 21, 91)
        child.setwinsize(22, 92)
        until_size(child, 22, 92)
        child.sendline("tty; echo $TERM")
        child.expect("/dev/pts/[01]")
        child.expect("xterm")
        child.sendline("sh -c \"echo be''gun; exec sleep 1000000\"")
        child.expect("begun")
        child.sendintr()
        child.expect(PROMPT)
        child.sendline("exit 6")
        assert ended(child) == 6
    with terminal(docker, "exec", "-it", "host", "sh") as child:
        child.expect(PROMPT)
        child.send(DETACH)
        child.expect("read escape sequence")
        assert ended(child) == 1
    assert docker.state("host")["Running"] is True


def test_a_client_that_is_killed_leaves_the_program(docker: Words) -> None:
    with terminal(docker, "run", "-it", "--name", "orphan", "busybox") as child:
        child.expect(PROMPT)
        child.sendline("left=behind")
        child.expect(PROMPT)
    with terminal(docker, "attach", "orphan") as child:
        child.sendline('echo found-"$left"')
        child.expect("found-behind")


def test_much_output_to_a_terminal_is_whole(docker: Words) -> None:
    with terminal(docker, "run", "-t", "--name", "much", "busybox", "seq", "1", "30000") as child:
        child.timeout = 10 * SECONDS
        text = child.read().decode()
    assert text.split()[-30000:] == [str(n) for n in range(1, 30001)]
    assert docker.succeed("logs", "much").split() == [str(n) for n in range(1, 30001)]
