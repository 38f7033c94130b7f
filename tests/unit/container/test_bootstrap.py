"""A second stage that fails, or that nobody waits for any more. (The one that succeeds needs a machine: its
programs here are this host's, so no script may come to its end with status 0.)"""

from contextlib import aclosing

import pytest
from plain_daemon import Daemon

from insula.container.bootstrap import STDERR_SHOWN, read_second_stage
from insula.errors import InvalidArgument, Unavailable


async def read(daemon: Daemon, script: str) -> bytes:
    first = daemon.images.find("test")
    async with aclosing(read_second_stage(daemon.containers, first, script)) as archive:
        return b"".join([data async for data in archive])


async def test_a_failure_is_told_in_its_own_words_and_nothing_is_left(daemon: Daemon) -> None:
    with pytest.raises(Unavailable, match=r"ended with status 3: told; why$"):
        await read(daemon, "echo told; echo why >&2; exit 3")
    assert daemon.containers.list() == ()


async def test_what_it_says_is_bounded_and_no_terminal_obeys_it(daemon: Daemon) -> None:
    with pytest.raises(Unavailable) as raised:
        await read(daemon, "head -c 100000 /dev/zero | tr '\\0' x; printf '\\033[2Jlast\\377'; exit 1")
    assert str(raised.value).endswith("x [2Jlast\N{REPLACEMENT CHARACTER}")
    assert len(str(raised.value)) < STDERR_SHOWN + 200
    assert daemon.containers.list() == ()


async def test_a_killed_second_stage_gives_no_archive(daemon: Daemon) -> None:
    with pytest.raises(Unavailable, match="ended with status 137"):
        await read(daemon, "kill -9 $$")
    assert daemon.containers.list() == ()


async def test_who_leaves_before_the_end_takes_the_container_away(daemon: Daemon) -> None:
    first = daemon.images.find("test")
    script = "echo archive >&3; sleep 600; exit 1"
    async with aclosing(read_second_stage(daemon.containers, first, script)) as archive:
        assert await anext(archive) == b"archive\n"
        (running,) = daemon.containers.list()
    assert daemon.containers.list() == ()
    assert daemon.actions(running.id)[-1] == "destroy"


async def test_a_container_that_cannot_be_made_is_no_container(daemon: Daemon) -> None:
    first = daemon.images.find("test")
    with pytest.raises(InvalidArgument):
        async with aclosing(read_second_stage(daemon.containers, first, "\0")) as archive:
            await anext(archive)
    assert daemon.containers.list() == ()
