"""The agent's own readers and writers against the golden vectors, and the vectors against their page's script."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from host_end import ROOT

VECTORS = ROOT / "tests" / "wire" / "vectors"
Answer = Callable[[str, list[str]], list]


def load(name: str) -> list[dict]:
    return json.loads((VECTORS / f"{name}.json").read_text())


@pytest.fixture
def answers(tool: Callable[[str], Path]) -> Answer:
    def ask(verb: str, lines: list[str]) -> list:
        done = subprocess.run(
            [tool("vectors"), verb],
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return ask


def test_vectors_are_what_the_page_says(tmp_path: Path) -> None:
    subprocess.run([sys.executable, VECTORS / "make_vectors.py", tmp_path], check=True)
    for made in tmp_path.iterdir():
        assert made.read_bytes() == (VECTORS / made.name).read_bytes(), made.name


def test_frames_are_read(answers: Answer) -> None:
    frames = load("frames")
    got = answers("read", [f["frame"] for f in frames])
    assert got == [[{k: f[k] for k in ("type", "epoch", "payload")}] for f in frames]


def test_frames_are_written(answers: Answer) -> None:
    frames = load("frames")
    assert answers("write", [f"{f['epoch']} {f['type']} {f['payload']}" for f in frames]) == [
        f["frame"] for f in frames
    ]


def test_streams_with_rubbish_yield_their_frames(answers: Answer) -> None:
    streams = load("streams")
    assert answers("read", [s["stream"] for s in streams]) == [s["frames"] for s in streams]


def test_bad_frames_yield_nothing(answers: Answer) -> None:
    bad = load("bad_frames")
    assert answers("read", [b["frame"] for b in bad]) == [[]] * len(bad)


@pytest.mark.parametrize("kind", ["boot", "process", "limits", "link"])
def test_documents_are_read(answers: Answer, kind: str) -> None:
    documents = [d for d in load("documents") if d["kind"] == kind]
    assert documents
    for document, got in zip(documents, answers(kind, [d["payload"] for d in documents]), strict=True):
        assert got == document["fields"], document["name"]


@pytest.mark.parametrize("kind", ["boot", "process", "limits", "link"])
def test_bad_documents_are_refused(answers: Answer, kind: str) -> None:
    bad = [d for d in load("bad_documents") if d["kind"] == kind]
    assert bad
    for document, got in zip(bad, answers(kind, [d["payload"] for d in bad]), strict=True):
        assert got is None, document["name"]


def test_documents_cut_anywhere_are_refused(answers: Answer) -> None:
    for document in load("documents"):
        whole = document["payload"]
        cuts = [whole[:at] for at in range(0, len(whole), 2)]
        assert set(answers(document["kind"], cuts)) == {None}, document["name"]


def test_tree_entries_are_read_and_written(answers: Answer) -> None:
    trees = load("trees")
    lines = [t["bytes"].removesuffix(t["content"]) for t in trees]
    for tree, line, got in zip(trees, lines, answers("entry", lines), strict=True):
        assert got.pop("again") == line, tree["name"]
        assert got == tree["entry"], tree["name"]


def flat(value: dict | list | str | int) -> list:
    """All words in their order, a list's with their number before them; no text is `-`."""
    if isinstance(value, dict):
        return [word for item in value.values() for word in flat(item)]
    if isinstance(value, list):
        return [len(value), *(word for item in value for word in flat(item))]
    return ["-" if value == "" else value]


def words(message: dict) -> str:
    fields = dict(message["fields"])
    if message["message"] == "USAGE_ANSWER":
        fields = {str(at): word for at, word in enumerate(flat(fields))}
    elif message["message"] == "PROCESSES_ANSWER":
        fields["table"] = [row | {"state": ord(row["state"])} for row in fields["table"]]
        fields = {str(at): word for at, word in enumerate(flat(fields))}
    elif message["message"] == "WELCOME":
        rows = fields.pop("processes")
        del fields["version"]
        fields["count"] = len(rows)
        for number, row in enumerate(rows):
            fields |= {(number, key): value for key, value in row.items()}
    return " ".join(map(str, [message["epoch"], message["message"], *fields.values()]))


def test_messages_of_the_agent_are_written(answers: Answer) -> None:
    messages = [f for f in load("frames") if f["direction"] == "agent"]
    for message, got in zip(messages, answers("message", [words(m) for m in messages]), strict=True):
        assert got == message["frame"], message["name"]
