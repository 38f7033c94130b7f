"""A real terminal in front of the docker command: prompt, size, resize, ctrl-C, detach, attach again."""

import asyncio
import json

import pexpect
from plain_engine import PlainEngine

SECONDS = 20


def play(plain: PlainEngine) -> None:
    """Blocks, as people at terminals do: runs in a thread beside the server's loop."""
    arguments = ["run", "-it", "--network", "none", "--name", "term", "test", "sh", "-i"]
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
    assert terminal.exitstatus == 0

    left = pexpect.spawn("docker", ["attach", "term"], env=plain.env, timeout=SECONDS)
    left.sendline("echo se''en")
    left.expect("seen")
    left.send("\x10\x11")
    left.expect("read escape sequence")
    left.expect(pexpect.EOF)
    left.close()
    assert left.exitstatus == 1

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


def leave_exec(plain: PlainEngine) -> None:
    terminal = pexpect.spawn("docker", ["exec", "-it", "term", "cat"], env=plain.env, timeout=SECONDS)
    terminal.sendline("echo")
    terminal.expect("echo\r\necho")
    terminal.send("\x10\x11")
    terminal.expect("read escape sequence")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 1


async def test_leaving_an_exec(plain: PlainEngine) -> None:
    await plain.docker("run", "-d", "--network", "none", "--name", "term", "test", "sleep", "1000")
    await asyncio.to_thread(leave_exec, plain)


async def test_leaving_by_keys_that_the_engine_reads_is_told_and_an_event(plain: PlainEngine) -> None:
    """The docker command reads the keys itself; a plain client leaves that to the engine."""
    id = await plain.daemon.start("cat", tty=True, open_stdin=True)
    upgrade = ("Upgrade: tcp", "Connection: Upgrade")
    _, reader, writer = await plain.send(
        "POST", f"/containers/{id}/attach?stdin=1&stdout=1&stream=1", b"", *upgrade
    )
    writer.write(b"\x10\x11")
    assert await reader.read() == b""
    writer.close()
    created = json.dumps({"Cmd": ["cat"], "Tty": True, "AttachStdin": True, "AttachStdout": True}).encode()
    exec_id = json.loads((await plain.ask(f"/containers/{id}/exec", "POST", created))[1])["Id"]
    _, reader, writer = await plain.send("POST", f"/exec/{exec_id}/start", b'{"Tty":true}', *upgrade)
    writer.write(b"\x10\x11")
    assert await reader.read() == b"exec attach failed: error on attach stdin: read escape sequence\r\n"
    writer.close()
    last = plain.daemon.events.history()[-1]
    assert (last.action, last.attributes["execID"]) == ("exec_detach", exec_id)
    assert [a for a in plain.daemon.actions(id) if a.endswith("ach")] == ["attach", "detach", "exec_detach"]
    assert plain.daemon.containers.exec_inspect(exec_id).running


async def test_a_terminal_of_an_exec(plain: PlainEngine) -> None:
    await plain.docker("run", "-d", "--network", "none", "--name", "term", "test", "sleep", "1000")
    await asyncio.to_thread(play_exec, plain)
