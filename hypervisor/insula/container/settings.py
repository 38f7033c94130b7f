"""What a container runs: the request and the image's config merged by Docker's rules. Pure.

A given entrypoint takes the image's command away; a given command replaces only the command; environment is
merged by name; labels likewise. The result is stored with the container, so the image's config is not needed
again.
"""

from dataclasses import dataclass, field
from typing import Any

from insula.container.health import HealthCheck, merge_checks
from insula.container.spec import ContainerSpec
from insula.errors import InvalidArgument
from insula.image.manifest import ImageConfig

HEALTHCHECK_NUMBERS = {
    "Interval": "interval", "Timeout": "timeout", "Retries": "retries", "StartPeriod": "start_period",
    "StartInterval": "start_interval",
}  # fmt: skip
NO_CHECK = "leave it out with --no-healthcheck"
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
    healthcheck: HealthCheck | None = None
    shell: tuple[str, ...] = ()
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
        env=_merge_config((f"PATH={PATH}",) if not _has(image.env, "PATH") else (), image.env, spec.env),
        working_dir=spec.working_dir or image.working_dir,
        user=spec.user or image.user,
        labels={**image.labels, **spec.labels},
        hostname=spec.hostname or id[:12],
        stop_signal=spec.stop_signal or image.stop_signal,
        healthcheck=_healthcheck(spec.healthcheck, image.healthcheck),
        shell=spec.shell or image.shell,
        exposed_ports=image.exposed_ports,
        volumes=image.volumes,
    )


def _healthcheck(asked: HealthCheck | None, image: dict[str, Any] | None) -> HealthCheck | None:
    """The image's is anybody's JSON. Raises InvalidArgument for one that could not be run, unless the request takes
    it away."""
    if image is None or (asked is not None and asked.is_off):
        return asked
    found = {}
    for theirs, name in HEALTHCHECK_NUMBERS.items():
        value = image.get(theirs)
        if value is not None:
            found[name] = value
            if not isinstance(value, int) or isinstance(value, bool):
                raise InvalidArgument(f"the image's health check has a {theirs} that is no number", NO_CHECK)
    test = image.get("Test") or []
    if not isinstance(test, list) or not all(isinstance(word, str) and "\0" not in word for word in test):
        raise InvalidArgument("the image's health check has a Test that is no list of words", NO_CHECK)
    try:
        return merge_checks(asked, HealthCheck(tuple(test), **found))
    except InvalidArgument as error:
        raise InvalidArgument(f"the image's health check cannot be run: {error.message}", NO_CHECK) from error


def _merge_config(*parts: tuple[str, ...]) -> tuple[str, ...]:
    """The same for what inspect shows: a name without `=` stays, and takes the name away at the start."""
    merged = {entry.partition("=")[0]: entry for part in parts for entry in part}
    return tuple(merged.values())


def merge_environment(*parts: tuple[str, ...]) -> tuple[str, ...]:
    """Later parts win by name; an entry without `=` takes the name away. The first place is kept."""
    merged: dict[str, str | None] = {}
    for entry in (entry for part in parts for entry in part):
        name, equals, _ = entry.partition("=")
        merged[name] = entry if equals else None
    return tuple(entry for entry in merged.values() if entry is not None)


def _has(env: tuple[str, ...], name: str) -> bool:
    return any(entry.partition("=")[0] == name for entry in env)
