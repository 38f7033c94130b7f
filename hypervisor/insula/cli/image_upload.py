"""load, import, bootstrap: images that come in, with what is going on shown while it takes time."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from insula.cli.client import Answer
from insula.cli.failure import Failure
from insula.cli.flags import BOOL, MANY, TEXT, Flag
from insula.cli.images import split_name
from insula.cli.patience import Notice
from insula.cli.table import clean, human_size
from insula.cli.terminal import is_terminal
from insula.cli.verb import Call, Verb

CHUNK = 1 << 20


@dataclass(slots=True)
class Upload:
    """A file on its way. sent: bytes so far; size: 0 if it cannot be known."""

    file: BinaryIO
    sent: int = 0
    size: int = 0

    def chunks(self) -> Iterator[bytes]:
        while data := self.file.read1(CHUNK):  # type: ignore[attr-defined]  # a BufferedReader
            self.sent += len(data)
            yield data

    def describe(self) -> str:
        if self.size and self.sent < self.size:
            return f"{human_size(self.sent)} of {human_size(self.size)} ({100 * self.sent // self.size} %)"
        return human_size(self.sent)


def open_upload(name: str) -> Upload:
    """`-` is stdin. Raises Failure."""
    if name == "-":
        if is_terminal(0):
            raise Failure("stdin is a terminal: redirect an archive to it, or name a file")
        return Upload(sys.stdin.buffer)
    try:
        file = open(name, "rb")  # noqa: SIM115  # closed with the process
        return Upload(file, size=os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise Failure(f"cannot read {name}: {error.strerror}") from error


def follow(
    answer: Answer, notice: Notice, doing: str, upload: Upload | None = None
) -> Iterator[dict[str, Any]]:
    """The lines of a progress stream; a failure in it is raised."""
    try:
        for line in answer.objects():
            if error := line.get("error"):
                raise Failure(str(error))
            notice.draw(f"{doing}{' ' + upload.describe() if upload else ''}: {clean(describe(line))}")
            yield line
    finally:
        notice.clear()


def describe(line: dict[str, Any]) -> str:
    words = str(line.get("status") or line.get("stream") or "").strip()
    detail = line.get("progressDetail") or {}
    if total := detail.get("total"):
        words += f" {100 * int(detail.get('current') or 0) // int(total)} %"
    return words


def load(call: Call) -> int:
    options = call.options
    upload = open_upload(options.text("input", "-"))
    query = {"quiet": options.flag("quiet"), "platform": options.text("platform") or None}
    notice = Notice()
    answer = call.client.upload("/images/load", query, watched(upload, notice, "loading"))
    for line in follow(answer, notice, "loading", upload):
        if "stream" in line:
            notice.clear()
            print(clean(str(line["stream"]).rstrip("\n")), flush=True)
    return 0


def watched(upload: Upload, notice: Notice, doing: str) -> Iterator[bytes]:
    for data in upload.chunks():
        notice.draw(f"{doing} {upload.describe()}")
        yield data


def import_(call: Call) -> int:
    options = call.options
    source, *names = options.arguments
    remote = source if source.startswith(("http://", "https://")) else "-"
    repository, tag = split_name(names[0]) if names else ("", "")
    query = {
        "fromSrc": remote, "repo": repository or None, "tag": tag or None, "message": options.text("message") or None,
        "changes": options.texts("change"), "platform": options.text("platform") or None,
    }  # fmt: skip
    notice, upload = Notice(), None
    if remote != "-":
        answer = call.client.open("POST", "/images/create", query, notice="importing")
    else:
        upload = open_upload(source)
        answer = call.client.upload("/images/create", query, watched(upload, notice, "importing"))
    last = ""
    for line in follow(answer, notice, "importing", upload):
        last = str(line.get("status") or last)
    print(clean(last))
    return 0


def bootstrap(call: Call) -> int:
    """Made by the daemon out of a distribution's packages; each line of its progress is shown."""
    options = call.options
    body = {"what": options.arguments[0], "platforms": options.texts("platform")}
    notice = Notice()
    answer = call.client.open("POST", "/insula/bootstrap", body=body, notice=f"making {options.arguments[0]}")
    for line in follow(answer, notice, "making"):
        notice.clear()
        print(clean(describe(line)), flush=True)
    return 0


PLATFORM = Flag("platform", "", TEXT, "Platform of the image (linux/arm64)")
VERBS = {
    "load": Verb("[OPTIONS]", "Load images from an archive", load, (
        Flag("input", "i", TEXT, "Read from a file instead of stdin"),
        Flag("quiet", "q", BOOL, "Say only what was loaded"),
        PLATFORM,
    ), most=0),
    "import": Verb("[OPTIONS] FILE|- [REPOSITORY[:TAG]]", "Make an image of a file tree in an archive", import_, (
        Flag("change", "c", MANY, "Apply a Dockerfile instruction"),
        Flag("message", "m", TEXT, "Set its comment"),
        PLATFORM,
    ), least=1, most=2),
    "bootstrap": Verb("[OPTIONS] busybox|debian", "Make a base image out of a distribution's packages", bootstrap, (
        Flag("platform", "", MANY, "Only for this platform (may be repeated)"),
    ), least=1, most=1),
}  # fmt: skip
