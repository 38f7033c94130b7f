"""What a container runs: the request and the image's config merged by Docker's rules. Pure.

A given entrypoint takes the image's command away; a given command replaces only the command; environment is
merged by name; labels likewise. The result is stored with the container, so the image's config is not needed
again.
"""

from dataclasses import dataclass, field

from insula.container.spec import ContainerSpec
from insula.errors import InvalidArgument
from insula.image.manifest import ImageConfig

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The merged Config of inspect."""

    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    hostname: str = ""
    stop_signal: str = ""
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command line of the main process."""
        return (*(self.entrypoint or ()), *(self.cmd or ()))


def merge_settings(spec: ContainerSpec, image: ImageConfig, id: str) -> Settings:
    """Raises InvalidArgument if there is nothing to run."""
    entrypoint = spec.entrypoint if spec.entrypoint is not None else (image.entrypoint or None)
    if entrypoint == ("",):  # `--entrypoint ""` takes the image's away
        entrypoint = None
    inherited = spec.entrypoint is None and not spec.cmd
    cmd = (image.cmd or None) if inherited else (spec.cmd or None)
    if not (entrypoint or cmd):
        raise InvalidArgument("no command specified", "name the program to run after the image")
    return Settings(
        entrypoint=entrypoint,
        cmd=cmd,
        env=merge_environment((f"PATH={PATH}",) if not _has(image.env, "PATH") else (), image.env, spec.env),
        working_dir=spec.working_dir or image.working_dir,
        user=spec.user or image.user,
        labels={**image.labels, **spec.labels},
        hostname=spec.hostname or id[:12],
        stop_signal=spec.stop_signal or image.stop_signal,
        exposed_ports=image.exposed_ports,
        volumes=image.volumes,
    )


def merge_environment(*parts: tuple[str, ...]) -> tuple[str, ...]:
    """Later parts win by name; an entry without `=` takes the name away. The first place is kept."""
    merged: dict[str, str | None] = {}
    for entry in (entry for part in parts for entry in part):
        name, equals, _ = entry.partition("=")
        merged[name] = entry if equals else None
    return tuple(entry for entry in merged.values() if entry is not None)


def _has(env: tuple[str, ...], name: str) -> bool:
    return any(entry.partition("=")[0] == name for entry in env)
