"""Images: tables and names, uploads and their progress, against a scripted engine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from insula.cli.images import split_name

IMAGE = {
    "Id": "sha256:" + "a" * 64, "RepoTags": ["busybox:latest", "host:5000/b:1"], "RepoDigests": [], "Created": 1,
    "Size": 1_234_567, "Containers": 2,
}  # fmt: skip
BARE = {"Id": "sha256:" + "b" * 64, "RepoTags": [], "RepoDigests": [], "Created": 1, "Size": 0}


def lines(*documents: Any) -> bytes:
    body = b"".join(json.dumps(document).encode() + b"\r\n" for document in documents)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a", ("a", "")), ("a:1", ("a", "1")), ("host:5000/a", ("host:5000/a", "")),
        ("host:5000/a:1", ("host:5000/a", "1")),
    ],
)  # fmt: skip
def test_names(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts


def test_the_table(engine: Any, answer: Callable[..., bytes]) -> None:
    engine.on("GET /images/json", answer([IMAGE, BARE]))
    rows = [line.split() for line in engine.insula("images").out.splitlines()]
    assert rows[0] == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert [row[:3] for row in rows[1:]] == [
        ["busybox", "latest", "a" * 12], ["host:5000/b", "1", "a" * 12], ["<none>", "<none>", "b" * 12],
    ]  # fmt: skip
    assert engine.insula("images", "-q").out == "a" * 12 + "\n" + "b" * 12 + "\n"
    assert engine.insula("image", "ls", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}").out.splitlines()[
        0
    ] == ("busybox:latest 1.23MB")
    engine.insula("images", "busybox", "-f", "dangling=true")
    assert "dangling" in engine.targets[-1] and "reference" in engine.targets[-1]


def test_tag_and_rmi(engine: Any, answer: Callable[..., bytes]) -> None:
    engine.on("POST /images/a/tag", answer({}, 201))
    engine.on("DELETE /images/", answer([{"Untagged": "a:1"}, {"Deleted": "sha256:0"}]))
    assert engine.insula("tag", "a", "host:5000/b:2").status == 0
    assert engine.insula("rmi", "-f", "host:5000/b:2").out == "Untagged: a:1\nDeleted: sha256:0\n"
    assert engine.targets == [
        "POST /images/a/tag?repo=host%3A5000%2Fb&tag=2", "DELETE /images/host:5000/b:2?force=1",
    ]  # fmt: skip


@pytest.mark.parametrize("from_stdin", [True, False])
def test_load(engine: Any, tmp_path: Path, from_stdin: bool) -> None:
    archive = b"x" * 3_000_000
    (tmp_path / "a.tar").write_bytes(archive)
    engine.on("POST /images/load", lines({"status": "reading"}, {"stream": "Loaded image: busybox:latest\n"}))
    words = ["load"] if from_stdin else ["load", "-i", str(tmp_path / "a.tar")]
    ran = engine.insula(*words, input=archive if from_stdin else None)
    assert (ran.status, ran.out, ran.err) == (0, "Loaded image: busybox:latest\n", "")
    assert engine.requests[0].body == archive


def test_a_failure_in_the_stream_is_a_failure(engine: Any) -> None:
    engine.on("POST /images/load", lines({"status": "reading"}, {"error": "the layer's digest differs"}))
    ran = engine.insula("load", input=b"x")
    assert (ran.status, ran.out, ran.err) == (1, "", "insula: the layer's digest differs\n")


def test_import(engine: Any) -> None:
    engine.on("POST /images/create", lines({"status": "sha256:0"}))
    ran = engine.insula("import", "-c", "CMD sh", "-c", "USER 1", "-m", "why", "-", "a:1", input=b"tar")
    assert (ran.status, ran.out) == (0, "sha256:0\n")
    assert engine.requests[0].target == (
        "/images/create?fromSrc=-&repo=a&tag=1&message=why&changes=CMD%20sh&changes=USER%201"
    )
    assert engine.insula("import", "http://x/y.tar").status == 0
    assert engine.requests[1].target == "/images/create?fromSrc=http%3A%2F%2Fx%2Fy.tar"
    assert engine.requests[1].body == b""


def test_a_file_that_is_not_there(engine: Any) -> None:
    ran = engine.insula("load", "-i", "/does/not/exist")
    assert (ran.status, ran.err) == (1, "insula: cannot read /does/not/exist: No such file or directory\n")


def test_bootstrap_sends_platforms_and_shows_lines(engine: Any) -> None:
    engine.on("POST /insula/bootstrap", lines({"status": "one"}, {"status": "two\x1b[2J"}))
    ran = engine.insula("bootstrap", "busybox", "--platform", "linux/arm64")
    assert (ran.status, ran.out) == (0, "one\ntwo [2J\n")
    assert engine.requests[0].document == {"what": "busybox", "platforms": ["linux/arm64"]}


def test_history(engine: Any, answer: Callable[..., bytes]) -> None:
    step = {"Id": "<missing>", "Created": 1, "CreatedBy": "RUN " + "x" * 100, "Size": 0, "Comment": ""}
    engine.on("GET /images/a/history", answer([step]))
    assert "RUN " + "x" * 40 + "…" in engine.insula("history", "a").out
