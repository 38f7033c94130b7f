"""A container's health: what is checked, and how one more result changes it. Pure; times are Unix nanoseconds.

Docker's rules (moby daemon/health.go): a container begins as `starting`; a good result makes it healthy at once; a
bad one counts, except while it is still starting and within its start period; as many in a row as `retries` make it
unhealthy. While it starts, within the start period, probes come every `start_interval`, else every `interval`,
counted from the end of one to the start of the next. When the checks end, with the run or at a pause, what is left
standing is `unhealthy`. Refuses what Docker refuses, and a test that could never run.
"""

from dataclasses import dataclass, fields, replace
from enum import StrEnum

from insula.errors import InvalidArgument

SECOND = 1_000_000_000
MINIMUM = 1_000_000  # below it somebody took the unit for something else
DURATION_MAX = (1 << 63) - 1
LOG_MAX = 5
SHELL = ("/bin/sh", "-c")
DISABLED, DIRECT, BY_SHELL = "NONE", "CMD", "CMD-SHELL"


class HealthStatus(StrEnum):
    NONE = "none"  # there is no check
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """HealthConfig: of a request, of an image, or of both merged. test: as Docker has it, empty inherits; durations
    in nanoseconds; 0 is not given, and Docker's default where nobody gives it."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    retries: int = 0
    start_period: int = 0
    start_interval: int = 0

    def __post_init__(self) -> None:
        """Raises InvalidArgument."""
        for name in ("interval", "timeout", "start_period", "start_interval"):
            value = getattr(self, name)
            if value and not MINIMUM <= value <= DURATION_MAX:
                word = "".join(part.capitalize() for part in name.split("_"))
                raise InvalidArgument(f"{word} in Healthcheck cannot be less than 1ms")
        if self.retries < 0:
            raise InvalidArgument("Retries in Healthcheck cannot be negative")
        if self.test and self.test[0] not in (DISABLED, DIRECT, BY_SHELL):
            raise InvalidArgument(
                f"Unknown healthcheck type '{self.test[0][:80]}' (expected 'CMD')",
                "Test begins with NONE, CMD or CMD-SHELL",
            )
        if self.test in ((DIRECT,), (BY_SHELL,)) or self.test[:2] == (DIRECT, ""):
            raise InvalidArgument("healthcheck has no command", f"name it after {self.test[0]}")

    @property
    def is_on(self) -> bool:
        """Whether there is anything to run."""
        return bool(self.test) and self.test[0] != DISABLED

    @property
    def is_off(self) -> bool:
        """Whether it takes an image's check away."""
        return self.test[:1] == (DISABLED,)

    def command(self, shell: tuple[str, ...]) -> tuple[str, ...]:
        """What a probe runs. shell: the image's, or empty for Docker's default."""
        words = self.test[1:]
        return (*(shell or SHELL), *words) if self.test[0] == BY_SHELL else words

    # -- with Docker's defaults

    @property
    def timeout_ns(self) -> int:
        return self.timeout or 30 * SECOND

    @property
    def failures(self) -> int:
        """How many bad results in a row are unhealthy."""
        return self.retries or 3


def merge_checks(asked: HealthCheck | None, image: HealthCheck | None) -> HealthCheck | None:
    """The image's check, with whatever the request gives in its place."""
    if asked is None or image is None:
        return asked if image is None else image
    given = {f.name: getattr(asked, f.name) or getattr(image, f.name) for f in fields(HealthCheck)}
    return HealthCheck(**given)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One probe. exit_code: -1 if it could not be run, or was killed at its timeout."""

    start_ns: int
    end_ns: int
    exit_code: int
    output: str


@dataclass(frozen=True, slots=True)
class Health:
    """How a container with a check stands. log: the last results, oldest first, kept over restarts."""

    status: HealthStatus = HealthStatus.STARTING
    failing_streak: int = 0
    log: tuple[ProbeResult, ...] = ()


def begin(before: Health | None) -> Health:
    """At the start of a run."""
    return Health(log=before.log if before is not None else ())


def rest(health: Health) -> Health:
    """While nothing is checked."""
    return replace(health, status=HealthStatus.UNHEALTHY)


def after(health: Health, check: HealthCheck, result: ProbeResult, started_ns: int) -> Health:
    """With one more result. started_ns: when the run began."""
    log = (*health.log, result)[-LOG_MAX:]
    if result.exit_code == 0:
        return Health(HealthStatus.HEALTHY, 0, log)
    starting = health.status is HealthStatus.STARTING
    if starting and result.start_ns - started_ns < check.start_period:
        return replace(health, log=log)
    streak = health.failing_streak + 1
    return Health(HealthStatus.UNHEALTHY if streak >= check.failures else health.status, streak, log)


def interval(health: Health, check: HealthCheck, started_ns: int, now_ns: int) -> int:
    """Nanoseconds from the end of one probe (or the start of the checks) to the next."""
    if now_ns - started_ns < check.start_period and health.status is HealthStatus.STARTING:
        return check.start_interval or 5 * SECOND
    return check.interval or 30 * SECOND


def wait_adopted(health: Health, check: HealthCheck, started_ns: int, now_ns: int) -> int:
    """What is left of the interval for checks that an earlier daemon began: a daemon that is often restarted
    must not put them off for ever."""
    whole = interval(health, check, started_ns, now_ns)
    last_ns = max(health.log[-1].end_ns if health.log else 0, started_ns)
    return min(max(whole - (now_ns - last_ns), 0), whole)
