"""Clones of one template are not each other's doubles: what must differ differs, what must arrive arrives."""

import time
from pathlib import Path
from typing import Any

import pytest
from guest_fixture import boot, document, open_guests, request, start

from boot_paths import PLATFORMS, provisioned_home
from insula.agent.link import Link
from insula.config import Config
from insula.guest.guest import Guest

pytestmark = [pytest.mark.boot, pytest.mark.platform]

Window = tuple[int, int]
MASK = 0xFFFFFFFF


@pytest.fixture
def home() -> Path:
    return provisioned_home()


def named(number: int) -> dict[str, Any]:
    """What a container's boot document says of who it is."""
    mac = bytes([2, 0x42, 0, 0, 0, number])
    return {"hostname": f"clone-{number}", "links": (Link(nic=0, name="eth0", mac=mac, mtu=1400),)}


async def sequence_secret(guest: Guest) -> Window:
    """What the kernel adds to its clock for the sequence numbers of one 4-tuple: the secret part, between two
    bounds (RFC 6528; the clock ticks once in 64 ns)."""
    number, before, after = (
        int(word) for word in (await start(guest, "isn", "40001", "40002")).lines[0].split()
    )
    first = (number - (after >> 6)) & MASK
    return first, (after >> 6) - (before >> 6)


def may_be_one(a: Window, b: Window) -> bool:
    """Whether both can have come of one secret."""
    return (a[0] - b[0]) & MASK <= b[1] or (b[0] - a[0]) & MASK <= a[1]


async def look(guest: Guest, number: int) -> tuple[dict[str, str], Window]:
    """Who a clone is, by its first process; and the secret of its sequence numbers."""
    seen = (await boot(guest, "identity", **named(number))).pairs
    await guest.session.boot(document(guest, "wait", **named(number)))
    secret, again = await sequence_secret(guest), await sequence_secret(guest)
    assert may_be_one(secret, again), "one machine has one secret: else the test sees nothing"
    await guest.session.stop()
    return seen, secret


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("way", ["template", "pool"])
async def test_two_clones_differ(platform: str, way: str, home: Path) -> None:
    async with open_guests(home, Config(pool_machines=2 if way == "pool" else 0)) as guests:
        if way == "pool":
            await guests.fill(platform)
        async with guests.open(request(platform)) as one, guests.open(request(platform)) as other:
            assert {one.origin, other.origin} == {way}
            (a, a_secret), (b, b_secret) = await look(one, 1), await look(other, 2)
    for name in ("at_random", "urandom", "boot_id", "hostname", "eth0"):
        assert a[name] and b[name] and a[name] != b[name], name
    assert (a["hostname"], b["hostname"]) == ("clone-1", "clone-2")
    assert (a["eth0"], b["eth0"]) == ("02:42:00:00:00:01", "02:42:00:00:00:02")
    assert not may_be_one(a_secret, b_secret)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_one_machine_s_containers_differ(platform: str, home: Path) -> None:
    """A machine that was idle again is reseeded by the next boot document; its boot_id is drawn anew."""
    async with open_guests(home) as guests:
        async with guests.open(request(platform)) as guest:
            a, b = (await boot(guest, "identity")).pairs, (await boot(guest, "identity")).pairs
    for name in ("at_random", "urandom", "boot_id"):
        assert a[name] and b[name] and a[name] != b[name], name


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_the_clock_is_the_host_s(platform: str, home: Path) -> None:
    """However old the template is: the guest's clock lies between two readings of the host's."""
    async with open_guests(home) as guests:
        async with guests.open(request(platform)) as guest:
            before = time.time_ns()
            running = await guest.session.boot(document(guest, "wait"))
            seen = int((await start(guest, "isn", "40003", "40004")).lines[0].split()[1])
            after = time.time_ns()
            assert running.number
    second = 1_000_000_000
    assert before - second <= seen <= after + second
