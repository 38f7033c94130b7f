"""version, info, doctor: what is there and what is lacking."""

import json
import sys
from typing import Any

from insula.cli.failure import Disconnected, Failure
from insula.cli.flags import TEXT, Flag
from insula.cli.table import clean, clean_line, human_bytes, print_table
from insula.cli.template import parse_template, render
from insula.cli.verb import Call, Verb

VERSION = "0.1.0"
DOCTOR_SECONDS = 120


def print_document(document: Any, form: str) -> None:
    """form: `json` or a template."""
    print(json.dumps(document) if form == "json" else clean_line(render(parse_template(form), document)))


def version(call: Call) -> int:
    client = {"Version": VERSION, "Python": ".".join(map(str, sys.version_info[:3])), "Os": sys.platform}
    server = call.client.call("GET", "/version")
    if form := call.options.text("format"):
        print_document({"Client": client, "Server": server}, form)
        return 0
    rows = [["Client:", ""], [" Version:", VERSION], [" Python:", client["Python"]], ["", ""]]
    rows += [["Server:", clean((server.get("Platform") or {}).get("Name", ""))]]
    rows += [[" Version:", clean(server.get("Version"))], [" API version:", api_versions(server)]]
    rows += [[" OS/Arch:", clean(f"{server.get('Os')}/{server.get('Arch')}")]]
    rows += [[" Kernel:", clean(server.get("KernelVersion"))]]
    print_table(rows)
    return 0


def api_versions(server: dict[str, Any]) -> str:
    return clean(f"{server.get('ApiVersion')} (minimum version {server.get('MinAPIVersion')})")


INFO_ROWS = (
    ("Server version", "ServerVersion"), ("Containers", "Containers"), (" Running", "ContainersRunning"),
    (" Stopped", "ContainersStopped"), ("Images", "Images"), ("Logging driver", "LoggingDriver"),
    ("Security", "SecurityOptions"), ("Operating system", "OperatingSystem"), ("Kernel", "KernelVersion"),
    ("Architecture", "Architecture"), ("CPUs", "NCPU"), ("Memory", "MemTotal"), ("Name", "Name"), ("ID", "ID"),
    ("State root", "DockerRootDir"),
)  # fmt: skip


def info(call: Call) -> int:
    found = call.client.call("GET", "/info")
    if form := call.options.text("format"):
        print_document(found, form)
        return 0
    rows = [[f"{title}:", show_value(name, found[name])] for title, name in INFO_ROWS if name in found]
    rows += list(nested_rows(found.get("Insula") or {}, " ", "Machines:"))
    print_table(rows)
    for warning in found.get("Warnings") or ():
        print(clean(warning), file=sys.stderr)
    return 0


def show_value(name: str, value: Any) -> str:
    if name == "MemTotal":
        return human_bytes(value)
    return clean(", ".join(map(str, value)) if isinstance(value, list) else value)


def nested_rows(document: dict[str, Any], indent: str, title: str) -> list[list[str]]:
    """A document of any shape as indented rows."""
    if not document:
        return []
    rows = [[title, ""]]
    for name, value in document.items():
        if isinstance(value, dict) and len(indent) < 6:
            rows += nested_rows(value, indent + " ", f"{indent}{clean(name)}:")
        else:
            rows.append([f"{indent}{clean(name)}:", clean(value)])
    return rows


def doctor(call: Call) -> int:
    """From the daemon; where none can start, from its program. 1 if something needed is missing."""
    try:
        rows = call.client.call("GET", "/insula/doctor", notice="looking at the host")
    except Disconnected as failure:
        print(f"insula: {failure.message}", file=sys.stderr)
        rows = examine()
    if form := call.options.text("format"):
        print_document(rows, form)
    else:
        print_table([[clean(r["Subject"]), clean(r["State"]), told(r)] for r in rows])
    return int(any(row["State"] == "missing" for row in rows))


def told(row: dict[str, str]) -> str:
    return clean(f"{row['Text']} ({row['Hint']})" if row.get("Hint") else row["Text"])


def examine() -> Any:
    """The daemon's own program, run to look at the host and end. Raises Failure."""
    import subprocess

    command = [sys.executable, "-m", "insula", "daemon", "--doctor"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=DOCTOR_SECONDS, cwd="/", check=True)
        return json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode(errors="replace").strip().splitlines()
        raise Failure(f"the host cannot be examined: {words[-1] if words else error}") from error
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise Failure(f"the host cannot be examined: {error}") from error


FORMAT = Flag("format", "f", TEXT, "'json' or a template")
VERBS = {
    "version": Verb("[OPTIONS]", "Show the versions of command and daemon", version, (FORMAT,), most=0),
    "info": Verb("[OPTIONS]", "Show what the daemon holds and how it runs machines", info, (FORMAT,), most=0),
    "doctor": Verb("[OPTIONS]", "Show what this host has and lacks", doctor, (FORMAT,), most=0),
}
