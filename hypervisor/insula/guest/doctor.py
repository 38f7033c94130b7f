"""What this host has and lacks for machines: one finding a line, each with what to do about it.

Looks and tells, changes nothing, and boots nothing: whether KVM works is told if it is known already.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from insula import process
from insula.errors import InsulaError
from insula.guest.template import template_sizes
from insula.machine.accelerator import obstacle, read_verdict
from insula.machine.host_cgroup import CgroupParent
from insula.machine.jail import open_jail_root
from insula.machine.kernel import agent_binary, find_provision
from insula.machine.platform import Platform, platforms
from insula.paths import Paths

TOOLS = ("bwrap", "sqfstar", "mksquashfs", "mkfs.ext4", "apt-get", "dpkg-deb", "depmod", "prlimit", "setpriv")
DISK_LOW = 2 << 30
QEMU_SECONDS = 20.0
CGROUP_HINT = "a host with cgroups of version 2 alone; an ordinary user's daemon in a service of the user's"

State = Literal["ok", "warning", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `doctor`. hint: what to do, or empty."""

    subject: str
    state: State
    text: str
    hint: str = ""


async def examine(paths: Paths, cgroups: CgroupParent) -> list[Finding]:
    """All findings, in the order of the table. cgroups: where those of machines are made."""
    found: list[Finding] = []
    for platform in platforms().values():
        found += await _examine_platform(paths, platform)
    for wall in walls(any(row.text.startswith("kvm:") for row in found), cgroups):
        found.append(Finding("wall", "ok", wall))
    found += await asyncio.to_thread(
        lambda: [*_tools(), *_name_spaces(), _cgroup(cgroups), _templates(paths), _disk(paths)]
    )
    return found


async def _examine_platform(paths: Paths, platform: Platform) -> list[Finding]:
    if process.find_tool(platform.qemu) is None:
        text = f"{platform.qemu} is not installed"
        return [Finding(f"QEMU {platform.name}", "missing", text, platform.install)]
    found = [await _qemu(platform), await _accelerator(paths, platform)]
    found.append(await asyncio.to_thread(examine_kernel, paths, platform))
    try:
        found.append(Finding(f"agent {platform.name}", "ok", str(agent_binary(platform))))
    except InsulaError as error:
        found.append(Finding(f"agent {platform.name}", "missing", error.message, error.hint))
    return found


def examine_kernel(paths: Paths, platform: Platform) -> Finding:
    """Which kernel a platform has, and whether with security updates."""
    subject, provision = f"kernel {platform.name}", find_provision(paths, platform)
    if provision is None:
        return Finding(subject, "warning", "not fetched yet; the first start does")
    text = f"{provision.version}, sha256 {provision.digest[:16]}"
    if provision.gap:
        hint = "docs/decisions/0008 says what that means, and what to do"
        return Finding(subject, "warning", f"{text}; without security updates: {provision.gap}", hint)
    return Finding(subject, "ok", text)


async def _qemu(platform: Platform) -> Finding:
    """Its own words about its version."""
    subject = f"QEMU {platform.name}"
    try:
        done = await process.run([process.tool(platform.qemu), "--version"], timeout=QEMU_SECONDS)
    except InsulaError as error:
        return Finding(subject, "missing", f"{platform.qemu} does not run: {error.message}", error.hint)
    return Finding(subject, "ok", done.stdout.decode(errors="replace").partition("\n")[0][:200])


async def _accelerator(paths: Paths, platform: Platform) -> Finding:
    subject = f"accelerator {platform.name}"
    reason = obstacle(platform)
    if reason is None:
        try:
            build = (await open_jail_root(paths, platform)).build
        except InsulaError as error:
            return Finding(subject, "warning", error.message, error.hint)
        verdict = read_verdict(paths, platform, build)
        if verdict is None:
            return Finding(subject, "warning", "/dev/kvm opens; the first start will tell whether it works")
        if verdict.works:
            return Finding(subject, "ok", f"kvm: {verdict.reason}")
        reason = verdict.reason
    return Finding(subject, "ok", f"tcg (emulation): {reason}")


def _tools() -> Iterator[Finding]:
    for name in TOOLS:
        path = process.find_tool(name)
        if path is None:
            package = process.PACKAGES.get(name, name)
            yield Finding(f"tool {name}", "missing", "not installed", f"apt-get install {package}")
        else:
            yield Finding(f"tool {name}", "ok", path)


def _name_spaces() -> Iterator[Finding]:
    """The jail makes a user name space; some hosts forbid it to all but listed programs."""
    most = int(_read("/proc/sys/user/max_user_namespaces") or 0)
    restricted = _read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1"
    if most == 0:
        yield Finding(
            "user name spaces", "missing", "the kernel allows none", "sysctl user.max_user_namespaces=10000"
        )
    elif restricted and not Path("/etc/apparmor.d/bwrap").exists():
        hint = "install the AppArmor profile of docs/ubuntu.md"
        yield Finding(
            "user name spaces", "warning", "AppArmor restricts them to programs with a profile", hint
        )
    else:
        yield Finding("user name spaces", "ok", f"{most} allowed")


def _cgroup(parent: CgroupParent) -> Finding:
    if parent.folder is not None:
        return Finding("cgroup", "ok", f"each machine has its own in {parent.folder}")
    return Finding("cgroup", "warning", f"none for machines: {parent.obstacle}", CGROUP_HINT)


def _templates(paths: Paths) -> Finding:
    sizes = template_sizes(paths) if paths.templates.exists() else {}
    return Finding("templates", "ok", f"{len(sizes)}, {sum(sizes.values()) >> 20} MiB in {paths.templates}")


def _disk(paths: Paths) -> Finding:
    there = next(path for path in (paths.home, *paths.home.parents) if path.exists())
    free = shutil.disk_usage(there).free
    text = f"{free >> 30} GiB free in {paths.home}"
    return Finding(
        "disk", "ok" if free > DISK_LOW else "warning", text, "" if free > DISK_LOW else "make room"
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def walls(uses_kvm: bool, cgroups: CgroupParent) -> list[str]:
    """Which walls stand between a container and the host, for `info`."""
    machine = "kvm" if uses_kvm else "tcg (emulation: QEMU promises no isolation)"
    user = "own id per machine" if os.geteuid() == 0 else "the daemon's own id"
    bounds = "cgroup" if cgroups.folder is not None else "limits of the process alone"
    jail = f"name=jail,by=bubblewrap,filter=seccomp,user={user},bounds={bounds}"
    return [f"name=machine,accelerator={machine}", jail]
