"""exec: a further program in a running container. Its exit status is the program's own."""

from typing import Any

from insula.cli.attached import Front, console_size
from insula.cli.client import path
from insula.cli.create import environment
from insula.cli.flags import BOOL, MANY, TEXT, Flag
from insula.cli.run import detached
from insula.cli.terminal import require_terminal
from insula.cli.verb import Call, Verb

STARTING = "starting the program"


def make_document(call: Call) -> dict[str, Any]:
    """The body of `POST /containers/…/exec`. Raises UsageFailure."""
    options = call.options
    detach = options.flag("detach")
    document: dict[str, Any] = {
        "Cmd": options.arguments[1:],
        "Env": environment(options),
        "Tty": options.flag("tty"),
        "AttachStdin": options.flag("interactive") and not detach,
        "AttachStdout": not detach,
        "AttachStderr": not detach,
        "Privileged": options.flag("privileged"),
        "User": options.text("user"),
        "WorkingDir": options.text("workdir"),
    }
    if options.given("detach-keys"):
        document["DetachKeys"] = options.text("detach-keys")
    return document


def exec_(call: Call) -> int:
    document = make_document(call)
    tty, stdin = document["Tty"], document["AttachStdin"]
    if tty and stdin:
        require_terminal()
    size = console_size(tty)
    if size and stdin:
        document["ConsoleSize"] = size
    client = call.client
    made = client.call("POST", path("containers", call.options.arguments[0], "exec"), body=document)
    what = path("exec", made["Id"])
    if call.options.flag("detach"):
        client.call("POST", f"{what}/start", body={"Detach": True, "Tty": tty})
        return 0
    begin: dict[str, Any] = {"Detach": False, "Tty": tty}
    if size:
        begin["ConsoleSize"] = size
    front = Front(client, what, tty, stdin, call.options.text("detach-keys"))
    connection = client.hijack(f"{what}/start", body=begin)
    with front.signals() as signals:
        if front.run(connection, signals):
            return detached()
    return int(client.call("GET", f"{what}/json")["ExitCode"] or 0) & 0xFF


VERBS = {
    "exec": Verb("[OPTIONS] CONTAINER COMMAND [ARG...]", "Run a program in a running container", exec_, (
        Flag("detach", "d", BOOL, "Run it in the background"),
        Flag("detach-keys", "", TEXT, "Keys that leave the program running (ctrl-p,ctrl-q)"),
        Flag("env", "e", MANY, "Set an environment variable"),
        Flag("env-file", "", MANY, "Read environment variables from a file"),
        Flag("interactive", "i", BOOL, "Keep stdin open"),
        Flag("privileged", "", BOOL, "All capabilities, inside the guest"),
        Flag("tty", "t", BOOL, "Give it a terminal"),
        Flag("user", "u", TEXT, "User (name or id, [:group])"),
        Flag("workdir", "w", TEXT, "Working directory"),
    ), least=2, mixed=False),
}  # fmt: skip
