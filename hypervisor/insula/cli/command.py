"""The command line: options before the verb, the verb, and one exit status for whatever happened.

    insula [-H unix://PATH | tcp://HOST:PORT] [--debug] VERB …

A failure is one line on stderr. Ctrl-C ends with 130, a closed pipe quietly. DOCKER_HOST is not looked at: this
command speaks to its own daemon, unless -H says otherwise.
"""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING

from insula.cli.client import Client
from insula.cli.daemon_find import open_client
from insula.cli.failure import FAILED, Failure, UsageFailure
from insula.cli.flags import BOOL, TEXT, Flag, Options, describe, parse
from insula.cli.verb import Call
from insula.cli.verbs import describe_all, find_verb
from insula.run_folder import find_run_folder

if TYPE_CHECKING:
    from insula.paths import Paths

GLOBAL_FLAGS = (
    Flag("debug", "D", BOOL, "Show where a failure comes from"),
    Flag("help", "", BOOL, "Show this"),
    Flag("host", "H", TEXT, "Another daemon's address (unix:///path, tcp://host:port)"),
    Flag("version", "v", BOOL, "Show the version"),
)
HELP = Flag("help", "", BOOL, "Show this")
INTERRUPTED = 130
BROKEN_PIPE = 141


def main(argv: Sequence[str]) -> int:
    """The exit status."""
    debug = False
    fill_descriptors()
    try:
        options = parse(GLOBAL_FLAGS, argv, mixed=False)
        debug = options.flag("debug")
        status = dispatch(options)
        sys.stdout and sys.stdout.flush()
        return status
    except Failure as failure:
        if debug:
            raise
        if failure.message:
            print(f"insula: {failure.message}", file=sys.stderr)
        return failure.status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        discard_stdout()
        return BROKEN_PIPE
    except OSError as error:
        if debug:
            raise
        print(f"insula: {error}", file=sys.stderr)
        return FAILED


def fill_descriptors() -> None:
    """A closed stdin, stdout or stderr is /dev/null: else the next socket would take its number."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def discard_stdout() -> None:
    """Nobody reads it: what is left must not fail at the interpreter's end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), 1)


def dispatch(options: Options) -> int:
    """Raises Failure."""
    words = options.arguments
    if options.flag("version"):
        from insula.cli.system import VERSION

        print(f"Insula version {VERSION}")
        return 0
    if not words or options.flag("help") or words[0] == "help":
        print(
            f"Usage: insula [OPTIONS] VERB\n\nContainers, each in a machine of its own.\n\nVerbs:\n{describe_all()}"
        )
        print(f"\nOptions:\n{describe(GLOBAL_FLAGS)}")
        return 0
    name, verb, rest = find_verb(words)
    found = parse((*verb.flags, HELP), rest, verb.mixed)
    if found.flag("help"):
        print(verb.describe(name))
        return 0
    verb.check(name, found)
    return verb.run(Call(name, found, lambda: connect(options.text("host")), options.flag("debug")))


def connect(host: str) -> Client:
    """The daemon at an address, or this user's own. Raises Failure."""
    if host:
        return Client(parse_host(host))
    return open_client(find_run_folder(), find_paths)


def find_paths() -> "Paths":
    """Imported only where a daemon has to be started."""
    from insula import paths

    return paths.find_paths()


def parse_host(text: str) -> str | tuple[str, int]:
    """Raises UsageFailure."""
    scheme, colon, rest = text.partition("://")
    if not colon and text.startswith("/"):
        return text
    if scheme == "unix" and rest:
        return rest
    host, _, port = rest.rstrip("/").rpartition(":")
    if scheme == "tcp" and host and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536:
        return host.strip("[]"), int(port)
    raise UsageFailure(f"invalid address {text[:80]!r} for --host: unix:///path or tcp://host:port")
