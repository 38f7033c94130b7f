"""`make demo`: the main job, shown. A container of each architecture says what it runs on, and each step its time.

Uses the state root of the user, so that what it makes is there afterwards: `insula run busybox` goes on working.
"""

import subprocess
import sys
import time
from pathlib import Path

INSULA = Path(sys.executable).with_name("insula")
PLATFORMS = ("linux/amd64", "linux/arm64")
SHOWN = "uname -m; uname -r; grep PRETTY_NAME /etc/os-release"


def step(what: str, *arguments: str) -> str:
    """Runs one insula command, shows it with its time, and ends the demo if it fails."""
    print(f"\n$ insula {' '.join(arguments)}", flush=True)
    began = time.monotonic()
    done = subprocess.run([str(INSULA), *arguments], text=True, stdout=subprocess.PIPE, check=False)
    print(done.stdout, end="")
    print(f"  [{what}: {time.monotonic() - began:.2f} s]", flush=True)
    if done.returncode != 0:
        sys.exit(f"the demo failed at: insula {' '.join(arguments)} (exit {done.returncode})")
    return done.stdout


def have_busybox() -> bool:
    """Whether the image is there for both architectures."""
    return all(
        subprocess.run(
            [str(INSULA), "create", "--platform", platform, "--name", "demo-probe", "busybox", "true"],
            capture_output=True, check=False,
        ).returncode == 0
        and subprocess.run([str(INSULA), "rm", "demo-probe"], capture_output=True, check=False).returncode == 0
        for platform in PLATFORMS
    )  # fmt: skip


def main() -> None:
    began = time.monotonic()
    step("daemon and version", "version")
    if not have_busybox():
        step("busybox of both architectures out of Debian's packages", "bootstrap", "busybox")
    for platform in PLATFORMS:
        out = step(
            "a container in a machine of its own", "run", "--rm", "--network", "none", "--platform", platform,
            "busybox", "sh", "-c", SHOWN,
        )  # fmt: skip
        expected = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}[platform]
        if expected not in out.split():
            sys.exit(f"expected {expected} from {platform}")
    for platform in PLATFORMS:
        step("again", "run", "--rm", "--network", "none", "--platform", platform, "busybox", "uname", "-m")
    print(f"\nall of it: {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
