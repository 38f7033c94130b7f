"""What a verb is: its grammar, its help, and the function that does it.

A verb gets a `Call` and gives an exit status. The daemon is looked for (and started) when a verb first asks for the
client, so a wrong command line starts nothing.
"""

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from insula.cli.client import Client
from insula.cli.failure import Failure, UsageFailure
from insula.cli.flags import Flag, Options, describe

MANY_ARGUMENTS = 1 << 20


class Call:
    """One use of a verb. name: as typed (`run`, `container ls`); debug: `--debug` before the verb."""

    def __init__(
        self, name: str, options: Options, connect: Callable[[], Client], debug: bool = False
    ) -> None:
        self.name = name
        self.options = options
        self.connect = connect
        self.debug = debug
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """Raises Disconnected."""
        if self._client is None:
            self._client = self.connect()
        return self._client


class Verb(NamedTuple):
    """usage: its arguments as help shows them; least, most: how many; mixed: flags may follow arguments."""

    usage: str
    help: str
    run: Callable[[Call], int]
    flags: Sequence[Flag] = ()
    least: int = 0
    most: int = MANY_ARGUMENTS
    mixed: bool = True

    def check(self, name: str, options: Options) -> None:
        """Raises UsageFailure for too few or too many arguments."""
        number = len(options.arguments)
        if number < self.least:
            raise UsageFailure(f"'insula {name}' needs {self._wanted()}; usage: insula {name} {self.usage}")
        if number > self.most:
            raise UsageFailure(f"'insula {name}' takes {self._wanted()}; usage: insula {name} {self.usage}")

    def _wanted(self) -> str:
        bound = (
            "at least" if self.most == MANY_ARGUMENTS else "exactly" if self.least == self.most else "at most"
        )
        number = self.most if bound == "at most" else self.least
        return f"{bound} {number} argument{'' if number == 1 else 's'}" if number else "no arguments"

    def describe(self, name: str) -> str:
        parts = [f"Usage: insula {name} {self.usage}".rstrip(), "", self.help]
        if self.flags:
            parts += ["", "Options:", describe(self.flags)]
        return "\n".join(parts)


def each(names: Sequence[str], act: Callable[[str], None]) -> int:
    """Does it for every name; a failure is told and the next one tried. 1 if there was one."""
    status = 0
    for name in names:
        try:
            act(name)
        except Failure as failure:
            print(f"insula: {failure.message}", file=sys.stderr)
            status = 1
    return status
