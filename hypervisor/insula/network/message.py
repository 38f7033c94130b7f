"""What the daemon and netd say to each other: JSON over a sequenced-packet socket, descriptors beside it.

Both ends are ours, but netd reads what containers send, so the daemon takes nothing from it on trust: answers are
bounded, and no name in one is used.
"""

import array
import json
import socket
from dataclasses import asdict
from ipaddress import ip_address, ip_interface
from typing import Any

from insula.network.forward import Target
from insula.network.names import Holder
from insula.network.nft import Bridge, Lease

MESSAGE_MAX = 1 << 17
DESCRIPTORS_MAX = 64


def pack(value: Bridge | Lease | Holder | Target | None) -> dict[str, Any] | None:
    """None stays what it is."""
    if value is None:
        return None
    return {name: _plain(item) for name, item in asdict(value).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, bool)) else str(value)


def unpack_bridge(data: dict[str, Any]) -> Bridge:
    return Bridge(**data | {"gateways": tuple(ip_interface(item) for item in data["gateways"])})


def unpack_lease(data: dict[str, Any]) -> Lease:
    return Lease(**data | {"addresses": tuple(ip_address(item) for item in data["addresses"])})


def unpack_holder(data: dict[str, Any]) -> Holder:
    addresses = tuple(ip_address(item) for item in data["addresses"])
    links = tuple((str(alias), str(target)) for alias, target in data["links"])
    own = {"names": tuple(data["names"]), "addresses": addresses, "dns": tuple(data["dns"]), "links": links}
    return Holder(**data | own)


def unpack_target(data: dict[str, Any] | None) -> Target | None:
    return None if data is None else Target(ip_address(data["address"]), data["port"])


def send(end: socket.socket, document: dict[str, Any], descriptors: list[int]) -> None:
    """Raises OSError, BlockingIOError if the other end does not read."""
    data = json.dumps(document, separators=(",", ":")).encode()
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    end.sendmsg([data], ancillary)


def receive(end: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """One message and its descriptors; None: the other end is gone. Raises OSError, ValueError."""
    size = socket.CMSG_SPACE(DESCRIPTORS_MAX * array.array("i").itemsize)
    data, ancillary, _, _ = end.recvmsg(MESSAGE_MAX, size, socket.MSG_CMSG_CLOEXEC)
    descriptors: list[int] = []
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers = array.array("i")
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
            descriptors += numbers
    if not data:
        return None, descriptors
    document = json.loads(data)
    if not isinstance(document, dict):
        raise ValueError("not an object")
    return document, descriptors
