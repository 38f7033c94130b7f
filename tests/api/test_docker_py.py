"""docker-py over containers that really run: streams demultiplexed, sockets, events, waits."""

import asyncio
import gc
import warnings
from collections.abc import Callable
from typing import Any

import docker
import pytest
from plain_engine import PlainEngine


async def in_client(plain: PlainEngine, work: Callable[[docker.DockerClient], Any]) -> Any:
    """Runs blocking code of docker-py beside the server's loop."""

    def run() -> Any:
        client = docker.DockerClient(base_url=f"unix://{plain.path}", version="auto", timeout=60)
        try:
            return work(client)
        finally:
            client.close()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()  # docker-py leaves the sockets of its streams to the collector

    return await asyncio.to_thread(run)


async def test_run(plain: PlainEngine) -> None:
    def work(client: docker.DockerClient) -> None:
        assert client.containers.run("test", ["sh", "-c", "echo out; echo err >&2"], remove=True) == b"out\n"
        with pytest.raises(docker.errors.ContainerError) as raised:
            client.containers.run("test", ["sh", "-c", "echo bad >&2; exit 3"], remove=True)
        assert raised.value.exit_status == 3
        assert raised.value.stderr == b"bad\n"

    await in_client(plain, work)


async def test_exec_in_all_forms(plain: PlainEngine) -> None:
    def work(client: docker.DockerClient) -> None:
        container = client.containers.run("test", ["sleep", "100"], detach=True)
        command = ["sh", "-c", "echo out; echo err >&2; exit 4"]
        code, (out, err) = container.exec_run(command, demux=True)
        assert (code, out, err) == (4, b"out\n", b"err\n")
        _, stream = container.exec_run(["sh", "-c", "echo hello; sleep 0.2; echo world"], stream=True)
        assert list(stream) == [b"hello\n", b"world\n"]
        assert container.exec_run(["tty"], tty=True).output.startswith(b"/dev/")
        made = client.api.exec_create(container.id, ["sh", "-c", "echo x"], tty=True)
        assert client.api.exec_start(made["Id"], tty=False) is not None
        detached = client.api.exec_create(container.id, ["true"])
        client.api.exec_start(detached["Id"], detach=True)
        shown = client.api.exec_inspect(detached["Id"])
        assert shown["ContainerID"] == container.id
        container.remove(force=True)

    await in_client(plain, work)


async def test_attach_and_its_socket(plain: PlainEngine) -> None:
    def work(client: docker.DockerClient) -> None:
        container = client.containers.create("test", ["cat"], stdin_open=True, tty=False)
        socket = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        container.start()
        socket._sock.sendall(b"through\n")
        assert socket._sock.recv(100) == b"\x01\0\0\0\0\0\0\x08through\n"
        socket._sock.close()
        socket.close()
        assert container.wait()["StatusCode"] == 0  # docker-py asks for StdinOnce
        assert container.attach(logs=True, stream=False, stdout=True) == b"through\n"
        container.remove()

    await in_client(plain, work)


async def test_logs_in_all_forms(plain: PlainEngine) -> None:
    def work(client: docker.DockerClient) -> None:
        container = client.containers.run(
            "test", ["sh", "-c", "echo a; echo b >&2; sleep 0.2; echo c"], detach=True
        )
        assert list(container.logs(stream=True, follow=True)) == [b"a\n", b"b\n", b"c\n"]
        assert container.logs(stdout=True, stderr=False) == b"a\nc\n"
        assert container.logs(tail=1) == b"c\n"
        assert container.logs(since=2_000_000_000) == b""
        assert container.logs(timestamps=True).split(b"\n")[0].endswith(b"Z a")
        container.wait()  # the log may end a moment before the state says so
        container.remove()

    await in_client(plain, work)


async def test_events(plain: PlainEngine) -> None:
    def work(client: docker.DockerClient) -> None:
        events = client.events(decode=True, filters={"type": "container"})
        container = client.containers.run("test", ["true"], detach=True)
        container.wait()
        container.remove()
        seen = []
        while "destroy" not in seen:
            seen.append(next(events)["Action"])
        assert [action for action in seen if action in ("create", "start", "die", "destroy")] == [
            "create", "start", "die", "destroy",
        ]  # fmt: skip
        events.close()

    await in_client(plain, work)


async def test_states_and_conflicts(plain: PlainEngine) -> None:
    def work(client: docker.DockerClient) -> None:
        container = client.containers.create("test", ["sleep", "100"], name="one", environment={"A": "1"})
        assert container.status == "created"
        container.start()
        container.start()  # already: 304
        with pytest.raises(docker.errors.APIError) as raised:
            container.remove()
        assert raised.value.status_code == 409
        assert "container is running" in raised.value.explanation
        container.rename("two")
        container.reload()
        assert (container.name, container.status) == ("two", "running")
        assert "A=1" in container.attrs["Config"]["Env"]
        container.stop(timeout=1)
        container.stop()  # already: 304
        container.restart(timeout=1)
        container.reload()
        assert container.status == "running"
        container.remove(force=True)
        with pytest.raises(docker.errors.NotFound):
            container.reload()

    await in_client(plain, work)
