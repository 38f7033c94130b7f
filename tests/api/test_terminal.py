"""A real terminal in front of the docker command: prompt, size, resize, ctrl-C, detach, attach again."""

import asyncio

import pexpect
from plain_engine import PlainEngine

SECONDS = 20


def play(plain: PlainEngine) -> None:
    """Blocks, as people at terminals do: runs in a thread beside the server's loop."""
    arguments = ["run", "-it", "--name", "term", "test", "sh", "-i"]
    terminal = pexpect.spawn("docker", arguments, env=plain.env, dimensions=(33, 101), timeout=SECONDS)
    terminal.expect(r"[#$] ")
    terminal.sendline("stty size")
    terminal.expect("33 101")
    terminal.setwinsize(44, 111)
    terminal.expect(r"[#$] ")
    terminal.sendline("while ! stty size | grep 44; do sleep 0.05; done")
    terminal.expect("44 111")
    terminal.sendline("sh -c 'echo be''gun; exec sleep 1000'")
    terminal.expect("begun")
    terminal.sendintr()
    terminal.expect(r"[#$] ")
    terminal.sendline("marker=kept")
    terminal.expect(r"[#$] ")
    terminal.send("\x10\x11")
    terminal.expect(pexpect.EOF)
    terminal.close()

    again = pexpect.spawn("docker", ["attach", "term"], env=plain.env, dimensions=(33, 101), timeout=SECONDS)
    again.sendline("echo $marker-$marker")
    again.expect("kept-kept")
    again.sendline("exit 9")
    again.expect(pexpect.EOF)
    again.close()
    assert again.exitstatus == 9


async def test_a_terminal_as_with_docker(plain: PlainEngine) -> None:
    await asyncio.to_thread(play, plain)
    assert (await plain.docker("wait", "term")).out == b"9\n"


def play_exec(plain: PlainEngine) -> None:
    terminal = pexpect.spawn(
        "docker", ["exec", "-it", "term", "sh", "-c", "stty size; read line; echo got $line; exit 6"],
        env=plain.env, dimensions=(21, 91), timeout=SECONDS,
    )  # fmt: skip
    terminal.expect("21 91")
    terminal.sendline("this")
    terminal.expect("got this")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 6


async def test_a_terminal_of_an_exec(plain: PlainEngine) -> None:
    await plain.docker("run", "-d", "--name", "term", "test", "sleep", "1000")
    await asyncio.to_thread(play_exec, plain)
