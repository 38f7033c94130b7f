"""The container that a pool clone runs before it is claimed (guest/rehearsal.py): as like a real one as can be, so
that everything a start does has been done once. Decided here, where containers are; handed down by the daemon."""

import os
import secrets
import time
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

from insula.agent.boot_document import Address, BootDocument, Link, Route
from insula.container.plan import Choices, capabilities_of, make_plan
from insula.container.seccomp import seccomp_filter
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec

MAIN = 0x7FFFFFFF
"""The number of its process: no container's."""

LINK = Link(
    nic=0,
    name="eth0",
    mac=bytes.fromhex("020000000001"),
    mtu=1500,
    addresses=(Address(ip_interface("192.0.2.2/24")), Address(ip_interface("2001:db8::2/64"))),
    routes=(
        Route(ip_network("0.0.0.0/0"), ip_address("192.0.2.1")),
        Route(ip_network("::/0"), ip_address("2001:db8::1")),
    ),
)
"""A network device as a container has it, with addresses for documentation (RFC 5737, RFC 3849): its tap is in no
network then, and nothing that is sent goes anywhere."""


async def make_rehearsal(platform: str) -> BootDocument:
    """The boot document of a rehearsal on layer 0 and the writable disk, with the first network device."""
    spec = ContainerSpec(image="rehearsal", auto_remove=True)
    settings = Settings(cmd=("/bin/rehearsal",), env=("PATH=/bin",), hostname="rehearsal")
    filter = await seccomp_filter(platform.split("/")[1], capabilities_of(spec))
    choices = Choices(boot=secrets.randbelow(2**31) + 1, main=MAIN, entropy=os.urandom(64), seccomp=filter)
    document = make_plan(spec, settings, platform, (), None, choices).document
    return replace(document, layers=(0,), writable=0, links=(LINK,), clock_ns=time.time_ns())
