"""KVM or not: what is known without booting, and what real boots have said, remembered per host boot.

An accessible /dev/kvm proves nothing: there are hosts where it opens, KVM_CREATE_VM succeeds, and a stock kernel
then spins for ever. So KVM counts only after a machine has booted with it within a deadline (guest/shapes.py
tries); the verdict holds for this boot of the host and this build of QEMU.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from insula.machine.platform import Platform
from insula.paths import Paths

PROOF_TIMEOUT = 8.0
"""Seconds for a first boot under KVM, which takes one where it works."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether KVM serves a platform, and why (not)."""

    works: bool
    reason: str


def obstacle(platform: Platform) -> str | None:
    """Why KVM cannot even be tried for a platform, or None."""
    if not platform.native:
        return f"the host is {os.uname().machine}, not {platform.hosts[0]}"
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/kvm: {os.strerror(error.errno or 0)}"
    return None


def read_verdict(paths: Paths, platform: Platform, build: str) -> Verdict | None:
    """What a real boot said earlier in this boot of the host, or None."""
    try:
        known = json.loads(paths.accelerators.read_text())
        entry = known[_key(platform, build)]
        return Verdict(bool(entry["works"]), str(entry["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_verdict(paths: Paths, platform: Platform, build: str, verdict: Verdict) -> None:
    """Remembers a verdict; those of earlier boots of the host are dropped."""
    try:
        known = json.loads(paths.accelerators.read_text())
    except (OSError, ValueError):
        known = {}
    boot = _host_boot()
    kept = {key: value for key, value in known.items() if key.startswith(boot)}
    kept[_key(platform, build)] = {"works": verdict.works, "reason": verdict.reason}
    staged = paths.staging / "accelerators.json"
    staged.write_text(json.dumps(kept, indent=1))
    staged.rename(paths.accelerators)


def _key(platform: Platform, build: str) -> str:
    return f"{_host_boot()} {platform.name} {build}"


def _host_boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
