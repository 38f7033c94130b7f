"""What a container may and what it uses, in the guest: limits and their change, usage, processes, kills (guest level)."""

import asyncio
import errno
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from guest_fixture import open_guests, request
from shell_fixture import begin, say, script, shell, shell_layer

from boot_paths import provisioned_home
from insula.agent.boot_document import BootFlag
from insula.agent.limits import IoLimit, Limits
from insula.agent.reports import Step
from insula.agent.session import GuestFailure
from insula.agent.streams import Process
from insula.guest.guest import Guest

pytestmark = pytest.mark.boot

MIB = 1 << 20
SECONDS = 60.0  # a bound against hanging, not an expectation
FULL = Limits(
    memory=64 * MIB, memory_low=8 * MIB, cpu_quota=50_000, cpu_period=200_000, cpu_weight=39, cpuset_cpus="1",
    cpuset_mems="0", pids=77, io_weight=50,
    io=(IoLimit(read_bps=MIB, write_iops=7), IoLimit(2 * MIB, 3 * MIB)),
)  # fmt: skip
SAY_LIMITS = """cd /sys/fs/cgroup; for name in memory.max memory.low cpu.max cpu.weight cpuset.cpus \
cpuset.cpus.effective cpuset.mems pids.max io.weight io.max; do echo $name $(cat $name 2>&1); done"""
IO_MAX = "rbps=1048576 wbps=3145728 riops=max wiops=7"
FULL_FILES = {
    "memory.max": str(64 * MIB), "memory.low": str(8 * MIB), "cpu.max": "50000 200000", "cpu.weight": "39",
    "cpuset.cpus": "1", "cpuset.cpus.effective": "1", "cpuset.mems": "0", "pids.max": "77", "io.weight": "default 50",
}  # fmt: skip
NO_FILES = {
    "memory.max": "max", "memory.low": "0", "cpu.max": "max 100000", "cpu.weight": "100", "cpuset.cpus.effective": "0-1",
    "pids.max": "max", "io.weight": "default 100", "io.max": "",
}  # fmt: skip


@asynccontextmanager
async def open_guest(platform: str = "linux/amd64") -> AsyncIterator[Guest]:
    layer = await shell_layer(platform)
    async with open_guests(provisioned_home()) as guests:
        async with guests.open(request(platform, layers=(layer,), memory=64 * MIB, cpus=2)) as guest:
            yield guest


async def read_until(process: Process, word: bytes) -> None:
    async with asyncio.timeout(SECONDS):
        while word not in (await anext(process)).data:
            pass


async def until_asleep(guest: Guest, count: int) -> None:
    """Until so many have become what their shells make of them."""
    async with asyncio.timeout(SECONDS):
        while sum(p.name == "sleep" for p in (await guest.session.processes()).processes) < count:
            pass


async def refusal(guest: Guest, limits: Limits) -> tuple[int, str]:
    with pytest.raises(GuestFailure) as caught:
        await guest.session.update(limits)
    assert caught.value.step is Step.CGROUP
    return caught.value.errno, caught.value.detail


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
async def test_every_limit_is_the_kernels_at_the_start_and_in_life(platform: str) -> None:
    async with open_guest(platform) as guest:
        unlimited = (await shell(guest, SAY_LIMITS)).pairs
        at_start = (await shell(guest, SAY_LIMITS, limits=FULL)).pairs
        await begin(guest, "sleep 1000")
        await guest.session.update(FULL)
        in_life = (await say(guest, SAY_LIMITS)).pairs
        await guest.session.update(Limits())
        lifted = (await say(guest, SAY_LIMITS)).pairs
        await guest.session.update(Limits(pids=5))
        one = (await say(guest, SAY_LIMITS)).pairs
    assert unlimited | NO_FILES | {"cpuset.cpus.effective": unlimited["cpuset.cpus.effective"]} == unlimited
    assert "can't open" in unlimited["cpuset.cpus"], (
        "a controller that nobody has asked for costs every start"
    )
    for files in (at_start, in_life):
        assert files | FULL_FILES == files
        assert re.fullmatch(rf"\d+:\d+ {IO_MAX}", files["io.max"])
    assert lifted | NO_FILES == lifted
    assert one | NO_FILES | {"pids.max": "5"} == one


async def test_an_update_that_fails_changes_nothing() -> None:
    """What had been changed before the failure is put back, in a set that no kernel takes and in one it refuses."""
    async with open_guest() as guest:
        await begin(guest, "sleep 1000", limits=FULL)
        before = (await say(guest, SAY_LIMITS)).pairs
        far = await refusal(guest, Limits(memory=32 * MIB, cpu_weight=1, cpuset_cpus="4000", pids=1))
        absent = await refusal(guest, Limits(memory=32 * MIB, cpuset_cpus="0", cpuset_mems="7"))
        assert (await say(guest, SAY_LIMITS)).pairs == before
        await guest.session.update(FULL)
        assert (await say(guest, SAY_LIMITS)).pairs == before
    assert far == (errno.ERANGE, "cpuset.cpus")
    assert absent == (errno.EINVAL, "cpuset.mems")


async def test_a_boot_with_a_limit_that_cannot_be_says_so_and_leaves_nothing() -> None:
    async with open_guest() as guest:
        with pytest.raises(GuestFailure, match="cpuset"):
            await shell(guest, "true", limits=Limits(memory=32 * MIB, cpuset_cpus="0-99"))
        files = (await shell(guest, SAY_LIMITS)).pairs
        assert (files["memory.max"], files["cpuset.cpus"]) == ("max", "")


async def test_memory_is_taken_back_but_nobody_killed_for_it() -> None:
    """A limit above what is held by programs makes the kernel give up caches; one below is refused."""
    fill = "dd if=/dev/zero of=/dev/shm/x bs=1M count=24 2>/dev/null; cat /bin/* /bin/* >/dev/null; echo full; sleep 1000"
    async with open_guest() as guest:
        main = await begin(guest, fill, limits=Limits(memory=64 * MIB))
        await read_until(main, b"full")
        refused = await refusal(guest, Limits(memory=16 * MIB))
        still = (await say(guest, SAY_LIMITS)).pairs["memory.max"]
        await guest.session.update(Limits(memory=40 * MIB))
        now = (await say(guest, SAY_LIMITS)).pairs["memory.max"]
        assert guest.session.oom_count == 0 and not main.ended
    assert refused == (errno.EBUSY, "memory.max")
    assert (still, now) == (str(64 * MIB), str(40 * MIB))


async def test_usage_is_what_the_guests_own_files_say() -> None:
    """Numbers that nothing changes meanwhile are equal; those of the work before are at least that."""
    work = (
        "dd if=/dev/zero of=/dev/shm/x bs=1M count=8 2>/dev/null; cat /bin/* >/dev/null; "
        "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; echo done; exec sleep 1000"
    )
    async with open_guest() as guest:
        main = await begin(
            guest, work, limits=Limits(memory=48 * MIB, pids=9, cpu_quota=20_000, cpu_period=100_000)
        )
        await read_until(main, b"done")
        first = await guest.session.usage()
        files = await say(
            guest,
            "cd /sys/fs/cgroup; cat memory.stat cpu.stat; echo peak $(cat memory.peak); echo io $(cat io.stat);"
            "grep MemTotal /proc/meminfo; head -1 /proc/stat; grep -c '^cpu[0-9]' /proc/stat; cat /proc/net/dev",
        )
        second = await guest.session.usage()
    said = files.pairs
    memory, cpu = second.memory, second.cpu
    for name in ("shmem", "kernel_stack", "sock", "file_writeback", "unevictable"):
        assert (
            getattr(memory, name)
            == getattr(first.memory, name)
            == pytest.approx(int(said[name]), abs=64 << 10)
        )
    assert (memory.limit, second.pids.limit, second.guest.cpus) == (48 * MIB, 9, 2)
    assert memory.guest_total == int(said["MemTotal:"].split()[0]) << 10 > memory.guest_available > 0
    assert 8 * MIB <= memory.shmem < memory.current <= memory.peak and memory.oom_kills == 0
    assert first.memory.pgfault <= int(said["pgfault"]) <= memory.pgfault
    assert first.cpu.usage_ns <= int(said["usage_usec"]) * 1000 <= cpu.usage_ns
    assert cpu.usage_ns == pytest.approx(cpu.user_ns + cpu.system_ns, abs=2000)
    assert cpu.usage_ns <= second.guest.total_ns
    assert first.cpu.throttled <= int(said["nr_throttled"]) <= cpu.throttled <= cpu.periods
    assert cpu.throttled and cpu.throttled_ns
    busy = sum(map(int, said["cpu"].split()[:7])) * 10**7
    assert first.guest.total_ns <= busy <= second.guest.total_ns
    assert second.uptime_ns > first.uptime_ns and abs(second.clock_ns - time.time_ns()) < 60 * 10**9
    (device,) = second.devices
    assert f"{device.major}:{device.minor} rbytes=" in said["io"]
    assert device.read_bytes > 0 < device.read_operations and device.write_bytes == 0
    assert [link.name for link in second.links] == ["lo"]
    assert first.pids.current == 1


async def test_a_ping_of_its_own_is_in_the_containers_traffic() -> None:
    async with open_guest() as guest:
        await begin(guest, "sleep 1000")
        before = (await guest.session.usage()).links[0]
        talk = "busybox nc -l -p 99 > /dev/null & usleep 200000; echo hello | busybox nc 127.0.0.1 99; wait"
        assert (await say(guest, talk)).status == 0
        after = (await guest.session.usage()).links[0]
    assert after.name == "lo"
    assert after.rx_bytes - before.rx_bytes > 6 and after.tx_packets - before.tx_packets >= 4
    assert after.rx_bytes == after.tx_bytes


async def test_processes_in_the_containers_own_numbers() -> None:
    text = "/bin/sleep 1000 & sh -c '/bin/sleep 999; true' & echo up; wait"
    async with open_guest() as guest:
        main = await begin(guest, text)
        await read_until(main, b"up")
        beside = await guest.session.spawn(
            script(
                guest.session.new_number(), "echo up; /bin/sleep 998; true", user="someone", groups=("audio",)
            )
        )
        await read_until(beside, b"up")
        await until_asleep(guest, 3)
        own = await say(
            guest,
            "for p in /proc/[0-9]*; do echo $(grep -E '^(Pid|PPid):' $p/status) $(tr '\\0' ' ' < $p/cmdline); done",
        )
        table = await guest.session.processes()
    seen = {p.pid: p for p in table.processes}
    known = {}
    for line in own.lines:
        match = re.fullmatch(r"Pid: (\d+) PPid: (\d+) (.*)", line)
        assert match
        known[int(match[1])] = (int(match[2]), match[3].strip())
    assert seen.keys() <= known.keys() and len(known) <= len(seen) + 4, "but the script's own"
    for pid, process in seen.items():
        assert (process.parent, " ".join(process.command)) == known[pid]
    assert seen[1].command == ("sh", "-c", text)
    assert (seen[1].uid, seen[1].parent, seen[1].name) == (0, 0, "sh")
    (asleep,) = [p for p in table.processes if p.command == ("/bin/sleep", "1000")]
    assert (asleep.nice, asleep.parent, asleep.group, asleep.session, asleep.state) == (0, 1, 1, 1, "S")
    (other,) = [p for p in table.processes if p.uid == 1000 and p.parent == 0]
    assert (other.gid, other.session, other.group) == (1000, other.pid, other.pid)
    assert not table.cut
    assert all(
        0 <= p.age_ns < 600 * 10**9 and p.threads == 1 and p.virtual_bytes > p.resident_bytes
        for p in table.processes
    )
    assert max(p.age_ns for p in table.processes) == seen[1].age_ns


async def test_many_processes_come_in_pages() -> None:
    long = "x" * 3000
    text = f"for n in $(seq 60); do sh -c 'sleep 1000; true' {long} & done; echo up; wait"
    async with open_guest() as guest:
        await read_until(await begin(guest, text), b"up")
        table = await guest.session.processes()
    assert len([p for p in table.processes if p.command[-1] == long]) == 60
    assert len({p.pid for p in table.processes}) == len(table.processes)


async def test_a_kill_for_memory_is_told_while_the_container_goes_on() -> None:
    """At once and by its number; and the count is in the usage, and told again to who connects later."""
    eat = "a=x; while true; do a=$a$a; done"
    async with open_guest() as guest:
        main = await begin(guest, "echo up; sleep 1000", limits=Limits(memory=16 * MIB))
        await read_until(main, b"up")
        waiting = asyncio.ensure_future(guest.session.out_of_memory())
        said = await say(guest, eat)
        async with asyncio.timeout(SECONDS):
            assert await waiting == 1
        again = [await say(guest, eat) for _ in range(2)]
        async with asyncio.timeout(SECONDS):
            while guest.session.oom_count < 3:
                await guest.session.out_of_memory(guest.session.oom_count)
        assert not main.ended
        assert (await guest.session.usage()).memory.oom_kills == 3
        await guest.session.signal(main.number, 9)
        assert (await main.exit()).oom
    assert [s.status for s in (said, *again)] == [-9] * 3


async def test_the_clock_follows_the_hosts() -> None:
    async with open_guest() as guest:
        await begin(guest, "sleep 1000")
        await guest.session.identity(1_000_000_000 * 10**9, b"")
        wrong = await guest.session.usage()
        before = time.time_ns()
        await guest.session.set_clock()
        after = await guest.session.usage()
    assert 0 <= wrong.clock_ns - 1_000_000_000 * 10**9 < 60 * 10**9
    assert before <= after.clock_ns <= time.time_ns()
    assert after.uptime_ns > wrong.uptime_ns


async def test_the_small_init_is_docker_s_to_look_at() -> None:
    async with open_guest() as guest:
        said = await shell(
            guest, "tr '\\0' '|' < /proc/1/cmdline; echo; cat /proc/1/comm; echo $$", flags=BootFlag.INIT
        )
    command, name, pid = said.lines
    assert command.startswith("/sbin/docker-init|--|sh|-c|tr ")
    assert command.endswith("|")
    assert (name, pid != "1") == ("docker-init", True)
