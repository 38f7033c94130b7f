"""`insula …` and `python -m insula …`: the daemon's program for the verb `daemon`, the command line for the rest.

Each is imported only when it is used: the command line starts in some tens of milliseconds, the daemon does not.
"""

import sys


def main() -> int:
    """The exit status."""
    words = sys.argv[1:]
    if words[:1] == ["daemon"]:
        from insula.daemon import main as run_daemon

        return run_daemon(words[1:])
    from insula.cli.command import main as run_command

    return run_command(words)


if __name__ == "__main__":
    sys.exit(main())
