"""The eight kinds of failure that Insula knows, and nothing else.

    InsulaError
    ├── InvalidArgument    the request itself is wrong
    ├── NotFound           what it names does not exist
    ├── Conflict           it exists, but in a state that forbids this
    ├── NotModified        it is so already
    ├── Forbidden          it may not be done, by rule
    ├── Unavailable        something outside is missing: a tool, a device, space, a peer
    ├── NotImplemented     Docker has it, Insula does not, and says so
    └── Internal           a defect of ours, or of a guest

The text says what failed and on what; `hint` says what to do. Foreign exceptions are wrapped once, at the
edge that called out, with `from`. The API maps kind to status in one table (api/server.py).
"""


class InsulaError(Exception):
    """Base of all failures shown to a user.

    message: one line, what failed and on what. hint: one line, what to do, or empty. detail: what else it can be
    judged by, for a file and not for a line: commands, a console.
    """

    def __init__(self, message: str, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidArgument(InsulaError):
    """The request itself is wrong."""


class NotFound(InsulaError):
    """What the request names does not exist."""


class Conflict(InsulaError):
    """The thing exists, but is in a state that forbids this."""


class NotModified(InsulaError):
    """The thing already is as asked."""


class Forbidden(InsulaError):
    """A rule forbids it."""


class Unavailable(InsulaError):
    """Something outside Insula is missing: a tool, a device, disk space, a peer."""


class NotImplemented(InsulaError):
    """Docker has it and Insula does not."""


class Internal(InsulaError):
    """A defect of Insula's own, or a guest that broke the protocol."""
