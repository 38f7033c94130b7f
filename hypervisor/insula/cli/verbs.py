"""Which module does which verb: a module is imported when its verb is used, and not before."""

from importlib import import_module

from insula.cli.failure import Failure, UsageFailure
from insula.cli.verb import Verb

MODULES = {
    "run": ("run", "create", "start", "attach", "wait"),
    "exec_": ("exec",),
    "life": ("stop", "restart", "kill", "pause", "unpause", "update", "rm", "rename"),
    "containers_list": ("port", "ps"),
    "build": ("build", "builder prune"),
    "copy": ("commit", "cp", "diff", "export", "save"),
    "disk": ("container prune", "image prune", "system df", "system prune"),
    "images": ("images", "tag", "rmi", "history"),
    "image_upload": ("load", "import", "bootstrap"),
    "login": ("login", "logout"),
    "look": ("inspect", "logs", "events"),
    "networks": (
        "network connect",
        "network create",
        "network disconnect",
        "network inspect",
        "network ls",
        "network prune",
        "network rm",
    ),
    "registry": ("pull", "push", "search"),
    "stats": ("stats", "top"),
    "system": ("version", "info", "doctor"),
    "volumes": ("volume create", "volume inspect", "volume ls", "volume prune", "volume rm"),
}
HOME = {verb: module for module, verbs in MODULES.items() for verb in verbs}

OF_CONTAINERS = ("attach", "commit", "cp", "create", "diff", "exec", "export", "inspect", "kill", "logs", "pause",
                 "rename", "restart", "rm", "run", "start", "stats", "stop", "top", "unpause", "update",
                 "wait")  # fmt: skip
GROUPS = {
    "container": {name: name for name in OF_CONTAINERS} | {"ls": "ps", "list": "ps", "ps": "ps", "remove": "rm",
                  "port": "port", "prune": "container prune"},
    "builder": {"build": "build", "prune": "builder prune"},
    "image": {"build": "build", "ls": "images", "list": "images", "rm": "rmi", "remove": "rmi", "inspect": "inspect",
              "load": "load", "import": "import", "pull": "pull", "push": "push", "tag": "tag", "history": "history",
              "prune": "image prune", "save": "save"},
    "network": {"connect": "network connect", "create": "network create", "disconnect": "network disconnect",
                "inspect": "network inspect", "ls": "network ls", "list": "network ls", "prune": "network prune",
                "rm": "network rm", "remove": "network rm"},
    "volume": {"create": "volume create", "inspect": "volume inspect", "ls": "volume ls", "list": "volume ls",
               "rm": "volume rm", "remove": "volume rm", "prune": "volume prune"},
    "system": {"info": "info", "events": "events", "df": "system df", "prune": "system prune"},
}  # fmt: skip

LATER = frozenset({
    "buildx", "compose", "config", "context", "df", "manifest", "node", "plugin", "prune",
    "secret", "service", "stack", "swarm", "trust",
})  # fmt: skip


def find_verb(words: list[str]) -> tuple[str, Verb, list[str]]:
    """Its name as typed, itself, and the words that are its own. Raises UsageFailure, Failure."""
    name, *rest = words
    if name in GROUPS and rest and not rest[0].startswith("-"):
        group, name = GROUPS[name], rest.pop(0)
        shown = f"{words[0]} {name}"
        if name not in group:
            raise unknown(shown, name)
        return shown, open_verb(group[name]), rest
    if name in GROUPS:
        raise UsageFailure(f"'insula {name}' needs a verb: {', '.join(sorted(GROUPS[name]))}")
    if name not in HOME:
        raise unknown(name, name)
    return name, open_verb(name), rest


def open_verb(name: str) -> Verb:
    verb: Verb = import_module(f"insula.cli.{HOME[name]}").VERBS[name]
    return verb


def unknown(shown: str, name: str) -> Failure:
    if name in LATER or shown.split()[0] in LATER:
        return Failure(f"'{shown}' is not there yet: this version runs containers and holds their images")
    return Failure(f"unknown command '{shown[:80]}' (see insula --help)")


def describe_all() -> str:
    """The list of verbs, for `insula --help`."""
    names = sorted(HOME)
    width = max(map(len, names))
    lines = [f"  {name:<{width}}   {open_verb(name).help}" for name in names]
    lines.append(f"  {'daemon':<{width}}   Run the daemon in the foreground")
    return "\n".join(sorted(lines))
