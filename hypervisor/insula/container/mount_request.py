"""What create asks to have mounted, one by one; checked where it is built, in Docker's words. Pure.

What cannot be true of a machine is refused with words: mounts that appear on the host later do not appear in it, and
none of its own appear on the host, so of the kinds of propagation there are only the private ones.
"""

from dataclasses import dataclass, field

from insula.container.tmpfs import check_target, normal_path, parse_tmpfs
from insula.errors import InvalidArgument, NotImplemented
from insula.volume.volume import VolumeSpec, check_name

PATH_MAX = 4095
MOUNTS_MAX = 60
"""One fewer than a machine's places for each kind (machine/shares.py), and some to spare."""
PRIVATE = ("", "private", "rprivate")
PROPAGATIONS = (*PRIVATE, "shared", "rshared", "slave", "rslave")


@dataclass(frozen=True, slots=True)
class MountRequest:
    """One mount as asked for. kind: 'bind', 'volume', 'tmpfs'; source: a path of the host, or a volume's name (empty:
    an anonymous one); options: a tmpfs's, as `--tmpfs` has them; plain: it was given as `-v` gives it, so a missing
    folder of the host is made; mode: what `-v` had behind the target; recursive: with what is mounted below the
    source; deep_read_only: what is mounted below is read-only too; subpath: below the volume; no_copy: a new
    volume does not get the image's files; driver, driver_options, labels: of a volume that is made."""

    kind: str
    source: str
    target: str
    read_only: bool = False
    options: str = ""
    plain: bool = False
    mode: str = ""
    propagation: str = ""
    recursive: bool = True
    deep_read_only: bool = True
    subpath: str = ""
    no_copy: bool = False
    driver: str = ""
    driver_options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises InvalidArgument, NotFound (driver), NotImplemented."""
        for text in (self.source, self.target, self.subpath):
            if "\0" in text or len(text.encode(errors="replace")) > PATH_MAX:
                raise InvalidArgument(f"invalid mount config: {text[:80]!r} is no path")
        if self.kind not in ("bind", "volume", "tmpfs"):
            raise NotImplemented(  # noqa: F901 - our error, not Python's constant
                f"{self.kind} mounts are not there yet ({self.target[:200]})", "use bind, volume or tmpfs"
            )
        check_target(self.target)
        if self.kind == "tmpfs":
            parse_tmpfs(self.target, self.options)
        elif self.kind == "bind":
            self._check_bind()
        else:
            self._check_volume()

    @property
    def path(self) -> str:
        """The target, without `..` and doubled slashes."""
        return normal_path(self.target)

    def _check_bind(self) -> None:
        if not self.source.startswith("/"):
            raise InvalidArgument(
                f"invalid mount config for type \"bind\": invalid mount path: '{self.source[:200]}' mount path "
                "must be absolute"
            )
        if self.propagation not in PROPAGATIONS:
            raise InvalidArgument(f"invalid propagation mode: {self.propagation[:80]}")
        if self.propagation not in PRIVATE:
            raise InvalidArgument(
                f"bind propagation {self.propagation} cannot be had: a machine's mounts are not the host's",
                "use rprivate, which is the default",
            )

    def _check_volume(self) -> None:
        if self.source:
            check_name(self.source)
        if self.propagation:
            raise InvalidArgument("invalid mount config: propagation is for bind mounts")
        parts = self.subpath.split("/")
        if self.subpath.startswith("/") or ".." in parts:
            raise InvalidArgument(
                'invalid mount config for type "volume": subpath must be a relative path within the volume'
            )
        VolumeSpec(self.source, self.driver, self.driver_options, self.labels)


@dataclass(frozen=True, slots=True)
class VolumesFrom:
    """`--volumes-from`: a container, and whether all is read-only (None: as it has them)."""

    container: str
    read_only: bool | None = None


def parse_volumes_from(text: str) -> VolumesFrom:
    """`container[:ro|rw|z…]`. Raises InvalidArgument."""
    name, colon, mode = text.partition(":")
    if not name:
        raise InvalidArgument(f"invalid volumes-from specification: '{text[:200]}'")
    words = mode.split(",") if colon else []
    for word in words:
        if word not in ("ro", "rw", "z", "Z"):
            raise InvalidArgument(f"invalid mode: {mode[:80]}")
    return VolumesFrom(name, True if "ro" in words else None)


def check_mounts(
    mounts: tuple[MountRequest, ...],
    tmpfs: dict[str, str],
    volumes: tuple[str, ...],
    from_: tuple[VolumesFrom, ...],
) -> None:
    """What they are together. Raises InvalidArgument."""
    if len(mounts) + len(volumes) + len(tmpfs) > MOUNTS_MAX or len(from_) > MOUNTS_MAX:
        raise InvalidArgument(f"a container has {MOUNTS_MAX} mounts at most")
    for target in (*tmpfs, *volumes):
        check_target(target)
    for target, options in tmpfs.items():
        parse_tmpfs(target, options)
    seen = set()
    for target in (*tmpfs, *(mount.target for mount in mounts)):
        if normal_path(target) in seen:
            raise InvalidArgument(f"Duplicate mount point: {target[:200]}")
        seen.add(normal_path(target))
