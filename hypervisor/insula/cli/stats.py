"""stats, top: what containers use, and what runs in them.

The rates are of two readings, a second apart, each of all containers that are shown: one table is one moment. A
container that comes or goes meanwhile is in the next one.
"""

import sys
import time
from collections.abc import Iterator
from typing import Any

from insula.cli.client import path
from insula.cli.failure import ApiFailure
from insula.cli.flags import BOOL, TEXT, Flag
from insula.cli.table import ROW, View, clean, human_bytes, human_size, print_rows, print_table, short_id
from insula.cli.verb import Call, Verb

NOT_FOUND = 404
SECONDS = 1.0
HOME, TO_THE_END = "\033[H", "\033[J"
UNKNOWN = "--"
VIEW = View(
    (("CONTAINER ID", "ID"), ("NAME", "Name"), ("CPU %", "CPUPerc"), ("MEM USAGE / LIMIT", "MemUsage"),
     ("MEM %", "MemPerc"), ("NET I/O", "NetIO"), ("BLOCK I/O", "BlockIO"), ("PIDS", "PIDs")),
    {"Container": "CONTAINER"},
)  # fmt: skip
Readings = dict[str, dict[str, Any]]


def stats(call: Call) -> int:
    """Raises ApiFailure for a container that is named and is not there."""
    options = call.options
    form, whole = options.text("format"), options.flag("no-trunc")
    before = read_all(call)
    if options.flag("no-stream"):
        time.sleep(SECONDS)
        show(before, read_all(call), form, whole)
        return 0
    while True:
        time.sleep(SECONDS)
        now = read_all(call)
        if sys.stdout.isatty():
            sys.stdout.write(HOME + TO_THE_END)
        show(before, now, form, whole)
        sys.stdout.flush()
        if call.options.arguments and not now:
            return 0
        before = now


def show(before: Readings, now: Readings, form: str, whole: bool) -> None:
    rows = [make_row(name, before.get(name, {}), reading, whole) for name, reading in now.items()]
    print_rows(rows, VIEW, form)


def read_all(call: Call) -> Readings:
    """By what they are asked by: the names given, or ids. One that goes meanwhile is left out, unless it is named
    and was never there."""
    return dict(_read(call))


def _read(call: Call) -> Iterator[tuple[str, dict[str, Any]]]:
    named = call.options.arguments
    listed = named or [
        item["Id"] for item in call.client.call("GET", "/containers/json", {"all": call.options.flag("all")})
    ]
    query = {"stream": "0", "one-shot": True}
    for name in listed:
        try:
            yield name, call.client.call("GET", path("containers", name, "stats"), query)
        except ApiFailure as failure:
            if named or failure.code != NOT_FOUND:
                raise


def make_row(name: str, before: dict[str, Any], now: dict[str, Any], whole: bool) -> ROW:
    row: ROW = {"Container": name, "Name": now["name"].removeprefix("/"), "ID": short_id(now["id"], whole)}
    if not now["cpu_stats"].get("system_cpu_usage"):
        names = ("CPUPerc", "MemPerc", "NetIO", "BlockIO", "PIDs")
        return row | dict.fromkeys(names, UNKNOWN) | {"MemUsage": f"{UNKNOWN} / {UNKNOWN}"}
    memory = now["memory_stats"]
    used = max(
        0, memory["usage"] - memory["stats"]["inactive_file"]
    )  # as Docker does: what can be had back at once
    links = (now.get("networks") or {}).values()
    return row | {
        "CPUPerc": f"{cpu_percent(before.get('cpu_stats'), now['cpu_stats']):.2f}%",
        "MemUsage": f"{human_bytes(used)} / {human_bytes(memory['limit'])}",
        "MemPerc": f"{100 * used / max(1, memory['limit']):.2f}%",
        "NetIO": " / ".join(human_size(sum(link[f"{way}_bytes"] for link in links)) for way in ("rx", "tx")),
        "BlockIO": " / ".join(human_size(block_bytes(now, way)) for way in ("read", "write")),
        "PIDs": str(now["pids_stats"].get("current", 0)),
    }


def cpu_percent(before: dict[str, Any] | None, now: dict[str, Any]) -> float:
    """Of one processor, since the reading before; 0 if there was none, or it was of an earlier run."""
    if not before or "system_cpu_usage" not in before:
        return 0.0
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed = now["system_cpu_usage"] - before["system_cpu_usage"]
    return 100.0 * now["online_cpus"] * used / passed if used > 0 and passed > 0 else 0.0


def block_bytes(now: dict[str, Any], way: str) -> int:
    entries = now["blkio_stats"].get("io_service_bytes_recursive") or []
    return sum(int(entry["value"]) for entry in entries if entry["op"] == way)


def top(call: Call) -> int:
    name, *arguments = call.options.arguments
    query = {"ps_args": " ".join(arguments) or None}
    found = call.client.call("GET", path("containers", name, "top"), query)
    print_table([[clean(cell) for cell in line] for line in (found["Titles"], *found["Processes"])])
    return 0


VERBS = {
    "stats": Verb("[OPTIONS] [CONTAINER...]", "Show what containers use, every second", stats, (
        Flag("all", "a", BOOL, "Those that do not run, too"),
        Flag("format", "", TEXT, "'table', 'table TEMPLATE', 'json', or a template for each"),
        Flag("no-stream", "", BOOL, "Show it once"),
        Flag("no-trunc", "", BOOL, "Whole ids"),
    )),
    "top": Verb("CONTAINER [PS OPTIONS]", "Show a container's processes", top, least=1, mixed=False),
}  # fmt: skip
