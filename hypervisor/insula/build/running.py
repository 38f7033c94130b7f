"""What a RUN runs: the command in its three forms, the environment, the mounts. Pure.

Of mounts there are tmpfs, cache and secret. Refused by name are the others, the host's network, devices and
whatever would lower a wall.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from insula import errors
from insula.agent.boot_document import File, Mount, MountKind
from insula.build.dockerfile import flags_of
from insula.build.metadata import SHELL
from insula.build.parser import Instruction, fail, heredoc_names, split_words
from insula.container.tmpfs import check_target, normal_path, parse_tmpfs
from insula.errors import InvalidArgument

SCRIPT = "/.insula-heredoc"
SECRETS = "/run/secrets/"
MOUNT_KEYS = {
    "tmpfs": {"type", "target", "dst", "destination", "size"},
    "cache": {
        "type",
        "id",
        "target",
        "dst",
        "destination",
        "readonly",
        "ro",
        "sharing",
        "mode",
        "uid",
        "gid",
        "from",
        "source",
    },
    "secret": {"type", "id", "target", "dst", "destination", "required", "mode", "uid", "gid", "env"},
}
TRUE = ("", "true", "1")


@dataclass(frozen=True, slots=True)
class CacheMount:
    """A folder that is kept between builds. locked: for one step at a time."""

    id: str
    target: str
    read_only: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """One RUN. words: as history and failures show the command; hidden: paths that are only mounted upon."""

    command: tuple[str, ...]
    words: str
    offline: bool = False
    env: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    files: tuple[File, ...] = ()
    caches: tuple[CacheMount, ...] = ()
    hidden: frozenset[bytes] = frozenset()


def plan_run(
    instruction: Instruction,
    shell: tuple[str, ...],
    secrets: Mapping[str, bytes],
    directory: str,
) -> Running:
    """directory: that mount targets are relative to. Raises InvalidArgument, NotImplemented."""
    flags = flags_of(instruction)
    offline = _network(instruction, flags.get("network", ["default"])[0])
    if flags.get("security", ["sandbox"])[0] != "sandbox":
        raise fail(
            instruction.line, "RUN --security=insecure cannot be had: each step has a container's walls"
        )
    if "device" in flags:
        raise fail(instruction.line, "RUN --device cannot be had: a machine has no device of the host")
    command, script = _command(instruction, shell)
    mounts: list[Mount] = []
    files: list[File] = []
    env: list[str] = []
    targets: list[str] = []
    caches: list[CacheMount] = []
    if script is not None:
        files.append(File(SCRIPT, script.encode("utf-8", "surrogateescape"), 0o755))
        targets.append(SCRIPT)
    for text in flags.get("mount", []):
        mount = _read_mount(instruction, text)
        if mount["type"] == "tmpfs":
            target = _target(instruction, mount, directory)
            size = f",size={mount['size']}" if mount.get("size") else ""
            parsed = parse_tmpfs(target, f"exec,suid,dev{size}")
            mounts.append(Mount(MountKind.TMPFS, "tmpfs", parsed.target, parsed.flags, parsed.data))
            targets.append(parsed.target)
        elif mount["type"] == "cache":
            caches.append(_cache(instruction, mount, directory))
            targets.append(caches[-1].target)
        else:
            _take_secret(instruction, mount, secrets, directory, (files, env, targets))
    return Running(
        command,
        " ".join(command),
        offline,
        tuple(env),
        tuple(mounts),
        tuple(files),
        tuple(caches),
        _hidden(targets),
    )


def _network(instruction: Instruction, name: str) -> bool:
    if name == "host":
        raise fail(
            instruction.line, "network=host cannot be had: a machine has no part in the host's network"
        )
    if name not in ("default", "none"):
        raise fail(instruction.line, f"invalid network mode: {name[:80]}")
    return name == "none"


def _command(instruction: Instruction, shell: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """The command line, and the script that it runs if that is a file of its own."""
    if instruction.words is not None:
        return instruction.words, None
    shell = shell or SHELL
    if not instruction.heredocs:
        return (*shell, instruction.text), None
    alone = len(split_words(instruction.text)) == 1 == len(heredoc_names(instruction.text))
    content = instruction.heredocs[0].content
    if alone and content.startswith("#!"):
        return (SCRIPT,), content
    if alone:
        return (*shell, content), None
    whole = instruction.text + "\n"
    for heredoc in instruction.heredocs:
        whole += f"{heredoc.content}{heredoc.name}\n"
    return (*shell, whole), None


def _read_mount(instruction: Instruction, text: str) -> dict[str, str]:
    """Its keys and values. Raises InvalidArgument, NotImplemented."""
    found: dict[str, str] = {}
    for item in text.split(","):
        key, equals, value = item.partition("=")
        found[key.strip().lower()] = value if equals else ""
    kind = found.setdefault("type", "bind")
    if kind in ("bind", "ssh"):
        raise errors.NotImplemented(
            f"dockerfile parse error on line {instruction.line}: RUN --mount=type={kind} is not there yet",
            "COPY what the step needs, or use tmpfs, cache and secret",
        )
    if kind not in MOUNT_KEYS:
        raise fail(instruction.line, f"unsupported mount type {kind[:80]!r}")
    for key in found:
        if key not in MOUNT_KEYS[kind]:
            raise fail(instruction.line, f"unexpected key '{key[:80]}' in '{text[:200]}'")
    return found


def _target(instruction: Instruction, mount: Mapping[str, str], directory: str, default: str = "") -> str:
    named = next((mount[key] for key in ("target", "dst", "destination") if mount.get(key)), default)
    if not named:
        raise fail(instruction.line, f"the mount of type {mount['type']} has no target")
    target = named if named.startswith("/") else f"{directory.rstrip('/')}/{named}"
    try:
        check_target(target)
    except InvalidArgument as error:
        raise fail(instruction.line, error.message) from error
    return normal_path(target)


def _cache(instruction: Instruction, mount: Mapping[str, str], directory: str) -> CacheMount:
    """Raises InvalidArgument, NotImplemented."""
    sharing = mount.get("sharing") or "shared"
    if sharing not in ("shared", "locked", "private"):
        raise fail(instruction.line, f"unsupported sharing value {sharing[:40]!r}")
    asked = [key for key in ("from", "source") if mount.get(key)]
    asked += [key for key in ("uid", "gid") if mount.get(key, "0") != "0"]
    asked += ["mode"] if mount.get("mode", "0755").lstrip("0") != "755" else []
    asked += ["sharing=private"] if sharing == "private" else []
    if asked:
        raise errors.NotImplemented(
            f"dockerfile parse error on line {instruction.line}: a cache mount with {asked[0]} is not there yet",
            "leave it out: a cache is empty at first, and of user 0",
        )
    target = _target(instruction, mount, directory)
    read_only = any(key in mount and mount[key] in TRUE for key in ("readonly", "ro"))
    return CacheMount(mount.get("id") or target, target, read_only, sharing == "locked")


def _take_secret(
    instruction: Instruction,
    mount: Mapping[str, str],
    secrets: Mapping[str, bytes],
    directory: str,
    into: tuple[list[File], list[str], list[str]],
) -> None:
    files, env, targets = into
    id = mount.get("id") or next((mount[k] for k in ("target", "dst") if mount.get(k)), "").rpartition("/")[2]
    if not id:
        raise fail(instruction.line, "a secret mount needs an id or a target")
    if mount.get("uid", "0") != "0" or mount.get("gid", "0") != "0":
        raise errors.NotImplemented(
            f"dockerfile parse error on line {instruction.line}: a secret of another user than 0 is not there yet",
            "give it mode=0444",
        )
    if id not in secrets:
        if mount.get("required", "false") in TRUE:
            raise InvalidArgument(f"secret {id[:80]}: not found")
        return
    if "env" in mount:
        env.append(f"{mount['env'] or id}={secrets[id].decode('utf-8', 'surrogateescape')}")
    if "env" not in mount or any(mount.get(key) for key in ("target", "dst", "destination")):
        target = _target(instruction, mount, directory, SECRETS + id)
        try:
            mode = int(mount.get("mode") or "0400", 8)
        except ValueError:
            raise fail(instruction.line, f"invalid mode {mount['mode'][:20]!r}") from None
        files.append(File(target, secrets[id], mode & 0o7777))
        targets.append(target)


def _hidden(targets: list[str]) -> frozenset[bytes]:
    """What is made to mount upon, with the folders above."""
    found: set[bytes] = set()
    for target in targets:
        parts = target.strip("/").encode("utf-8", "surrogateescape").split(b"/")
        found |= {b"/".join(parts[: number + 1]) for number in range(len(parts))}
    return frozenset(found)
