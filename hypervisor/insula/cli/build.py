"""build, builder prune: a context sent, what is done with it shown as it is done, each step with the time it took."""

import base64
import json
import os
import stat
import sys
import time
from collections.abc import Iterator

from insula.cli.build_context import BLOCK, Context
from insula.cli.client import Answer
from insula.cli.containers_list import read_filters
from insula.cli.disk import confirm
from insula.cli.failure import Disconnected, Failure, UsageFailure
from insula.cli.flags import BOOL, MANY, NUMBER, TEXT, Flag, Options
from insula.cli.limit_flags import ulimit
from insula.cli.patience import Notice
from insula.cli.table import human_size
from insula.cli.values import pairs, parse_size
from insula.cli.verb import Call, Verb

SECRETS_HEADER = "X-Insula-Build-Secrets"
AGENTS_HEADER = "X-Insula-Build-Ssh"
SECRETS_MAX = 45_000
TEXT_QUERY = {
    "target": "target", "network": "networkmode", "cpuset-cpus": "cpusetcpus", "cpuset-mems": "cpusetmems",
    "isolation": "isolation",
}  # fmt: skip
NUMBER_QUERY = {"cpu-shares": "cpushares", "cpu-period": "cpuperiod", "cpu-quota": "cpuquota"}
SIZE_QUERY = {"memory": "memory", "memory-swap": "memswap", "shm-size": "shmsize"}


def build(call: Call) -> int:
    options = call.options
    query = read_query(options)
    headers = {SECRETS_HEADER: secrets} if (secrets := read_secrets(options.texts("secret"))) else {}
    if agents := find_agents(options.texts("ssh")):
        headers[AGENTS_HEADER] = base64.b64encode(json.dumps(agents).encode()).decode()
    source = Sending(options.arguments[0], options.text("file"))
    query |= {"dockerfile": source.dockerfile or None, "remote": source.remote or None}
    try:
        answer = call.client.upload("/build", query, source.chunks(), headers=headers)
        id = show(answer, quiet=options.flag("quiet"))
    except Disconnected:
        if source.failure is not None:
            raise source.failure from None
        raise
    if options.given("iidfile"):
        write_id(options.text("iidfile"), id)
    return 0


def read_query(options: Options) -> dict[str, object]:
    """Raises UsageFailure."""
    query: dict[str, object] = {
        "t": options.texts("tag"), "nocache": options.flag("no-cache"), "pull": options.flag("pull"),
        "q": options.flag("quiet"), "squash": options.flag("squash"), "extrahosts": options.texts("add-host"),
        "platform": ",".join(options.texts("platform")) or None, "version": "1",
    }  # fmt: skip
    if options.given("build-arg"):
        query["buildargs"] = json.dumps(arguments(options.texts("build-arg")))
    for flag, name in (("cache-from", "cachefrom"), ("security-opt", "securityopt")):
        if options.given(flag):
            query[name] = json.dumps(options.texts(flag))
    if options.given("label"):
        query["labels"] = json.dumps(pairs(options.texts("label")))
    if options.given("ulimit"):
        query["ulimits"] = json.dumps([ulimit(text) for text in options.texts("ulimit")])
    query |= {name: options.text(flag) or None for flag, name in TEXT_QUERY.items()}
    query |= {name: options.number(flag) for flag, name in NUMBER_QUERY.items()}
    query |= {
        name: parse_size(options.text(flag), flag) for flag, name in SIZE_QUERY.items() if options.given(flag)
    }
    return query


def arguments(texts: list[str]) -> dict[str, str | None]:
    """A name alone has the value that it has here, if any."""
    found: dict[str, str | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name:
            raise UsageFailure(f"invalid argument {text[:80]!r} for --build-arg: NAME=VALUE is wanted")
        if equals or name in os.environ:
            found[name] = value if equals else os.environ[name]
    return found


def read_secrets(texts: list[str]) -> str:
    """`id=x,src=file` and `id=x,env=NAME`, as the header has them. Raises Failure."""
    found: dict[str, str] = {}
    for text in texts:
        fields = dict(item.partition("=")[::2] for item in text.split(","))
        path = fields.get("src") or fields.get("source") or ""
        id, name = fields.get("id") or os.path.basename(path), fields.get("env") or ""
        if not id or set(fields) - {"id", "src", "source", "env", "type"}:
            raise UsageFailure(
                f"invalid argument {text[:80]!r} for --secret: id=ID,src=FILE or id=ID,env=NAME"
            )
        found[id] = base64.b64encode(read_secret(path, name or id)).decode()
    encoded = base64.b64encode(json.dumps(found).encode()).decode() if found else ""
    if len(encoded) > SECRETS_MAX:
        raise Failure("the secrets are too large together")
    return encoded


def read_secret(path: str, name: str) -> bytes:
    """Of a file, or of a variable where none is named."""
    try:
        if path:
            with open(path, "rb") as file:
                return file.read()
        return os.environb[name.encode()]
    except (OSError, KeyError) as error:
        raise Failure(f"cannot read the secret {path or name}: {error}") from error


def find_agents(texts: list[str]) -> dict[str, str]:
    """`default`, `id=SOCKET`: the full paths of ssh agents' sockets, by id. Raises Failure."""
    found: dict[str, str] = {}
    for text in texts:
        id, _, path = text.partition("=")
        path = path or os.environ.get("SSH_AUTH_SOCK", "")
        if not path:
            raise Failure("there is no ssh agent: SSH_AUTH_SOCK is not set")
        if not os.path.exists(path) or not stat.S_ISSOCK(os.stat(path).st_mode):
            raise Failure(f"{path} is no ssh agent's socket: give keys to an agent by ssh-add")
        found[id or "default"] = os.path.abspath(path)
    return found


class Sending:
    """The context on its way: a folder, or what comes on standard input. failure: why it could not be read; remote:
    the address of one that is not sent."""

    def __init__(self, source: str, dockerfile: str) -> None:
        """Raises Failure."""
        if source.startswith(("git@", "git://", "ssh://")):
            raise Failure("a build of a Git repository is not there yet: clone it")
        self.remote = source if source.startswith(("http://", "https://")) else ""
        self.failure: Failure | None = None
        self.dockerfile = dockerfile
        self._context: Context | None = None
        if source != "-" and not self.remote:
            self._context = Context(source, dockerfile)
            self.dockerfile = self._context.dockerfile
        elif dockerfile == "-":
            raise UsageFailure("the context and the Dockerfile cannot both come from standard input")
        self._notice = Notice()

    def chunks(self) -> Iterator[bytes]:
        sent = 0
        if self.remote:
            return
        try:
            for data in self._context.chunks() if self._context is not None else self._standard_input():
                sent += len(data)
                self._notice.draw(f"sending {human_size(sent)}")
                yield data
        except Failure as failure:
            self.failure = failure
            raise
        finally:
            self._notice.clear()

    def _standard_input(self) -> Iterator[bytes]:
        """A tar, compressed or not; anything else is a Dockerfile, and there is no context."""
        first = sys.stdin.buffer.read(BLOCK)
        packed = first.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))
        if packed or first[257:262] == b"ustar":
            yield first
            while data := sys.stdin.buffer.read(1 << 20):
                yield data
            return
        import tarfile

        text = first + sys.stdin.buffer.read()
        info = tarfile.TarInfo(self.dockerfile or "Dockerfile")
        info.size = len(text)
        yield info.tobuf() + text + bytes(-len(text) % BLOCK) + bytes(2 * BLOCK)


def show(answer: Answer, *, quiet: bool) -> str:
    """Prints what is done, and gives the image's id. Raises Failure for a build that fails."""
    id, began = "", 0.0
    for line in answer.objects():
        if error := line.get("error"):
            detail = line.get("errorDetail") or {}
            code = detail.get("code")
            raise Failure(str(error), code if isinstance(code, int) and 0 < code < 256 else 1)
        if isinstance(line.get("aux"), dict):
            id = str(line["aux"].get("ID") or id)
        text = str(line.get("stream") or "")
        if not quiet and text.startswith("Step "):
            if began:
                print(f"     {time.monotonic() - began:.1f} s", flush=True)
            began = time.monotonic()
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()
    return id


def write_id(path: str, id: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(id)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from error


def prune(call: Call) -> int:
    confirm(call, ["WARNING! This will remove the steps of builds that no image needs."])
    options = call.options
    query: dict[str, object] = {"all": options.flag("all"), "filters": read_filters(options.texts("filter"))}
    if options.given("keep-storage"):
        query["keep-storage"] = parse_size(options.text("keep-storage"), "keep-storage")
    found = call.client.call("POST", "/build/prune", query, notice="pruning")
    for id in found.get("CachesDeleted") or ():
        print(id)
    print(f"Total reclaimed space: {human_size(found.get('SpaceReclaimed') or 0)}")
    return 0


VERBS = {
    "build": Verb("[OPTIONS] PATH | URL | -", "Build an image from a Dockerfile", build, (
        Flag("add-host", "", MANY, "A line of /etc/hosts (host:ip)"),
        Flag("build-arg", "", MANY, "Set a build argument (NAME=VALUE)"),
        Flag("cache-from", "", MANY, "Use the steps of these images alone"),
        Flag("cpu-period", "", NUMBER, "Period of the processor quota, in microseconds"),
        Flag("cpu-quota", "", NUMBER, "Processor quota, in microseconds"),
        Flag("cpu-shares", "c", NUMBER, "Processor weight"),
        Flag("cpuset-cpus", "", TEXT, "Processors to use (0-1)"),
        Flag("cpuset-mems", "", TEXT, "Memory nodes to use (0)"),
        Flag("file", "f", TEXT, "The Dockerfile (default PATH/Dockerfile)"),
        Flag("iidfile", "", TEXT, "Write the image's id to a file"),
        Flag("isolation", "", TEXT, "default, or fresh: machines of their own boot"),
        Flag("label", "", MANY, "Set a label (NAME=VALUE)"),
        Flag("memory", "m", TEXT, "Memory of each step"),
        Flag("memory-swap", "", TEXT, "Memory and swap together"),
        Flag("network", "", TEXT, "Network of the RUN steps"),
        Flag("no-cache", "", BOOL, "Do every step"),
        Flag("platform", "", MANY, "Platform to build for (linux/arm64)"),
        Flag("pull", "", BOOL, "Fetch newer base images"),
        Flag("quiet", "q", BOOL, "Print the image's id alone"),
        Flag("secret", "", MANY, "A secret for RUN --mount=type=secret (id=ID,src=FILE)"),
        Flag("security-opt", "", MANY, "Security options of the RUN steps"),
        Flag("shm-size", "", TEXT, "Size of /dev/shm"),
        Flag("ssh", "", MANY, "An ssh agent for RUN --mount=type=ssh (default, or ID=SOCKET)"),
        Flag("squash", "", BOOL, "One layer of all"),
        Flag("tag", "t", MANY, "Name of the image"),
        Flag("target", "", TEXT, "Build this stage"),
        Flag("ulimit", "", MANY, "Limits of processes (NAME=SOFT[:HARD])"),
    ), least=1, most=1),
    "builder prune": Verb("[OPTIONS]", "Remove what builds have kept", prune, (
        Flag("all", "a", BOOL, "Forget all steps, also of images that have names"),
        Flag("filter", "", MANY, "Which of them (until=24h, type=exec.cachemount, id=ID)"),
        Flag("force", "f", BOOL, "Do not ask for confirmation"),
        Flag("keep-storage", "", TEXT, "No more once so much is left"),
    ), most=0),
}  # fmt: skip
