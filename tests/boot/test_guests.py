"""Guests by every way there is, what they are given, and what becomes of those that fail."""

import asyncio
import dataclasses
import logging
import os
from pathlib import Path

import pytest
from guest_fixture import NO_POOL, boot, document, make_paths, open_guests, read, request, start

from boot_paths import DEFAULT, MACHINES, PLATFORMS, fresh_run, is_running, provisioned_home
from insula.agent.limits import Limits
from insula.config import Config
from insula.errors import InvalidArgument, NotFound, Unavailable
from insula.guest.blank_disk import VERSION, copy_sparse
from insula.guest.guests import Guests
from insula.machine.machine import find_pid
from insula.machine.spec import MEMORY_CLASSES

pytestmark = [pytest.mark.boot, pytest.mark.platform]

MIB = 1 << 20


@pytest.fixture
def home() -> Path:
    return provisioned_home()


@pytest.fixture
def disk(tmp_path: Path, home: Path) -> Path:
    """An empty writable disk."""
    made = tmp_path / "writable.ext4"
    copy_sparse(home / "kernels" / f"rehearsal-{VERSION}.ext4", made)
    return made


# -- ways


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("way", ["cold", "template", "pool"])
async def test_a_container_runs(platform: str, way: str, home: Path, disk: Path) -> None:
    """Its program runs on a kernel of its architecture, writes, ends; nothing of the machine is left."""
    config = Config(pool_machines=1) if way == "pool" else NO_POOL
    with fresh_run() as run:
        async with open_guests(home, config, run) as guests:
            if way == "pool":
                assert await guests.fill(platform) == 1
            async with guests.open(request(platform, writable=disk, fresh=way == "cold")) as guest:
                assert guest.origin == way
                seen = await boot(guest, "identity", writable=0)
                written = await boot(guest, "make", "/kept", writable=0)
                kept = await boot(guest, "look", "/kept", writable=0)
                pid = guest.machine.pid
        assert not list((run / "machines").iterdir())
    assert seen.pairs["machine"] == MACHINES[platform]
    assert written.lines == kept.lines == ["/kept ok"]
    assert not is_running(pid)


async def test_a_claimed_clone_is_replaced(home: Path) -> None:
    async with open_guests(home, Config(pool_machines=1)) as guests:
        await guests.fill(DEFAULT)
        async with guests.open(request(DEFAULT)) as first:
            first.began()
            assert await guests.fill(DEFAULT) == 1
            async with guests.open(request(DEFAULT)) as second:
                assert (first.origin, second.origin) == ("pool", "pool")
                assert first.machine.id != second.machine.id


# -- what it is given


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_limits_are_exact_inside_a_class(platform: str, home: Path) -> None:
    """The machine is of a class; the container's own limits are those that were asked for."""
    limit = 100 * MIB
    async with open_guests(home) as guests:
        async with guests.open(request(platform, memory=limit, cpus=1.5, fresh=True)) as guest:
            limits = Limits(memory=limit, cpu_quota=150_000, cpu_period=100_000, pids=77)
            files = {
                name: (await boot(guest, "show", f"/sys/fs/cgroup/{name}", limits=limits))
                .output.decode()
                .strip()
                for name in ("memory.max", "cpu.max", "pids.max")
            }
            memory = (await boot(guest, "show", "/proc/meminfo")).pairs["MemTotal:"].split()
            processors = (await boot(guest, "processors")).lines
    assert files == {"memory.max": str(limit), "cpu.max": "150000 100000", "pids.max": "77"}
    assert memory[1] == "kB" and 0.7 * 256 * MIB < int(memory[0]) * 1024 < 256 * MIB
    assert processors == ["2"]


async def test_what_no_machine_has_is_refused(home: Path) -> None:
    async with open_guests(home) as guests:
        for asked in ({"memory": MEMORY_CLASSES[-1] * MIB}, {"cpus": 8.5}):
            with pytest.raises(InvalidArgument, match="no machine has"):
                async with guests.open(request(DEFAULT, **asked)):
                    pass
        with pytest.raises(InvalidArgument, match="platform linux/vax"):
            await guests.forge.shape("linux/vax", 0, 0)


# -- failures


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_a_kernel_that_panics_is_told_with_its_last_words(
    platform: str, home: Path, tmp_path: Path
) -> None:
    """As soon as it stops, not when time is up."""
    (tmp_path / "initramfs").write_bytes(b"nothing that a kernel can unpack")
    async with open_guests(home) as guests:
        spec = await guests.forge.shape(platform, 100 * MIB, 0)
        broken = dataclasses.replace(spec.kernel, initramfs=tmp_path / "initramfs")
        with pytest.raises(Unavailable, match=r"its guest stopped\n(?s:.*)Kernel panic"):
            async with guests.forge.start(dataclasses.replace(spec, kernel=broken), fresh=True):
                pass


async def test_a_kernel_that_is_none_is_told_in_qemu_s_words(home: Path, tmp_path: Path) -> None:
    (tmp_path / "kernel").write_bytes(b"")
    async with open_guests(home) as guests:
        spec = await guests.forge.shape(DEFAULT, 100 * MIB, 0)
        broken = dataclasses.replace(spec.kernel, image=tmp_path / "kernel")
        with pytest.raises(Unavailable, match=r"did not start: .*qemu"):
            async with guests.forge.start(dataclasses.replace(spec, kernel=broken), fresh=True):
                pass


@pytest.mark.amd64
async def test_a_guest_that_says_nothing_is_given_up_on(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU for arm64 runs anything as a kernel."""
    monkeypatch.setattr("insula.guest.forge.BOOT_TIMEOUT", 3.0)
    (tmp_path / "kernel").write_bytes(b"")
    with fresh_run() as run:
        async with open_guests(home, run=run) as guests:
            spec = await guests.forge.shape("linux/arm64", 100 * MIB, 0)
            broken = dataclasses.replace(spec.kernel, image=tmp_path / "kernel")
            with pytest.raises(Unavailable, match="did not answer within 3 s\nconsole: empty"):
                async with guests.forge.start(dataclasses.replace(spec, kernel=broken), fresh=True):
                    pass
        assert not list((run / "machines").iterdir())


async def test_a_killed_machine_is_noticed(home: Path) -> None:
    async with open_guests(home) as guests:
        async with guests.open(request(DEFAULT)) as guest:
            main = await guest.session.boot(document(guest, "wait"))
            os.kill(guest.machine.pid, 9)
            assert await guest.gone() == "its QEMU was killed"
            with pytest.raises(Unavailable):
                await main.exit()


# -- machines outlive whoever started them


async def leave_running(home: Path, run: Path, *words: str) -> tuple[dict[str, object], int, bytes]:
    """A guest whose daemon goes: its record, its main process's number, and what was read before."""
    async with open_guests(home, run=run) as guests:
        async with guests.open(request(DEFAULT)) as guest:
            main = await guest.session.boot(document(guest, *words))
            early = bytearray()
            async for chunk in main:
                early += chunk.data
                main.acknowledge(chunk.stream, chunk.offset + len(chunk.data))
                if len(early) > 100_000 or early == b"waiting\n":
                    break
            guest.detach()
            return guest.record, main.number, bytes(early)


async def test_an_adopted_guest_goes_on_where_the_log_ends(home: Path) -> None:
    """Every byte once and in order, the exit status, and further processes."""
    with fresh_run() as run:
        record, number, early = await leave_running(home, run, "count", "0", "40000")
        async with open_guests(home, run=run, known=frozenset({str(record["machine"])})) as guests:
            async with guests.adopt(record) as guest:
                assert guest.origin == "adopted"
                await guest.greet()
                said = await read(guest.session.resume(number, len(early), 0))
                guest.session.release(number)
                await guest.session.stop()
                again = await boot(guest, "identity")
    assert early + said.output == b"".join(b"line %d\n" % number for number in range(40_000))
    assert said.status == 7
    assert again.pairs["hostname"] == "probe"


async def test_an_adopted_guest_takes_further_processes(home: Path) -> None:
    with fresh_run() as run:
        record, number, early = await leave_running(home, run, "wait")
        async with open_guests(home, run=run, known=frozenset({str(record["machine"])})) as guests:
            async with guests.adopt(record) as guest:
                await guest.greet()
                main = guest.session.resume(number, len(early), 0)
                assert (await start(guest, "count", "0", "2")).lines == ["line 0", "line 1"]
                await guest.session.signal(number, 9)
                assert (await read(main)).status == -9


async def test_what_no_record_knows_is_killed(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with fresh_run() as run:
        record, _, _ = await leave_running(home, run, "wait")
        id = str(record["machine"])
        pid = find_pid(make_paths(home, run), id)
        assert pid is not None
        async with open_guests(home, run=run, known=frozenset({id})):
            assert is_running(pid), "a known machine is left alone"
        async with open_guests(home, run=run) as guests:
            assert not list((run / "machines").iterdir())
            with pytest.raises(NotFound, match="is gone"):
                async with guests.adopt(record):
                    pass
    assert f"killed the machine {id}" in caplog.text
    assert not is_running(pid)


async def test_a_number_in_a_file_proves_nothing(home: Path) -> None:
    """A stray's process id may have become somebody else's: only a machine that says its id is killed."""
    with fresh_run() as run:
        paths = make_paths(home, run)
        bystander = await asyncio.create_subprocess_exec("sleep", "1000")
        folder = paths.machine("0123456789abcdef")
        folder.mkdir()
        (folder / "pid").write_text(str(bystander.pid))
        guests = Guests(paths, NO_POOL, lambda platform: None)  # type: ignore[arg-type, return-value]
        await guests.start(set())
        await guests.close()
        assert not folder.exists()
        assert bystander.returncode is None
        bystander.kill()
        await bystander.wait()
