"""When a container that has ended is started again, and how long it rests before. Pure: decides, waits for nothing.

Docker's rules (moby's restart manager): `always` whatever happened, `unless-stopped` the same unless the user ended
it, `on-failure` after a status other than 0, as often as it may. The rest begins at a tenth of a second, doubles up
to a minute, and begins anew after a run of ten seconds.
"""

from dataclasses import dataclass

from insula.errors import InvalidArgument

NO, ALWAYS, ON_FAILURE, UNLESS_STOPPED = "no", "always", "on-failure", "unless-stopped"
REST_FIRST = 0.1
REST_LONGEST = 60.0
STEADY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """max_retries: of on-failure only, 0 is any number."""

    name: str = NO
    max_retries: int = 0

    def __post_init__(self) -> None:
        """Raises InvalidArgument, in Docker's words."""
        if self.name not in (NO, ALWAYS, ON_FAILURE, UNLESS_STOPPED):
            raise InvalidArgument(
                f"invalid restart policy: unknown policy '{self.name[:80]}'; use one of "
                f"'{NO}', '{ALWAYS}', '{ON_FAILURE}', or '{UNLESS_STOPPED}'"
            )
        if self.name == ON_FAILURE and self.max_retries < 0:
            raise InvalidArgument("invalid restart policy: maximum retry count cannot be negative")
        if self.name != ON_FAILURE and self.max_retries != 0:
            also = " and cannot be negative" if self.max_retries < 0 else ""
            raise InvalidArgument(
                f"invalid restart policy: maximum retry count can only be used with 'on-failure'{also}"
            )


def restarts(policy: RestartPolicy, exit_code: int, count: int, *, stopped: bool) -> bool:
    """Whether a container that has ended so is started again. count: how often the policy has done so since the user
    started it; stopped: the user has sent it a signal meanwhile."""
    if policy.name == ON_FAILURE:
        return exit_code != 0 and (policy.max_retries == 0 or count < policy.max_retries)
    return policy.name == ALWAYS or (policy.name == UNLESS_STOPPED and not stopped)


def starts_with_daemon(policy: RestartPolicy, *, stopped: bool) -> bool:
    """Whether a container that has run before and does not run now is started when a daemon starts."""
    return policy.name == ALWAYS or (policy.name == UNLESS_STOPPED and not stopped)


def next_rest(last: float, ran: float) -> float:
    """Seconds to rest before the next start, after a run of so many seconds. last: the rest before that run, 0 if
    there was none."""
    if last == 0 or ran >= STEADY_SECONDS:
        return REST_FIRST
    return min(last * 2, REST_LONGEST)
