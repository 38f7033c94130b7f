"""A container's files of names and addresses: what they say, and how they follow when its networks change.

A running container's file is written anew only where it is still as Insula made it.
"""

import time
from collections.abc import Sequence
from contextlib import aclosing

from insula.agent.boot_document import File
from insula.agent.session import Session
from insula.agent.tree import END, Entry, Kind, TreeReader
from insula.container.leases import Leases, hosts_lines, resolv_conf
from insula.container.path_stat import below_root
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec
from insula.container.trees import check_exit, output_of, said_by, send, tree_process
from insula.container.visit import Visit

HOSTS = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


def name_files(
    spec: ContainerSpec, settings: Settings, leases: Leases, search: tuple[str, ...]
) -> tuple[File, ...]:
    """hostname, hosts and resolv.conf. Pure. search: the host's domains."""
    hosts = HOSTS + hosts_lines(spec, settings, leases)
    if not leases.endpoints:
        own = f"{settings.hostname}.{spec.domainname} " if spec.domainname else ""
        hosts += f"127.0.1.1\t{own}{settings.hostname}\n"
    return (
        File("/etc/hostname", f"{settings.hostname}\n".encode()),
        File("/etc/hosts", hosts.encode()),
        File("/etc/resolv.conf", resolv_conf(spec, leases, search).encode()),
    )


async def renew(session: Session, old: Sequence[File], new: Sequence[File]) -> None:
    """In a running container: what differs is written in place of what was there. Raises InsulaError."""
    visit = Visit(session)
    for before, after in zip(old, new, strict=True):
        if before.content != after.content:
            found = await _read(visit, before)
            if found is not None:
                await _write(visit, after, found)


async def _read(visit: Visit, wanted: File) -> Entry | None:
    """The file's entry, if it says what it is wanted to say."""
    path = below_root(wanted.path)
    async with tree_process(visit, lambda s, n: s.tree_read(n, path)) as process:
        async with aclosing(output_of(visit, process)) as output:  # type: ignore[type-var]  # a generator
            reader = TreeReader(output)
            async for entry in reader:
                content = b""
                if entry.kind is not Kind.FILE or entry.size != len(wanted.content):
                    return None
                async for piece in reader.content():
                    content += piece
                return entry if content == wanted.content else None
    return None


async def _write(visit: Visit, file: File, found: Entry) -> None:
    """With the owner and mode that it has."""
    folder, _, name = below_root(file.path).rpartition("/")
    size = len(file.content)
    entry = Entry(
        Kind.FILE,
        mode=found.mode,
        uid=found.uid,
        gid=found.gid,
        mtime_seconds=int(time.time()),
        size=size,
        path=name.encode(),
        extents=((0, size),) if size else (),
    )
    async with tree_process(visit, lambda s, n: s.tree_write(n, folder)) as process:
        await send(visit, process, entry.encode() + file.content + END.encode())
        await process.end_input()
        await check_exit(process, await said_by(visit, process))
