"""cp, diff, export, save, commit: a container's files, and images as archives.

`cp` follows the rules of Docker's: what a source becomes depends on what is at its destination, and a `/.` behind a
directory asks for its content alone. What is decided here is where it goes and what it is called there; tar_in.py and
tar_out.py carry it.
"""

import base64
import os
import posixpath
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from insula.cli.client import Answer, path
from insula.cli.failure import ApiFailure, Failure, UsageFailure
from insula.cli.flags import BOOL, MANY, TEXT, Flag
from insula.cli.images import split_name
from insula.cli.patience import Notice
from insula.cli.stream import write_all
from insula.cli.table import clean_line, human_size
from insula.cli.terminal import is_terminal
from insula.cli.verb import Call, Verb

NOT_FOUND = 404
STAT_HEADER = "x-docker-container-path-stat"
GO_DIRECTORY, GO_LINK = 1 << 31, 1 << 27
KINDS = ("C", "A", "D")


# -- cp


def split(word: str) -> tuple[str, str]:
    """(container, path); the container is empty for a local path."""
    container, colon, where = word.partition(":")
    if not colon or word.startswith(("/", ".")):
        return "", word
    return container, where


def cp(call: Call) -> int:
    source, target = call.options.arguments
    (from_container, from_path), (to_container, to_path) = split(source), split(target)
    if from_container and to_container:
        raise UsageFailure("copying between containers is not supported")
    if not from_container and not to_container:
        raise UsageFailure("must specify at least one container source")
    if from_container:
        return copy_out(call, from_container, from_path, to_path)
    return copy_in(call, from_path, to_container, to_path)


@dataclass(frozen=True, slots=True)
class Found:
    """What the daemon says of a path in a container. name: what an archive of it begins with."""

    name: str
    is_directory: bool
    is_link: bool
    link_target: str


def look(call: Call, container: str, where: str) -> Found | None:
    """None if nothing is there. Raises ApiFailure, Failure."""
    try:
        answer = call.client.again().open("HEAD", path("containers", container, "archive"), {"path": where})
    except ApiFailure as failure:
        if failure.code == NOT_FOUND:
            return None
        raise
    return read_stat(answer.headers)


def read_stat(headers: dict[str, str]) -> Found:
    import json

    try:
        document = json.loads(base64.b64decode(headers[STAT_HEADER]))
        mode, link, name = int(document["mode"]), str(document["linkTarget"] or ""), str(document["name"])
    except (KeyError, ValueError, TypeError) as error:
        raise Failure("the daemon's answer does not tell what the path is") from error
    return Found(name, bool(mode & GO_DIRECTORY), bool(mode & GO_LINK), link)


def wants_directory(where: str) -> bool:
    """Whether a path can only be a directory, as it is written."""
    return where.endswith("/") or wants_content(where)


def wants_content(where: str) -> bool:
    return where == "." or where.endswith("/.")


class Shown:
    """How far it is, at a terminal."""

    def __init__(self, call: Call) -> None:
        self._quiet = call.options.flag("quiet")
        self._notice = Notice()

    def moved(self, size: int) -> None:
        if not self._quiet:
            self._notice.draw(f"copying {human_size(size)}")

    def done(self, size: int, target: str) -> None:
        self._notice.clear()
        if not self._quiet and is_terminal(2):
            print(f"Successfully copied {human_size(size)} to {target}", file=sys.stderr)


# -- out of a container


def copy_out(call: Call, container: str, source: str, target: str) -> int:
    asked, name = source, ""
    if call.options.flag("follow-link"):
        linked = look(call, container, source)
        if linked is not None and linked.is_link:
            asked, name = linked.link_target, linked.name
    answer = call.client.open("GET", path("containers", container, "archive"), {"path": asked or "/"})
    if target == "-":
        for data in answer.chunks():
            write_all(1, data)
        return 0
    found = read_stat(answer.headers)
    folder, called = place_out(found.is_directory, name or found.name, target)
    write_out(call, answer.chunks(), folder, (found.name, called), target)
    return 0


def place_out(is_directory: bool, name: str, target: str) -> tuple[str, str]:
    """The local directory that it goes into, and its name there; none: its content alone. Raises Failure."""
    if name in (".", "/"):
        name = ""
    if os.path.isdir(target):
        return target, name
    if os.path.islink(target):
        target = os.path.realpath(target)
    if os.path.exists(target):
        if is_directory:
            raise Failure("cannot copy directory")
        if wants_directory(target):
            raise Failure(f"{target}: not a directory")
        return os.path.dirname(target) or ".", os.path.basename(target)
    if wants_directory(target) and not is_directory:
        raise Failure(f"no such directory: {target}")
    target = target.rstrip("/").removesuffix("/.") or "/"
    parent = os.path.dirname(target) or "."
    if not os.path.isdir(parent):
        raise Failure(f"invalid output path: directory {parent!r} does not exist")
    return parent, os.path.basename(target)


def write_out(call: Call, chunks: Iterator[bytes], folder: str, names: tuple[str, str], target: str) -> None:
    from insula.cli.tar_out import Unpacker

    root, called = names
    keep = call.options.flag("archive") and os.geteuid() == 0
    shown = Shown(call)
    unpacker = Unpacker(folder, root, called, keep_owners=keep)

    def watched() -> Iterator[bytes]:
        for data in chunks:
            shown.moved(unpacker.written)
            yield data

    unpacker.unpack(watched())
    shown.done(unpacker.written, target)


# -- into a container


def copy_in(call: Call, source: str, container: str, target: str) -> int:
    found = look(call, container, target or "/")
    if found is not None and found.is_link:
        target = found.link_target
        found = look(call, container, target)
    if source == "-":
        if found is None or not found.is_directory:
            raise Failure(f'destination "{container}:{target}" must be a directory')
        put(call, container, target, stdin_chunks())
        return 0
    from insula.cli.tar_in import Packer

    follow = call.options.flag("follow-link") or wants_directory(source)
    is_directory = check_source(source, follow)
    folder, name = place_in(is_directory, source, target or "/", found)
    packer, shown = Packer(source, name, follow=follow), Shown(call)
    failed: list[Failure] = []

    def watched() -> Iterator[bytes]:
        try:
            for data in packer.chunks():
                shown.moved(packer.sent)
                yield data
        except Failure as failure:  # in the sender's thread: the archive ends here, and the daemon is told so
            failed.append(failure)

    try:
        put(call, container, folder, watched())
    except Failure:
        if failed:
            raise failed[0] from None
        raise
    if failed:
        raise failed[0]
    shown.done(packer.sent, f"{container}:{target}")
    return 0


def check_source(source: str, follow: bool) -> bool:
    """Whether it is a directory. Raises Failure if it is not there, or is written as one and is none."""
    try:
        os.stat(source) if follow else os.lstat(source)
    except OSError as error:
        raise Failure(f"{source}: {(error.strerror or str(error)).lower()}") from error
    return os.path.isdir(source) and (follow or not os.path.islink(source))


def place_in(is_directory: bool, source: str, target: str, found: Found | None) -> tuple[str, str]:
    """The directory in the container that it goes into, and its name there (none: its content alone). Raises
    Failure."""
    if found is not None and found.is_directory:
        return target, "" if wants_content(source) else os.path.basename(os.path.abspath(source))
    if found is not None and is_directory:
        raise Failure("cannot copy directory")
    if wants_directory(target) and not is_directory:
        raise Failure(f"no such directory: {target}" if found is None else f"{target}: not a directory")
    target = target.rstrip("/").removesuffix("/.") or "/"
    return posixpath.dirname("/" + target.lstrip("/")), posixpath.basename(target)


def put(call: Call, container: str, folder: str, chunks: Iterator[bytes]) -> None:
    query: dict[str, Any] = {"path": folder, "noOverwriteDirNonDir": "true"}
    if call.options.flag("archive"):
        query["copyUIDGID"] = "true"
    call.client.upload(path("containers", container, "archive"), query, chunks, "PUT").read()


def stdin_chunks() -> Iterator[bytes]:
    while data := sys.stdin.buffer.read1(256 << 10):  # type: ignore[union-attr]  # a BufferedReader
        yield data


# -- diff, export, save


def diff(call: Call) -> int:
    found = call.client.call(
        "GET", path("containers", call.options.arguments[0], "changes"), notice="comparing"
    )
    for change in found or ():
        print(KINDS[int(change["Kind"])], clean_line(str(change["Path"])))
    return 0


def export(call: Call) -> int:
    name = call.options.text("output")
    if not name and is_terminal(1):
        raise Failure("stdout is a terminal: redirect it to a file, or name one with -o")
    answer = call.client.open("GET", path("containers", call.options.arguments[0], "export"))
    write_archive(answer, name)
    return 0


def save(call: Call) -> int:
    name = call.options.text("output")
    if not name and is_terminal(1):
        raise Failure("stdout is a terminal: redirect it to a file, or name one with -o")
    query = {"names": call.options.arguments, "platform": call.options.texts("platform")}
    write_archive(call.client.open("GET", "/images/get", query), name)
    return 0


def write_archive(answer: Answer, name: str) -> None:
    """To a file, which appears whole, or to standard output if there is no name. Raises Failure."""
    if not name:
        for data in answer.chunks():
            write_all(1, data)
        return
    part = f"{name}.part"
    try:
        with open(part, "xb") as file:
            for data in answer.chunks():
                file.write(data)
        os.replace(part, name)
    except OSError as error:
        raise Failure(f"cannot write {name}: {error.strerror}") from error
    finally:
        if os.path.exists(part):
            os.unlink(part)


def commit(call: Call) -> int:
    options = call.options
    container, *names = options.arguments
    repository, tag = split_name(names[0]) if names else ("", "")
    query = {
        "container": container, "repo": repository or None, "tag": tag or None,
        "author": options.text("author") or None,
        "comment": options.text("message") or None, "changes": options.texts("change"),
        "pause": "1" if options.flag("pause", default=True) else "0",
    }  # fmt: skip
    print(call.client.call("POST", "/commit", query, notice=f"committing {container}")["Id"])
    return 0


VERBS = {
    "cp": Verb("[OPTIONS] CONTAINER:PATH PATH|-  or  PATH|- CONTAINER:PATH", "Copy files in or out", cp, (
        Flag("archive", "a", BOOL, "In: as the container's user's. Out, as root: with owners and set-id bits"),
        Flag("follow-link", "L", BOOL, "Follow a symbolic link as the source"),
        Flag("quiet", "q", BOOL, "Show no progress"),
    ), least=2, most=2),
    "commit": Verb("[OPTIONS] CONTAINER [REPOSITORY[:TAG]]", "Make an image of a container and its changes", commit, (
        Flag("author", "a", TEXT, "Set its author"),
        Flag("change", "c", MANY, "Apply a Dockerfile instruction"),
        Flag("message", "m", TEXT, "Set its comment"),
        Flag("pause", "p", BOOL, "Pause the container meanwhile", default=True),
    ), least=1, most=2),
    "diff": Verb("CONTAINER", "Show what a container has changed in its files", diff, least=1, most=1),
    "save": Verb("[OPTIONS] IMAGE [IMAGE...]", "Write images as an archive for load", save, (
        Flag("output", "o", TEXT, "Write to a file instead of stdout"),
        Flag("platform", "", MANY, "Only the image of this platform (may be repeated)"),
    ), least=1),
    "export": Verb("[OPTIONS] CONTAINER", "Write a container's files as a tar archive", export, (
        Flag("output", "o", TEXT, "Write to a file instead of stdout"),
    ), least=1, most=1),
}  # fmt: skip
