"""What a RUN runs: the command in its three forms, the environment, the mounts. Pure.

Of mounts there are tmpfs, cache, secret, bind and ssh. Refused by name are the others, the host's network, devices
and whatever would lower a wall.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from insula import errors
from insula.agent.boot_document import SOCKETS_MAX, File, Mount, MountKind, socket_mount
from insula.build.dockerfile import flags_of
from insula.build.metadata import SHELL
from insula.build.parser import Instruction, fail, heredoc_names, split_words
from insula.container.tmpfs import check_target, normal_path, parse_tmpfs
from insula.errors import InvalidArgument

SCRIPT = "/.insula-heredoc"
FILLED = "/proc"
"""Where the machine writes what a mount is to show, while nothing runs in it: every step has this folder anyway."""
SECRETS = "/run/secrets/"
AGENTS = "/run/buildkit/ssh_agent."
"""Where an ssh agent's socket is, with its number, if nothing else is said."""
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
    "bind": {
        "type",
        "target",
        "dst",
        "destination",
        "source",
        "src",
        "from",
        "rw",
        "readwrite",
        "ro",
        "readonly",
    },
    "secret": {"type", "id", "target", "dst", "destination", "required", "mode", "uid", "gid", "env"},
    "ssh": {"type", "id", "target", "dst", "destination", "required", "mode", "uid", "gid"},
}
TRUE = ("", "true", "1")


@dataclass(frozen=True, slots=True)
class CacheMount:
    """A folder that is kept between builds. sharing: `locked` is for one step at a time, `private` gives steps at the
    same time folders of their own; mode, uid, gid: of the folder when it is made; from_, source: a stage or an image,
    and the folder of it whose files are in the cache at first."""

    id: str
    target: str
    read_only: bool = False
    sharing: str = "shared"
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    from_: str = ""
    source: str = "/"

    @property
    def is_plain(self) -> bool:
        """Whether its folder is made as any volume's is."""
        return (self.mode, self.uid, self.gid) == (0o755, 0, 0)


@dataclass(frozen=True, slots=True)
class BindMount:
    """Files for one step. source: a path in the context, or in what from_ names (a stage or an image); writable: what
    is written is thrown away."""

    target: str
    source: str
    from_: str = ""
    writable: bool = False


@dataclass(frozen=True, slots=True)
class SshMount:
    """An ssh agent's socket. source: its path on the host; mount: as the guest has it."""

    source: str
    mount: Mount


@dataclass(frozen=True, slots=True)
class Given:
    """What a build was given for its steps, by id. secrets: their content; agents: paths of ssh agents' sockets."""

    secrets: Mapping[str, bytes]
    agents: Mapping[str, str]


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
    binds: tuple[BindMount, ...] = ()
    agents: tuple[SshMount, ...] = ()
    hidden: frozenset[bytes] = frozenset()


def plan_run(instruction: Instruction, shell: tuple[str, ...], given: Given, directory: str) -> Running:
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
    binds: list[BindMount] = []
    agents: list[SshMount] = []
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
            targets += [caches[-1].target, FILLED]
        elif mount["type"] == "bind":
            binds.append(_bind(instruction, mount, directory))
            targets += [FILLED, binds[-1].target]
        elif mount["type"] == "ssh":
            agents += _ssh(instruction, mount, given.agents, directory, len(agents))
        else:
            _take_secret(instruction, mount, given.secrets, directory, (files, env, targets))
    if agents:
        targets += [agent.mount.target for agent in agents]
        env.append(f"SSH_AUTH_SOCK={agents[0].mount.target}")
    return Running(
        command, " ".join(command), offline, tuple(env), tuple(mounts), tuple(files), tuple(caches), tuple(binds),
        tuple(agents), _hidden(targets),
    )  # fmt: skip


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
    """Its keys and values. Raises InvalidArgument."""
    found: dict[str, str] = {}
    for item in text.split(","):
        key, equals, value = item.partition("=")
        found[key.strip().lower()] = value if equals else ""
    kind = found.setdefault("type", "bind")
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


def _bind(instruction: Instruction, mount: Mapping[str, str], directory: str) -> BindMount:
    target = _target(instruction, mount, directory)
    source = next((mount[key] for key in ("source", "src") if mount.get(key)), ".")
    asked = [key for key in ("rw", "readwrite") if key in mount and mount[key] in TRUE]
    asked += [key for key in ("ro", "readonly") if mount.get(key) == "false"]
    return BindMount(target, source, mount.get("from", ""), bool(asked))


def _cache(instruction: Instruction, mount: Mapping[str, str], directory: str) -> CacheMount:
    """Raises InvalidArgument."""
    sharing = mount.get("sharing") or "shared"
    if sharing not in ("shared", "locked", "private"):
        raise fail(instruction.line, f"unsupported sharing value {sharing[:40]!r}")
    from_, source = mount.get("from", ""), mount.get("source") or "/"
    if source != "/" and not from_:
        raise fail(instruction.line, "a cache mount with a source needs from: a stage or an image")
    target = _target(instruction, mount, directory)
    read_only = any(key in mount and mount[key] in TRUE for key in ("readonly", "ro"))
    mode = _number(instruction, mount, "mode", 8) if mount.get("mode") else 0o755
    uid, gid = (_number(instruction, mount, key, 10) if mount.get(key) else 0 for key in ("uid", "gid"))
    id = mount.get("id") or target
    return CacheMount(id, target, read_only, sharing, mode & 0o7777, uid, gid, from_, source)


def _number(instruction: Instruction, mount: Mapping[str, str], key: str, base: int) -> int:
    """Raises InvalidArgument."""
    text = mount[key]
    if not (
        text.isascii() and text.isdigit() and len(text) <= 9 and (base == 10 or not set(text) & set("89"))
    ):
        raise fail(instruction.line, f"invalid value for {key}: {text[:20]!r}")
    return int(text, base)


def _ssh(
    instruction: Instruction, mount: Mapping[str, str], agents: Mapping[str, str], directory: str, number: int
) -> list[SshMount]:
    """The mount, or none if the build was not given that agent and the step can do without it. Raises
    InvalidArgument."""
    id = mount.get("id") or "default"
    if id not in agents:
        if mount.get("required", "false") in TRUE:
            raise fail(instruction.line, f"no SSH key {id[:80]!r} forwarded from the client")
        return []
    if number == SOCKETS_MAX:
        raise fail(instruction.line, f"a step has {SOCKETS_MAX} mounts of type ssh at most")
    target = _target(instruction, mount, directory, f"{AGENTS}{number}")
    mode = _number(instruction, mount, "mode", 8) if mount.get("mode") else 0o600
    uid, gid = (_number(instruction, mount, key, 10) if mount.get(key) else 0 for key in ("uid", "gid"))
    return [SshMount(agents[id], socket_mount(target, mode, uid, gid))]


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
        mode = _number(instruction, mount, "mode", 8) if mount.get("mode") else 0o400
        files.append(File(target, secrets[id], mode & 0o7777))
        targets.append(target)


def _hidden(targets: list[str]) -> frozenset[bytes]:
    """What is made to mount upon, with the folders above."""
    found: set[bytes] = set()
    for target in targets:
        parts = target.strip("/").encode("utf-8", "surrogateescape").split(b"/")
        found |= {b"/".join(parts[: number + 1]) for number in range(len(parts))}
    return frozenset(found)
