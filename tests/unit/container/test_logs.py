import asyncio
import time

import pytest
from plain_daemon import SECONDS, Daemon

from insula.container.logs import LogEntry, LogQuery
from insula.errors import InvalidArgument, NotImplemented


async def entries(daemon: Daemon, id: str, **query: object) -> list[LogEntry]:
    async with asyncio.timeout(SECONDS):
        return [entry async for entry in daemon.containers.logs(id, LogQuery(**query))]  # type: ignore[arg-type]


def texts(found: list[LogEntry]) -> list[bytes]:
    return [entry.data for entry in found]


async def ended(daemon: Daemon, *cmd: str, **spec: object) -> str:
    id = await daemon.create(*cmd, **spec)
    waited = daemon.containers.wait(id, "next-exit")
    await daemon.containers.start(id)
    await waited
    return id


async def test_the_file_is_there_from_the_start(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000")
    path = daemon.containers.inspect(id).log_path
    assert path is not None and path.read_bytes() == b""
    assert path.stat().st_mode & 0o777 == 0o600
    await daemon.containers.remove(id, force=True)


async def test_since_until_and_tail(daemon: Daemon) -> None:
    id = await ended(daemon, "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.02; done")
    everything = await entries(daemon, id)
    assert texts(everything) == [b"1\n", b"2\n", b"3\n", b"4\n", b"5\n"]
    second, fourth = everything[1].time_ns, everything[3].time_ns
    assert texts(await entries(daemon, id, since_ns=second)) == [b"2\n", b"3\n", b"4\n", b"5\n"]
    assert texts(await entries(daemon, id, until_ns=fourth)) == [b"1\n", b"2\n", b"3\n", b"4\n"]
    assert texts(await entries(daemon, id, since_ns=second, until_ns=fourth)) == [b"2\n", b"3\n", b"4\n"]
    assert texts(await entries(daemon, id, tail=3, until_ns=fourth)) == [b"3\n", b"4\n"]
    assert texts(await entries(daemon, id, tail=2)) == [b"4\n", b"5\n"]
    assert await entries(daemon, id, tail=0) == []
    assert await entries(daemon, id, since_ns=everything[-1].time_ns + 1) == []


async def test_one_stream_alone(daemon: Daemon) -> None:
    id = await ended(daemon, "sh", "-c", "echo out; echo err >&2")
    assert texts(await entries(daemon, id, stderr=False)) == [b"out\n"]
    assert texts(await entries(daemon, id, stdout=False)) == [b"err\n"]
    with pytest.raises(InvalidArgument, match="you must choose at least one stream"):
        await entries(daemon, id, stdout=False, stderr=False)


async def test_following_ends_with_the_container(daemon: Daemon) -> None:
    id = await daemon.start("sh", "-c", "echo one; read line; echo two", open_stdin=True)
    following = asyncio.create_task(entries(daemon, id, follow=True))
    await daemon.logged(id, b"one\n")
    await daemon.containers.kill(id)
    assert texts(await following) == [b"one\n"]
    assert texts(await entries(daemon, id, follow=True)) == [b"one\n"]


async def test_following_ends_at_until(daemon: Daemon) -> None:
    id = await daemon.start("sh", "-c", "echo one; sleep 1000")
    await daemon.logged(id, b"one\n")
    assert texts(await entries(daemon, id, follow=True, until_ns=time.time_ns() + 10**8)) == [b"one\n"]
    assert texts(await entries(daemon, id, follow=True, until_ns=1)) == []
    await daemon.containers.remove(id, force=True)


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("json-file", {"max-size": "20k", "max-file": "100"}),
        ("json-file", {"max-size": "20k", "max-file": "100", "compress": "true"}),
        ("local", {"max-size": "20k", "max-file": "100"}),
        ("local", {"mode": "non-blocking", "max-buffer-size": "16m"}),
    ],
)
async def test_following_goes_over_rotation(daemon: Daemon, driver: str, options: dict[str, str]) -> None:
    script = "i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo line $i; done; read line"
    id = await daemon.create("sh", "-c", script, open_stdin=True, log_driver=driver, log_options=options)
    await daemon.containers.start(id)
    expected = [b"line %d\n" % n for n in range(1, 5001)]
    found: list[bytes] = []
    async with asyncio.timeout(SECONDS):
        async for entry in daemon.containers.logs(id, LogQuery(follow=True)):
            found.append(entry.data)
            if len(found) == len(expected):
                break
    assert found == expected
    await daemon.restart()
    assert texts(await entries(daemon, id)) == expected
    assert texts(await entries(daemon, id, tail=3000)) == expected[-3000:]
    await daemon.containers.kill(id)
    await daemon.containers.wait(id)
    names = [path.name for path in daemon.paths.container(id).iterdir() if path.name.startswith("log.json.")]
    if "max-size" in options:
        assert len(names) > 10
    packed = driver == "local" or options.get("compress") == "true"
    assert all(name.endswith(".gz") for name in names) if packed else not any(".gz" in name for name in names)
    assert (daemon.containers.inspect(id).log_path is None) == (driver == "local")


async def test_attributes_are_in_every_entry(daemon: Daemon) -> None:
    options = {"labels": "app", "env": "TIER", "tag": "{{.Name}}"}
    id = await daemon.create(
        "sh", "-c", "echo one", labels={"app": "shop"}, env=("TIER=front",), name="web", log_options=options
    )
    waited = daemon.containers.wait(id, "next-exit")
    await daemon.containers.start(id)
    await waited
    [entry] = await entries(daemon, id)
    assert entry.attributes == {"app": "shop", "TIER": "front", "tag": "web"}


async def test_what_cannot_be_read_is_refused_when_it_is_created(daemon: Daemon) -> None:
    with pytest.raises(InvalidArgument, match="error parsing regexp"):
        await daemon.create("true", name="web", log_options={"labels-regex": "("})
    await daemon.create("true", name="web")


async def test_the_driver_none_keeps_nothing(daemon: Daemon) -> None:
    id = await ended(daemon, "echo", "one", log_driver="none")
    with pytest.raises(NotImplemented, match="configured logging driver does not support reading"):
        await entries(daemon, id)
    assert not daemon.paths.container_log(id).exists()


async def test_lines_are_split_as_docker_splits_them(daemon: Daemon) -> None:
    id = await ended(daemon, "sh", "-c", "printf '%020000d\\nshort'")
    assert [len(text) for text in texts(await entries(daemon, id))] == [16_384, 20_001 - 16_384, 5]
