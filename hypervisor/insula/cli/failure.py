"""What the command line tells in one line, and the exit status that goes with it.

Failure                1: a verb that could not do what it should
├── UsageFailure       125: the command line itself is wrong
├── ApiFailure         1: the daemon's answer; `run` maps its text to 125, 126 or 127
└── Disconnected       1: no daemon, or it went away in the middle
"""

FAILED = 1
REFUSED = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127


class Failure(Exception):
    """Ends the command. message: one line for stderr."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class UsageFailure(Failure):
    """The command line is wrong."""

    def __init__(self, message: str) -> None:
        super().__init__(message, REFUSED)


class ApiFailure(Failure):
    """The daemon refused. code: its HTTP status."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Disconnected(Failure):
    """There is nobody at the other end."""


def start_status(message: str) -> int:
    """The exit status of a run whose container could not be created or started: by the text, as Docker does it."""
    if "executable file not found" in message or "no such file or directory" in message:
        return NOT_FOUND
    if "permission denied" in message or "is a directory" in message:
        return NOT_EXECUTABLE
    return REFUSED
