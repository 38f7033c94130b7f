"""stop, restart, kill, pause, unpause, update, rm, rename: what ends or changes containers that are there."""

import sys

from insula.cli.client import Query, path
from insula.cli.create_flags import CREATE_FLAGS
from insula.cli.failure import ApiFailure
from insula.cli.flags import BOOL, NUMBER, TEXT, Flag
from insula.cli.verb import Call, Verb, each

NOT_FOUND = 404


def ask_each(call: Call, act: str, query: Query, notice: str) -> int:
    def ask(name: str) -> None:
        call.client.call("POST", path("containers", name, act), query, notice=f"{notice} {name}")
        print(name, flush=True)

    return each(call.options.arguments, ask)


def grace(call: Call) -> Query:
    options = call.options
    seconds = options.number("timeout")
    return {
        "t": options.number("time") if seconds is None else seconds,
        "signal": options.text("signal") or None,
    }


def stop(call: Call) -> int:
    return ask_each(call, "stop", grace(call), "stopping")


def restart(call: Call) -> int:
    return ask_each(call, "restart", grace(call), "restarting")


def kill(call: Call) -> int:
    return ask_each(call, "kill", {"signal": call.options.text("signal") or None}, "killing")


def pause(call: Call) -> int:
    return ask_each(call, "pause", {}, "pausing")


def unpause(call: Call) -> int:
    return ask_each(call, "unpause", {}, "unpausing")


def update(call: Call) -> int:
    from insula.cli.create import host_config

    wanted = host_config(call.options)

    def update_one(name: str) -> None:
        answer = call.client.call(
            "POST", path("containers", name, "update"), body=wanted, notice=f"updating {name}"
        )
        print(name, flush=True)
        for warning in (answer or {}).get("Warnings") or ():
            print(f"WARNING: {warning}", file=sys.stderr)

    return each(call.options.arguments, update_one)


def remove(call: Call) -> int:
    options = call.options
    query = {"force": options.flag("force"), "link": options.flag("link"), "v": options.flag("volumes")}

    def remove_one(name: str) -> None:
        try:
            call.client.call("DELETE", path("containers", name), query, notice=f"removing {name}")
        except ApiFailure as failure:
            if not (failure.code == NOT_FOUND and options.flag("force")):
                raise
            print(failure.message, file=sys.stderr)
            return
        print(name, flush=True)

    return each(options.arguments, remove_one)


def rename(call: Call) -> int:
    old, new = call.options.arguments
    call.client.call("POST", path("containers", old, "rename"), {"name": new})
    return 0


SIGNAL = Flag("signal", "s", TEXT, "Signal to send")
TIMES = (
    Flag("timeout", "t", NUMBER, "Seconds to wait before SIGKILL (-1: for ever)"),
    Flag("time", "", NUMBER, "The same, as it was called before Docker 28"),
)
CHANGES = frozenset({
    "blkio-weight", "cpu-period", "cpu-quota", "cpu-shares", "cpus", "cpuset-cpus", "cpuset-mems", "memory",
    "memory-reservation", "memory-swap", "pids-limit", "restart",
})  # fmt: skip
CONTAINERS = "CONTAINER [CONTAINER...]"
VERBS = {
    "stop": Verb("[OPTIONS] CONTAINER [CONTAINER...]", "Stop running containers", stop, (SIGNAL, *TIMES), least=1),
    "restart": Verb("[OPTIONS] CONTAINER [CONTAINER...]", "Restart containers", restart, (SIGNAL, *TIMES), least=1),
    "kill": Verb("[OPTIONS] CONTAINER [CONTAINER...]", "Kill running containers", kill, (SIGNAL,), least=1),
    "rm": Verb("[OPTIONS] CONTAINER [CONTAINER...]", "Remove containers", remove,
               (Flag("force", "f", BOOL, "Kill it if it runs"),
                Flag("link", "l", BOOL, "Remove the link CONTAINER/ALIAS, not the container"),
                Flag("volumes", "v", BOOL, "Remove its anonymous volumes")), least=1),
    "pause": Verb(CONTAINERS, "Let the processors of containers stand still", pause, least=1),
    "unpause": Verb(CONTAINERS, "Let paused containers go on", unpause, least=1),
    "update": Verb(f"[OPTIONS] {CONTAINERS}", "Change limits and restart policy of containers", update,
                   tuple(flag for flag in CREATE_FLAGS if flag.name in CHANGES), least=1),
    "rename": Verb("CONTAINER NEW_NAME", "Rename a container", rename, least=2, most=2),
}  # fmt: skip
