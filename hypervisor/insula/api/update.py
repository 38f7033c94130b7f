"""`POST /containers/…/update`: the part of HostConfig that can be changed in place → Update.

The fields are create's, checked by the same table and read by the same decoders. As in Docker, a value that is empty
or zero changes nothing (but for PidsLimit, which says "no limit" so), and a policy without a name neither.
"""

from typing import Any

from aiohttp.web import StreamResponse

from insula.api.call import Call
from insula.api.decode import decode_restart
from insula.api.decode_limits import RATES, decode_limits
from insula.api.fields import HOST_CONFIG
from insula.api.router import Route
from insula.api.typed import read_section
from insula.api.versions import Version
from insula.container.updating import Update
from insula.errors import InvalidArgument

LIMITS = {
    "memory": "Memory", "memory_reservation": "MemoryReservation", "memory_swap": "MemorySwap",
    "nano_cpus": "NanoCpus", "cpu_shares": "CpuShares", "cpu_period": "CpuPeriod", "cpu_quota": "CpuQuota",
    "cpuset_cpus": "CpusetCpus", "cpuset_mems": "CpusetMems", "blkio_weight": "BlkioWeight",
}  # fmt: skip
PIDS, RESTART = "PidsLimit", "RestartPolicy"
CHANGEABLE = frozenset({*LIMITS.values(), *RATES.values(), "BlkioWeightDevice", PIDS, RESTART})
PIDS_SINCE: Version = (1, 40)


def decode_update(document: dict[str, Any], version: Version) -> tuple[Update, list[str]]:
    """What is asked for, and warnings. Raises InvalidArgument, NotImplemented."""
    warnings: list[str] = []
    host = read_section("UpdateConfig", HOST_CONFIG, document, warnings)
    for field in HOST_CONFIG:
        if field.name not in CHANGEABLE and field.asks(host.get(field.name)):
            raise InvalidArgument(f"UpdateConfig.{field.name} cannot be changed", "create the container anew")
    if version < PIDS_SINCE:
        host.pop(PIDS, None)
    decoded = decode_limits(host)
    fields = {name: decoded[name] for name in LIMITS if decoded[name]}
    rates = {name: rate for name in RATES if (rate := getattr(decoded["device_limits"], name))}
    if host.get(PIDS) is not None:
        fields["pids_limit"] = decoded["pids_limit"]
    policy = host.get(RESTART) or {}
    if policy.get("Name"):
        fields["restart"] = decode_restart(policy)
    raw = {name: host[name] for name in CHANGEABLE if host.get(name) and name != RESTART}
    if host.get(PIDS) is not None:
        raw[PIDS] = decoded["pids_limit"]
    return Update(fields, rates, raw), warnings


async def update(call: Call) -> StreamResponse:
    wanted, warnings = decode_update(await call.document(), call.version)
    found = await call.engine.containers.update(call.names["id"], wanted)
    return call.json({"Warnings": [*warnings, *found]})


ROUTES = (Route("POST", "/containers/{id:path}/update", update),)
