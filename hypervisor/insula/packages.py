"""Packages of Debian, for any architecture, without touching the host's own package state.

A private apt configuration for each (suite, architecture) lies under Paths.packages: its own sources, lists,
cache and empty status file, so the host's dpkg learns no foreign architecture and nothing is installed. The
mirror is the host's own where the host is Debian, else `mirror` of the configuration file. apt verifies the
archive's signature with Debian's keyring; refused is anything unsigned.

What the security archive has comes first, and never gives way to something older: lists that cannot be renewed
stay in use, and where there have never been any, `find_gap` says so (docs/decisions/0008).
"""

import logging
import os
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

from insula import process
from insula.errors import Internal, NotFound, Unavailable
from insula.locks import lock_of
from insula.paths import Paths

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DEFAULT_SUITE = "bookworm"
UPDATE_TIMEOUT = 300.0
DOWNLOAD_TIMEOUT = 600.0
LISTS_MAX_AGE = 86400.0  # seconds
RETRY_AGE = 3600.0  # where the lists could not all be had

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mirror:
    """Where Debian's packages come from: the main archive and, where known, the security archive."""

    archive: str
    security: str | None


async def fetch_package(paths: Paths, name: str, architecture: str, suite: str | None = None) -> Path:
    """Downloads one package, once, and returns its .deb file.

    name: a package, or a meta-package's name for `find_dependency`; architecture: Debian's word ('amd64').
    Raises NotFound if the suite has no such package, Unavailable if no mirror can be reached."""
    state = await _ready_state(paths, architecture, suite or DEFAULT_SUITE)
    async with lock_of(state):
        shown = await _show(state, name)
        target = state / "debs" / os.path.basename(shown["Filename"])
        if not target.exists():
            await _download(state, name, target)
    return target


async def find_dependency(
    paths: Paths, name: str, prefix: str, architecture: str, suite: str | None = None
) -> str:
    """The first dependency of a package that starts with `prefix`: the real kernel behind its meta-package."""
    state = await _ready_state(paths, architecture, suite or DEFAULT_SUITE)
    async with lock_of(state):
        shown = await _show(state, name)
    for alternative in shown.get("Depends", "").replace("|", ",").split(","):
        word = alternative.split("(")[0].strip()
        if word.startswith(prefix):
            return word
    raise NotFound(f"the package {name} ({architecture}) depends on no {prefix}…")


async def find_gap(paths: Paths, architecture: str, suite: str | None = None) -> str:
    """Why packages come without the security archive's updates, in a few words; empty if they have them.

    Raises Unavailable, Internal if no lists can be had at all."""
    state = await _ready_state(paths, architecture, suite or DEFAULT_SUITE)
    return _read_gap(state)


async def find_mirror(paths: Paths) -> Mirror:
    """The mirror: the configuration's, else the host's own. Raises Unavailable if there is neither."""
    if paths.config.exists():
        try:
            configured = tomllib.loads(paths.config.read_text())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Unavailable(f"{paths.config} is not TOML: {error}") from error
        mirror, security = configured.get("mirror"), configured.get("security_mirror")
        if isinstance(mirror, str):
            return Mirror(mirror, security if isinstance(security, str) else None)
    fields = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    listed = await process.run(
        [process.tool("apt-get"), "indextargets", "--format", fields, "Identifier: Packages"], timeout=30
    )
    found: dict[str, str] = {}
    for line in listed.stdout.decode().splitlines():
        origin, label, uri = line.split("|", 2)
        if origin == "Debian":
            found.setdefault(label, uri.rstrip("/"))
    if "Debian" not in found:
        raise Unavailable(
            "no Debian mirror is known: this host's apt has none",
            f'write `mirror = "https://…/debian"` into {paths.config}, or run apt-get update',
        )
    return Mirror(found["Debian"], found.get("Debian-Security"))


async def _ready_state(paths: Paths, architecture: str, suite: str) -> Path:
    """The private apt state of (suite, architecture), its lists fetched at most once a day."""
    state = paths.packages / f"{suite}-{architecture}"
    async with lock_of(state):
        if not _is_fresh(state):
            await _update(paths, state, architecture, suite)
    return state


def _is_fresh(state: Path) -> bool:
    try:
        age = time.time() - os.stat(state / "updated").st_mtime
        return age < float((state / "updated").read_text() or LISTS_MAX_AGE)
    except FileNotFoundError:
        return False


async def _update(paths: Paths, state: Path, architecture: str, suite: str) -> None:
    if not KEYRING.exists():
        raise Unavailable(f"{KEYRING} is missing", "apt-get install debian-archive-keyring")
    mirror = await find_mirror(paths)
    for folder in ("lists/partial", "cache/archives/partial", "debs"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    (state / "architecture").write_text(architecture)
    sources = f"deb [signed-by={KEYRING}] {mirror.archive} {suite} main\n"
    if mirror.security is None:
        await _fetch_lists(state, sources)
        gap, max_age = "the mirror that is configured has no security archive", LISTS_MAX_AGE
    else:
        both = sources + f"deb [signed-by={KEYRING}] {mirror.security} {suite}-security main\n"
        gap, max_age = await _fetch_both(state, sources, both)
    if gap and gap != _read_gap(state):
        log.warning("%s: packages come without security updates: %s", state.name, gap)
    (state / "gap").write_text(gap)
    (state / "updated").write_text(str(max_age))


async def _fetch_both(state: Path, archive: str, both: str) -> tuple[str, float]:
    """Fetches the lists of both archives. Why there are none of the security archive's, or empty; and for how many
    seconds that may stand."""
    try:
        await _fetch_lists(state, both, "-o", "APT::Update::Error-Mode=any")  # out of reach is unread too
    except Internal as error:
        said = str(error).partition("E: ")[2].partition("\n")[0] or str(error)
        if _has_security_lists(state):
            log.warning("%s: the lists of an earlier day stay in use: %s", state.name, said)
            return "", RETRY_AGE
        # a mirror's security archive may lag behind its own Release file, for days and one architecture alone
        await _fetch_lists(state, archive)
        return f"the mirror's security archive cannot be read: {said}", RETRY_AGE
    if _has_security_lists(state):
        return "", LISTS_MAX_AGE
    return f"the security archive has nothing for {state.name}", LISTS_MAX_AGE


def _has_security_lists(state: Path) -> bool:
    """apt keeps the lists that it has where it cannot renew them, and drops those of no source."""
    return any((state / "lists").glob("*-security_main_binary-*_Packages*"))


def _read_gap(state: Path) -> str:
    try:
        return (state / "gap").read_text()
    except FileNotFoundError:
        return ""


async def _fetch_lists(state: Path, sources: str, *options: str) -> None:
    (state / "sources.list").write_text(sources)
    # apt 2.6 waits for ever for a retry that it has put off, once the other archive's lists are there
    argv = [process.tool("apt-get"), *_options(state), *options, "-o", "Acquire::Retries=0", "update"]
    await process.run(argv, timeout=UPDATE_TIMEOUT)


def _options(state: Path) -> list[str]:
    architecture = (state / "architecture").read_text()
    values = {
        "Dir::State": state,
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "APT::Architecture": architecture,
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    options = [word for key, value in values.items() for word in ("-o", f"{key}={value}")]
    return [*options, "-o", f"APT::Architectures::={architecture}", "-qq"]


async def _show(state: Path, name: str) -> dict[str, str]:
    """The fields of a package's newest version."""
    argv = [process.tool("apt-cache"), *_options(state), "--no-all-versions", "show", "--", name]
    shown = await process.run(argv, timeout=60, check=False)
    if shown.status != 0:
        raise NotFound(f"Debian has no package {name} in {state.name}")
    fields: dict[str, str] = {}
    for line in shown.stdout.decode().splitlines():
        key, colon, value = line.partition(": ")
        if colon and not line.startswith(" "):
            fields.setdefault(key, value)
    return fields


async def _download(state: Path, name: str, target: Path) -> None:
    """`apt-get download` writes into the working directory, under its own encoding of the version; so it gets
    an empty folder and whatever single .deb appears there is renamed."""
    landing = state / "landing"
    landing.mkdir(exist_ok=True)
    for left in landing.iterdir():
        left.unlink()
    options = [*_options(state), "-o", f"Dir::Cache::archives={landing}"]
    await process.run(
        [process.tool("apt-get"), *options, "download", name], timeout=DOWNLOAD_TIMEOUT, cwd=landing
    )
    arrived = list(landing.glob("*.deb"))
    if len(arrived) != 1:
        raise Unavailable(f"downloading {name} gave {len(arrived)} files instead of one")
    arrived[0].rename(target)
