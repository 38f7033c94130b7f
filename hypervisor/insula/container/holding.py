"""Limits of a container that runs: whether its machine can hold it to them, and that it does.

Twice where it can be: exactly in the guest, and on QEMU for what a guest might take.
"""

from insula.container.limits import limits_of, machine_cpus, machine_memory, throttle_of, weights_of
from insula.container.spec import ContainerSpec
from insula.guest.guest import Guest
from insula.machine.spec import memory_class


def differ(old: ContainerSpec, new: ContainerSpec) -> bool:
    """Whether a running container is to be held to something else."""
    return limits_of(old) != limits_of(new) or throttle_of(old) != throttle_of(new)


def what_lacks(guest: Guest, spec: ContainerSpec) -> str:
    """Why a running machine cannot hold a container to these limits; empty if it can."""
    memory, cpus = machine_memory(spec), machine_cpus(spec)
    if memory and memory_class(memory) > guest.memory:
        return f"its machine has {guest.memory} MiB of memory, too little for a limit of {memory >> 20} MiB"
    if cpus > guest.cpus:
        return f"its machine has {guest.cpus} processor{'' if guest.cpus == 1 else 's'}, too few for {cpus:g}"
    return ""


async def hold_to(guest: Guest, spec: ContainerSpec) -> None:
    """Gives a running guest, and its machine, the limits of a spec. Raises GuestFailure: then it has those before."""
    await guest.session.update(limits_of(spec))
    await guest.throttle(throttle_of(spec))
    await guest.weigh(weights_of(spec))
