"""The container that a pool clone runs before it is claimed (guest/rehearsal.py): as like a real one as can be, so
that everything a start does has been done once. Decided here, where containers are; handed down by the daemon."""

import os
import secrets
import time
from dataclasses import replace

from insula.agent.boot_document import BootDocument
from insula.container.plan import Choices, capabilities_of, make_plan
from insula.container.seccomp import seccomp_filter
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec

MAIN = 0x7FFFFFFF
"""The number of its process: no container's."""


async def make_rehearsal(platform: str) -> BootDocument:
    """The boot document of a rehearsal on layer 0 and the writable disk."""
    spec = ContainerSpec(image="rehearsal", auto_remove=True)
    settings = Settings(cmd=("/bin/rehearsal",), env=("PATH=/bin",), hostname="rehearsal")
    filter = await seccomp_filter(platform.split("/")[1], capabilities_of(spec))
    choices = Choices(boot=secrets.randbelow(2**31) + 1, main=MAIN, entropy=os.urandom(64), seccomp=filter)
    document = make_plan(spec, settings, platform, (), None, choices).document
    return replace(document, layers=(0,), writable=0, clock_ns=time.time_ns())
