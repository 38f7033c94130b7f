"""run, create, start, attach, wait: a container's life as its user sees it.

The order is the fast one: create, attach, wait (its head read, so the daemon is waiting), start. The exit status is
the container's own; 125, 126 and 127 tell why there was none.
"""

import os
import sys
from contextlib import suppress
from typing import Any

from insula.cli.attached import Front, console_size
from insula.cli.client import Answer, Client, Connection, path
from insula.cli.create import make_document, query
from insula.cli.create_flags import CREATE_FLAGS, RUN_FLAGS
from insula.cli.failure import FAILED, REFUSED, ApiFailure, Disconnected, Failure, UsageFailure, start_status
from insula.cli.flags import BOOL, TEXT, Flag
from insula.cli.patience import wait_readable
from insula.cli.terminal import require_terminal
from insula.cli.verb import Call, Verb, each

CREATING = "creating the container"
NO_IMAGE = ("No such image", "image ")  # none of that name, or none for the platform
STARTING = "starting the container's machine"
REMOVAL_SECONDS = 5
DETACHED = "read escape sequence"


# -- run


def run(call: Call) -> int:
    """As `docker run`: every failure of the daemon's is told and becomes 125, 126 or 127."""
    options = call.options
    detach = options.flag("detach")
    document = make_document(options, detach)
    if not detach and document["AttachStdin"] and document["Tty"]:
        require_terminal()
    try:
        container = create_container(call, document)
        if detach:
            call.client.call("POST", path("containers", container, "start"), notice=STARTING)
            print(container)
            return 0
        return run_attached(call, container, document)
    except (ApiFailure, Disconnected) as failure:
        raise Failure(failure.message, start_status(failure.message)) from failure


def create_container(call: Call, document: dict[str, Any]) -> str:
    """Its id. Raises ApiFailure."""
    options = call.options
    where = query(options)
    if size := console_size(document["Tty"]):
        document["HostConfig"]["ConsoleSize"] = size
    file = open_id_file(options.text("cidfile"))
    try:
        if options.text("pull") == "always":
            pull_first(call, document["Image"])
        made = request_container(call, where, document)
    except BaseException:
        if file is not None:
            os.close(file)
            os.unlink(options.text("cidfile"))
        raise
    for warning in made.get("Warnings") or ():
        print(f"WARNING: {warning}", file=sys.stderr)
    if file is not None:
        os.write(file, str(made["Id"]).encode())
        os.close(file)
    return str(made["Id"])


def request_container(call: Call, where: dict[str, Any], document: dict[str, Any]) -> Any:
    """The daemon's answer; an image that it has not is fetched first, unless `--pull never`."""
    ask = ("POST", "/containers/create", where, document, CREATING)
    try:
        return call.client.call(*ask)
    except ApiFailure as failure:
        missing = failure.code == 404 and failure.message.startswith(NO_IMAGE)
        if not missing or call.options.text("pull", "missing") != "missing":
            raise
    pull_first(call, document["Image"], missing=True)
    return call.client.call(*ask)


def pull_first(call: Call, image: str, missing: bool = False) -> None:
    """Shown on stderr: stdout is the container's. Raises ApiFailure."""
    from insula.cli.registry import PullRequest, parse_name, pull_image

    if missing and not call.options.flag("quiet"):
        shown = image if parse_name(image).tag else f"{image}:latest"
        print(f"Unable to find image '{shown}' locally", file=sys.stderr)
    platforms = [call.options.text("platform")] if call.options.given("platform") else []
    wanted = PullRequest(parse_name(image), platforms)
    pull_image(call.client, wanted, sys.stderr, quiet=call.options.flag("quiet"))


def open_id_file(name: str) -> int | None:
    """Before the container is made: one that is there belongs to another container. Raises UsageFailure."""
    if not name:
        return None
    try:
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError as error:
        raise UsageFailure(f"container ID file found: remove {name} first, or name another") from error
    except OSError as error:
        raise UsageFailure(f"cannot write {name}: {error.strerror}") from error


def run_attached(call: Call, container: str, document: dict[str, Any]) -> int:
    """From the attach to the exit status."""
    options, client = call.options, call.client
    tty = document["Tty"]
    what = path("containers", container)
    stdin = document["AttachStdin"] and document["OpenStdin"]
    keys = options.text("detach-keys")
    front = Front(client, what, tty, stdin, keys, options.flag("sig-proxy", True))
    connection = client.hijack(
        f"{what}/attach",
        {"stdin": stdin, "stdout": document["AttachStdout"], "stderr": document["AttachStderr"],
         "stream": True, "detachKeys": keys or None},
    )  # fmt: skip
    removes = document["HostConfig"].get("AutoRemove", False)
    waiting = client.open("POST", f"{what}/wait", {"condition": "removed" if removes else "next-exit"})
    try:
        client.call("POST", f"{what}/start", notice=STARTING)
    except ApiFailure:
        if removes:
            await_removal(waiting)
        raise
    except KeyboardInterrupt:
        if removes:
            abandon(client, what)
        raise
    return show(front, connection, waiting) or 0


def show(front: Front, connection: Connection, waiting: Answer) -> int | None:
    """Until the end of the output and the exit; None if the user detaches before."""
    with front.signals() as signals:
        if front.run(connection, signals):
            return None
    return exit_status(waiting)


def detached() -> int:
    """What attach and exec end with after the keys, as Docker's do; run and start end in silence with 0."""
    print(DETACHED, file=sys.stderr)
    return FAILED


def abandon(client: Client, what: str) -> None:
    """Nobody will look at a `--rm` container whose start was interrupted."""
    with suppress(Failure):
        client.again().open("DELETE", what, {"force": True}).limit(REMOVAL_SECONDS)


def await_removal(waiting: Answer) -> None:
    """After a failed start of a `--rm` container its name is free again, or nearly so."""
    waiting.limit(REMOVAL_SECONDS)
    with suppress(Failure):
        waiting.read()


def exit_status(waiting: Answer) -> int:
    """Of the container that was waited for."""
    try:
        found = next(waiting.objects(), None)
    except Disconnected as error:
        raise Failure("the daemon went away; the container goes on", REFUSED) from error
    if found is None:
        raise Failure("the daemon ended the wait without an exit status", REFUSED)
    if problem := (found.get("Error") or {}).get("Message"):
        raise Failure(str(problem), REFUSED)
    return int(found["StatusCode"]) & 0xFF


def create(call: Call) -> int:
    print(create_container(call, make_document(call.options, detach=False)))
    return 0


# -- start, attach, wait


def start(call: Call) -> int:
    options = call.options
    if not (options.flag("attach") or options.flag("interactive")):

        def begin(name: str) -> None:
            call.client.call("POST", path("containers", name, "start"), notice=STARTING)
            print(name)

        return each(options.arguments, begin)
    if len(options.arguments) > 1:
        raise UsageFailure("only one container can be started and attached at a time")
    found = call.client.call("GET", path("containers", options.arguments[0], "json"))
    return show_container(call, found, begin=True, stdin=options.flag("interactive")) or 0


def attach(call: Call) -> int:
    found = call.client.call("GET", path("containers", call.options.arguments[0], "json"))
    if not found["State"]["Running"]:
        raise Failure("cannot attach to a stopped container, start it first")
    status = show_container(call, found, begin=False, stdin=not call.options.flag("no-stdin"))
    return detached() if status is None else status


def show_container(call: Call, found: dict[str, Any], begin: bool, stdin: bool) -> int | None:
    """Attaches to a container that exists, and starts it if it has to begin. Its exit status; None after the
    detach keys."""
    config, client, options = found["Config"], call.client, call.options
    tty, stdin = bool(config["Tty"]), stdin and bool(config["OpenStdin"])
    if tty and stdin:
        require_terminal()
    what, keys = path("containers", found["Id"]), options.text("detach-keys")
    removes = begin and bool(found["HostConfig"].get("AutoRemove"))
    front = Front(client, what, tty, stdin, keys, options.flag("sig-proxy", True))
    condition = "removed" if removes else "next-exit" if begin else "not-running"
    connection = client.hijack(
        f"{what}/attach",
        {"stdin": stdin, "stdout": True, "stderr": True, "stream": True, "detachKeys": keys or None},
    )
    waiting = client.open("POST", f"{what}/wait", {"condition": condition})
    if begin:
        client.call("POST", f"{what}/start", notice=STARTING)
    return show(front, connection, waiting)


def wait(call: Call) -> int:
    def await_exit(name: str) -> None:
        answer = call.client.open("POST", path("containers", name, "wait"))
        wait_readable(answer.end, f"waiting for {name}")
        found = next(answer.objects(), None)
        if found is None:
            raise Failure("the daemon ended the wait without an exit status")
        print(found["StatusCode"], flush=True)

    return each(call.options.arguments, await_exit)


KEYS = Flag("detach-keys", "", TEXT, "Keys that leave the container running (ctrl-p,ctrl-q)")
PROXY = Flag("sig-proxy", "", BOOL, "Pass signals on to the container (default true)")
VERBS = {
    "run": Verb("[OPTIONS] IMAGE [COMMAND] [ARG...]", "Create and start a container from an image",
                run, RUN_FLAGS, least=1, mixed=False),
    "create": Verb("[OPTIONS] IMAGE [COMMAND] [ARG...]", "Create a container",
                   create, CREATE_FLAGS, least=1, mixed=False),
    "start": Verb("[OPTIONS] CONTAINER [CONTAINER...]", "Start stopped containers", start,
                  (Flag("attach", "a", BOOL, "Attach to its output and pass signals on"),
                   Flag("interactive", "i", BOOL, "Attach to its input as well"), KEYS, PROXY), least=1),
    "attach": Verb("[OPTIONS] CONTAINER", "Attach to a running container", attach,
                   (KEYS, PROXY, Flag("no-stdin", "", BOOL, "Leave its input alone")), least=1, most=1),
    "wait": Verb("CONTAINER [CONTAINER...]", "Wait until containers have exited, and print their exit codes",
                 wait, least=1),
}  # fmt: skip
