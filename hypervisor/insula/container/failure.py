"""Why a program could not be started, in Docker's words and with Docker's exit codes.

Clients decide by the text: "executable file not found" and "no such file or directory" make the docker command
exit with 127, "permission denied" and "is a directory" with 126, anything else with 125.
"""

import errno
import json
import os
from dataclasses import dataclass

from insula.agent.reports import Step
from insula.agent.session import GuestFailure
from insula.container.spec_limits import RESOURCES
from insula.errors import InsulaError, InvalidArgument

NOT_FOUND, NOT_RUNNABLE, UNKNOWN = 127, 126, 128
WORDS = {
    errno.ENOENT: "no such file or directory",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.EISDIR: "is a directory",
    errno.ENOTDIR: "not a directory",
    errno.ENOEXEC: "exec format error",
    errno.E2BIG: "argument list too long",
}


@dataclass(frozen=True, slots=True)
class StartFailure:
    """What the container (or exec) then has as exit code and error, and what the client is told."""

    exit_code: int
    error: InsulaError


def explain(failure: InsulaError, arguments: tuple[str, ...], directory: str, user: str = "") -> StartFailure:
    """A failed start, as Docker would tell it. user: whom it was to run as."""
    if not isinstance(failure, GuestFailure):
        return StartFailure(UNKNOWN, failure)
    words = WORDS.get(failure.errno) or os.strerror(failure.errno).lower()
    if failure.step is Step.EXEC:
        return _exec_failure(failure, arguments[0], words)
    if failure.step is Step.USER and failure.errno == errno.ENOENT:
        kind, file = ("user", "passwd") if failure.detail == user.partition(":")[0] else ("group", "group")
        text = f"unable to find {kind} {failure.detail}: no matching entries in {file} file"
        return StartFailure(NOT_RUNNABLE, InvalidArgument(text))
    if failure.step is Step.SYSCTL:
        verb = "open" if failure.errno in (errno.ENOENT, errno.EACCES) else "write"
        return StartFailure(UNKNOWN, InvalidArgument(f"{verb} /proc/sys/{failure.detail}: {words}"))
    if failure.step is Step.LIMITS and failure.detail in RESOURCES:
        text = f"error setting rlimits for ready process: error setting rlimit {failure.detail}: {words}"
        return StartFailure(UNKNOWN, InvalidArgument(text))
    if failure.step is Step.DIRECTORY:
        path = json.dumps(failure.detail or directory)
        code = NOT_FOUND if failure.errno in (errno.ENOENT, errno.ENOTDIR) else NOT_RUNNABLE
        return StartFailure(code, InvalidArgument(f"OCI runtime: chdir to cwd ({path}): {words}"))
    return StartFailure(UNKNOWN, failure)


def _exec_failure(failure: GuestFailure, program: str, words: str) -> StartFailure:
    quoted = json.dumps(program)
    if failure.errno == errno.ENOENT and "/" not in program:
        words = "executable file not found in $PATH"
    what = f"exec: {quoted}: {words}" if "/" not in program else f"exec: {quoted}: stat {program}: {words}"
    if failure.errno not in (errno.ENOENT, errno.ENOTDIR):
        what = f"exec: {quoted}: {words}"
    code = NOT_FOUND if failure.errno in (errno.ENOENT, errno.ENOTDIR) else NOT_RUNNABLE
    return StartFailure(code, InvalidArgument(f"unable to start container process: {what}"))
