"""A user's own seccomp profile, compiled: in a process of its own, with bounds, for libseccomp needs time without end
for a few dozen conditions on one call that contradict each other.

    python -m insula.container.seccomp_own ARCHITECTURE CAPABILITY,…    profile on stdin, instructions on stdout
"""

import hashlib
import resource
import sys
from collections import OrderedDict

from insula import process
from insula.container.seccomp import ARCHITECTURES, compile_policy
from insula.container.seccomp_profile import parse_profile
from insula.errors import InsulaError, Internal, InvalidArgument, Unavailable
from insula.paths import SOURCE_ROOT

SECONDS = 5
MEMORY = 1 << 30
INSTRUCTIONS_MAX = 4096
"""The kernel's bound (BPF_MAXINSNS)."""
KEPT = 64
REFUSED = 3
Key = tuple[str, frozenset[str], bytes]

_made: OrderedDict[Key, bytes] = OrderedDict()


async def own_filter(profile: str, architecture: str, capabilities: frozenset[str]) -> bytes:
    """The instructions of a profile; none if it turns the filter off. Raises InvalidArgument, Internal."""
    if architecture not in ARCHITECTURES:
        raise InvalidArgument(f"there are no seccomp filters on {architecture}", "use seccomp=unconfined")
    if parse_profile(profile, architecture, capabilities) is None:
        return b""
    key = (architecture, capabilities, hashlib.sha256(profile.encode()).digest())
    if key not in _made:
        _made[key] = await _compile(profile, architecture, capabilities)
        while len(_made) > KEPT:
            _made.popitem(last=False)
    _made.move_to_end(key)
    return _made[key]


async def _compile(profile: str, architecture: str, capabilities: frozenset[str]) -> bytes:
    words = [sys.executable, "-P", "-m", __name__, architecture, ",".join(sorted(capabilities))]
    try:
        done = await process.run(
            words, timeout=4 * SECONDS, stdin=profile.encode(), check=False,
            env={"PYTHONPATH": str(SOURCE_ROOT / "hypervisor")},
        )  # fmt: skip
    except Unavailable as error:
        raise _too_much(str(error)) from error
    if done.status == REFUSED:
        raise InvalidArgument(done.stderr.decode(errors="replace").strip()[:500])
    if done.status > 0:
        said = done.stderr[-500:].decode(errors="replace").strip()
        if "MemoryError" not in said and "Cannot allocate memory" not in said:
            raise Internal(f"the compiler of seccomp profiles ended with {done.status}: {said}")
    if done.status != 0:
        raise _too_much(done.stderr[-200:].decode(errors="replace"))
    if len(done.stdout) > INSTRUCTIONS_MAX * 8:
        raise _too_much(f"{len(done.stdout) // 8} instructions, of which the kernel takes {INSTRUCTIONS_MAX}")
    return done.stdout


def _too_much(why: str) -> InvalidArgument:
    lines = why.strip().splitlines()
    return InvalidArgument(
        f"the seccomp profile cannot be compiled within {SECONDS} s and {MEMORY >> 20} MiB",
        lines[-1][:200] if lines else "it has too many conditions on one call",
    )


def main() -> int:
    """The process of its own."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    architecture, names = sys.argv[1:]
    try:
        policy = parse_profile(
            sys.stdin.buffer.read().decode(), architecture, frozenset(filter(None, names.split(",")))
        )
        sys.stdout.buffer.write(b"" if policy is None else compile_policy(architecture, policy))
    except InsulaError as error:
        print(error, file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
