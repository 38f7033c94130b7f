"""The verbs in front of the real API, over containers that run as plain processes of this host."""

import asyncio
import json
import re
from typing import Any

import pytest

SECONDS = 60


async def start(real: Any, name: str, *command: str) -> str:
    ran = await real.insula("run", "-d", "--network", "none", "--name", name, "test", *command)
    assert ran.status == 0, ran.err
    return str(ran.out.strip())


async def test_run_gives_output_and_status(real: Any) -> None:
    ran = await real.insula(
        "run",
        "--rm",
        "--network",
        "none",
        "-e",
        "A=1",
        "test",
        "sh",
        "-c",
        "echo out $A; echo err >&2; exit 3",
    )
    assert (ran.status, ran.out, ran.err) == (3, "out 1\n", "err\n")
    assert (await real.insula("ps", "-aq")).out == ""


async def test_input_reaches_the_program_to_its_end(real: Any) -> None:
    ran = await real.insula(
        "run", "-i", "--rm", "--network", "none", "test", "wc", "-c", input=b"x" * 500_000
    )
    assert (ran.status, ran.out.strip()) == (0, "500000")


@pytest.mark.parametrize(
    ("program", "status"), [("/does/not/exist", 127), ("/etc/passwd", 126), ("/etc", 126)]
)
async def test_a_program_that_cannot_run(real: Any, program: str, status: int) -> None:
    ran = await real.insula("run", "--rm", "--network", "none", "test", program)
    assert (ran.status, len(ran.err.splitlines())) == (status, 1)
    assert (await real.insula("ps", "-aq")).out == ""


async def test_an_unknown_image(real: Any) -> None:
    ran = await real.insula("run", "nothing")
    denied = "insula: pull access denied for nothing, repository does not exist\n"
    assert (ran.status, ran.out, ran.err) == (
        125,
        "",
        f"Unable to find image 'nothing:latest' locally\n{denied}",
    )
    ran = await real.insula("run", "--pull", "never", "nothing")
    assert (ran.status, ran.out, ran.err) == (125, "", "insula: No such image: nothing\n")


async def test_create_start_attach_wait(real: Any) -> None:
    made = await real.insula("create", "-i", "--network", "none", "--name", "cat", "test", "cat")
    assert re.fullmatch(r"[0-9a-f]{64}\n", made.out)
    ran = await real.insula("start", "-a", "-i", "cat", input=b"there and back")
    assert (ran.status, ran.out) == (0, "there and back")
    assert (await real.insula("wait", "cat")).out == "0\n"
    assert (
        await real.insula("attach", "cat")
    ).err == "insula: cannot attach to a stopped container, start it first\n"
    assert (await real.insula("start", "cat", "nobody")).status == 1


async def test_ps_and_its_forms(real: Any) -> None:
    identity = await start(real, "bob", "sleep", "1000")
    await real.insula("create", "--network", "none", "--name", "idle", "-l", "a=b", "test")
    listed = await real.insula("ps")
    assert re.search(rf'{identity[:12]}   test    "sleep 1000"   .*Up .* bob\n', listed.out)
    assert "idle" not in listed.out
    assert (await real.insula("ps", "-q", "--no-trunc")).out == identity + "\n"
    named = await real.insula("ps", "-a", "-f", "label=a", "--format", '{{.Names}} {{.Label "a"}} {{.State}}')
    assert named.out == "idle b created\n"
    assert (await real.insula("container", "ls", "--format", "json")).out.count('"Names":"bob"') == 1


async def test_exec(real: Any) -> None:
    await start(real, "bob", "sleep", "1000")
    ran = await real.insula(
        "exec", "-i", "-e", "A=1", "bob", "sh", "-c", "cat; echo $A; exit 4", input=b"in "
    )
    assert (ran.status, ran.out) == (4, "in 1\n")
    assert (await real.insula("exec", "-d", "bob", "true")).status == 0
    assert (await real.insula("exec", "bob", "/does/not/exist")).status == 126
    gone = await real.insula("exec", "nobody", "true")
    assert (gone.status, gone.err) == (1, "insula: No such container: nobody\n")


async def test_logs(real: Any) -> None:
    await real.insula(
        "run", "--network", "none", "--name", "bob", "test", "sh", "-c", "echo a; echo b >&2; echo c"
    )
    whole = await real.insula("logs", "bob")
    assert (whole.out, whole.err) == ("a\nc\n", "b\n")
    last = await real.insula("logs", "-n", "1", "bob")  # which it is, is a race of two pipes
    assert last.out + last.err in ("b\n", "c\n")
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z a\n", (await real.insula("logs", "-t", "bob")).out)
    assert (await real.insula("logs", "-f", "bob")).out == "a\nc\n"


async def test_inspect(real: Any) -> None:
    identity = await start(real, "bob", "sleep", "1000")
    both = await real.insula("inspect", "bob", "nobody")
    assert (both.status, both.err) == (1, "insula: No such object: nobody\n")
    assert [one["Id"] for one in json.loads(both.out)] == [identity]
    shown = await real.insula("inspect", "-f", "{{.State.Status}} {{json .Config.Cmd}}", "bob")
    assert shown.out == 'running ["sleep","1000"]\n'
    assert (await real.insula("container", "inspect", "-f", "{{.Name}}", "bob")).out == "/bob\n"
    wrong = await real.insula("inspect", "-f", "{{.Nope}}", "bob")
    assert wrong.status == 1 and "Nope" in wrong.err


async def test_stop_kill_rename_and_rm(real: Any) -> None:
    for name in ("one", "two"):
        await start(real, name, "sleep", "1000")
    assert (await real.insula("rename", "one", "uno")).status == 0
    assert (await real.insula("stop", "-t", "20", "uno")).out == "uno\n"
    running = await real.insula("rm", "two")
    assert running.status == 1 and "container is running" in running.err
    assert (await real.insula("kill", "-s", "KILL", "two")).out == "two\n"
    assert (await real.insula("wait", "uno", "two")).out == "143\n137\n"
    gone = await real.insula("rm", "-f", "uno", "two", "nobody")
    assert (gone.status, gone.out, gone.err) == (0, "uno\ntwo\n", "No such container: nobody\n")
    assert (await real.insula("rm", "nobody")).status == 1


@pytest.mark.parametrize("flags", [("-t", "0"), ("--timeout", "0"), ("--time", "0")])
async def test_the_time_to_stop_has_two_names(real: Any, flags: tuple[str, ...]) -> None:
    await start(real, "deaf", "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    assert (await real.insula("stop", *flags, "deaf")).out == "deaf\n"
    assert (await real.insula("wait", "deaf")).out == "137\n"


async def test_events_of_the_past(real: Any) -> None:
    await real.insula("run", "--rm", "--network", "none", "--name", "bob", "test", "true")
    seen = await real.insula("events", "--since", "10m", "--until", "0s", "--format", "{{.Action}}")
    assert [word for word in seen.out.split() if word in ("create", "start", "die", "destroy")] == [
        "create", "start", "die", "destroy",
    ]  # fmt: skip
    plain = await real.insula("events", "--since", "10m", "--until", "0s", "-f", "event=die")
    assert re.fullmatch(r"[\dT:.+-]+ container die [0-9a-f]{64} \(.*exitCode=0.*name=bob\)\n", plain.out)


async def test_events_as_they_come(real: Any) -> None:
    child = await asyncio.create_subprocess_exec(
        *real.command("events", "--since", "10m", "--format", "{{.Action}}"), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    await real.insula("create", "--network", "none", "test")
    assert await asyncio.wait_for(child.stdout.readline(), SECONDS) == b"create\n"
    child.terminate()
    await child.communicate()


async def test_version_doctor_and_bootstrap(real: Any) -> None:
    told = await real.insula("version")
    assert re.search(r"Server: +Insula\n Version: +0\.1\.0\n API version: +1\.51", told.out)
    assert (await real.insula("version", "-f", "{{.Server.Os}}")).out == "linux\n"
    looked = await real.insula("doctor")
    assert (looked.status, looked.out) == (0, "host   ok   plain\n")
    made = await real.insula("bootstrap", "busybox")
    assert (made.status, made.out, made.err) == (1, "begun with busybox\n", "insula: no further\n")


async def test_a_signal_reaches_the_program(real: Any) -> None:
    script = "trap 'echo got it; exit 9' USR1; echo ready; while :; do sleep 0.05; done"
    child = await asyncio.create_subprocess_exec(
        *real.command("run", "--network", "none", "test", "sh", "-c", script), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), SECONDS) == b"ready\n"
    child.send_signal(10)
    out, _ = await child.communicate()
    assert (child.returncode, out) == (9, b"got it\n")


async def test_pause_update_and_unpause(real: Any) -> None:
    await start(real, "held", "sleep", "1000")
    paused = await real.insula("pause", "held")
    assert (paused.status, paused.out) == (0, "held\n")
    assert (await real.insula("ps", "--format", "{{.Status}}")).out.endswith(" (Paused)\n")
    again = await real.insula("pause", "held")
    assert again.status == 1 and "is already paused" in again.err
    updated = await real.insula(
        "update", "--restart", "on-failure:3", "-m", "64m", "--pids-limit", "-1", "held"
    )
    assert (updated.status, updated.out, updated.err) == (0, "held\n", "")
    shown = json.loads((await real.insula("inspect", "held")).out)[0]["HostConfig"]
    assert shown["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert (shown["Memory"], shown["PidsLimit"]) == (64 << 20, 0)
    unpaused = await real.insula("container", "unpause", "held", "nobody")
    assert (unpaused.status, unpaused.out) == (1, "held\n")
    assert "No such container: nobody" in unpaused.err
    assert (await real.insula("update", "--restart", "often", "held")).status == 1
    await real.insula("rm", "-f", "held")
