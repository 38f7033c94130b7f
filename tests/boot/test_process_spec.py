"""What a process is given, read in the guest: groups, rlimits, capabilities, no_new_privs, oom score, sysctls."""

import errno

import pytest
from guest_fixture import open_guests, request
from shell_fixture import begin, say, shell, shell_layer

from boot_paths import provisioned_home
from insula.agent.boot_document import Sysctl
from insula.agent.process_spec import Capabilities, Limit, ProcessFlag
from insula.agent.reports import Step
from insula.agent.session import GuestFailure

pytestmark = pytest.mark.boot

RLIMITS = (
    "Max cpu time", "Max file size", "Max data size", "Max stack size", "Max core file size", "Max resident set",
    "Max processes", "Max open files", "Max locked memory", "Max address space", "Max file locks",
    "Max pending signals", "Max msgqueue size", "Max nice priority", "Max realtime priority", "Max realtime timeout",
)  # fmt: skip
SYSCTLS = {
    "net/ipv4/ip_unprivileged_port_start": "80", "net/core/somaxconn": "99", "net/ipv4/conf/lo/forwarding": "1",
    "kernel/msgmax": "1234", "kernel/msgmnb": "2345", "kernel/msgmni": "99", "kernel/sem": "10 20 30 40",
    "kernel/shmall": "9999", "kernel/shmmax": "8888888", "kernel/shmmni": "77", "kernel/shm_rmid_forced": "1",
    "fs/mqueue/msg_max": "11", "fs/mqueue/queues_max": "12",
}  # fmt: skip
CHOWN, KILL, NET_RAW = 1 << 0, 1 << 5, 1 << 13


async def test_what_a_process_is_given_it_has() -> None:
    limits = tuple(Limit(number, 1 << 30, (1 << 30) + 1) for number in range(16) if number not in (6, 7))
    limits += (Limit(6, 500, 501), Limit(7, 300, 301))
    capabilities = Capabilities(CHOWN | KILL | NET_RAW, CHOWN | KILL, CHOWN | KILL, NET_RAW | KILL, KILL)
    status = "grep -E '^(Cap|NoNewPrivs)' /proc/self/status"
    layer = await shell_layer("linux/amd64")
    async with open_guests(provisioned_home()) as guests:
        async with guests.open(request("linux/amd64", layers=(layer,))) as guest:
            said = await shell(guest, "id -u; id -G; cat /proc/self/oom_score_adj; cat /proc/self/limits",
                               {"groups": ("audio", "1234", "4321"), "oom_score_adj": -250, "limits": limits})  # fmt: skip
            given = (await shell(guest, status, {"capabilities": capabilities})).pairs
            await begin(guest, "sleep 1000")
            beside = await say(guest, f"cat /proc/self/oom_score_adj; id -G; {status}", oom_score_adj=700,
                               user="someone", flags=ProcessFlag.NO_NEW_PRIVILEGES)  # fmt: skip
            with pytest.raises(GuestFailure) as missing:
                await say(guest, "true", groups=("nobody-knows",))
            with pytest.raises(GuestFailure) as too_many:
                await say(guest, "true", limits=(Limit(7, 1, 1 << 40),))
    uid, groups, score, *table = said.lines
    assert (uid, score) == ("0", "-250")
    assert sorted(map(int, groups.split())) == [0, 29, 77, 4321], "a group's name may be a number"
    by_name = {line[:26].strip(): line[26:].split()[:2] for line in table[1:]}
    for limit in limits:
        assert by_name[RLIMITS[limit.resource]] == [str(limit.soft), str(limit.hard)]
    sets = [int(value, 16) for name, value in _tabbed(given) if name.startswith("Cap")]
    whole = capabilities.bounding  # root's exec makes its permitted and effective sets of it
    assert sets == [NET_RAW | KILL, whole, whole, whole, KILL]
    assert beside.lines[:2] == ["700", "1000 46"]
    assert "NoNewPrivs:\t1" in beside.lines and "CapEff:\t0000000000000000" in beside.lines
    failures = [(f.value.step, f.value.errno, f.value.detail) for f in (missing, too_many)]
    assert failures == [(Step.USER, errno.ENOENT, "nobody-knows"), (Step.LIMITS, errno.EPERM, "nofile")]


def _tabbed(pairs: dict[str, str]) -> list[tuple[str, str]]:
    return [tuple(line.split(":\t")) for line in pairs]  # type: ignore[misc]


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
async def test_sysctls_are_the_containers_own(platform: str) -> None:
    """Set in its name spaces, not in the guest's: the next container has the kernel's defaults again."""
    show = "; ".join(f"echo {name} $(cat /proc/sys/{name})" for name in SYSCTLS)
    layer = await shell_layer(platform)
    async with open_guests(provisioned_home()) as guests:
        async with guests.open(request(platform, layers=(layer,))) as guest:
            before = (await shell(guest, show)).pairs
            asked = tuple(Sysctl(name, value) for name, value in SYSCTLS.items())
            during = (await shell(guest, show, sysctls=asked)).pairs
            after = (await shell(guest, show)).pairs
            failures = []
            for wrong in (Sysctl("net/no/such", "1"), Sysctl("kernel/shmmax", "many")):
                with pytest.raises(GuestFailure) as caught:
                    await begin(guest, "true", sysctls=(wrong,))
                failures.append((caught.value.step, caught.value.errno, caught.value.detail))
    assert during == SYSCTLS
    assert before == after and all(before[name] != value for name, value in SYSCTLS.items())
    assert failures == [
        (Step.SYSCTL, errno.ENOENT, "net/no/such"),
        (Step.SYSCTL, errno.EINVAL, "kernel/shmmax"),
    ]
