"""What `insula build` sends: the context without what is ignored, the query, secrets."""

import base64
import io
import json
import os
import socket
import tarfile
from pathlib import Path

import pytest

from insula.cli.build import VERBS, Sending, arguments, find_agents, read_query, read_secrets
from insula.cli.build_context import Context
from insula.cli.failure import Failure
from insula.cli.flags import parse


def sent(folder: Path, dockerfile: str = "") -> dict[str, tarfile.TarInfo]:
    data = b"".join(Context(str(folder), dockerfile).chunks())
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "context"
    for name, text in (
        ("Dockerfile", "FROM a"), ("a", "a"), ("skip/x", "x"), ("skip/keep", "k"), ("deep/er/f", "f"),
        ("sub/Dockerfile", "FROM b"),
    ):  # fmt: skip
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    (made / "link").symlink_to("../elsewhere")
    return made


def test_everything_without_a_dockerignore(folder: Path) -> None:
    (folder / "long").mkdir()
    (folder / "long" / ("n" * 200)).write_text("")
    os.mkfifo(folder / "pipe")
    found = sent(folder)
    assert {"Dockerfile", "a", "skip/x", "deep/er/f", "link", "long/" + "n" * 200} < set(found)
    assert "pipe" not in found and found["link"].linkname == "../elsewhere"
    assert (found["a"].uid, found["a"].size, found["deep"].isdir()) == (0, 1, True)


def test_what_is_ignored_is_not_sent(folder: Path) -> None:
    (folder / ".dockerignore").write_text("skip\n!skip/keep\nDockerfile\nsub\n.dockerignore\n")
    assert set(sent(folder)) == {
        "Dockerfile", ".dockerignore", "a", "skip/keep", "deep", "deep/er", "deep/er/f", "link",
    }  # fmt: skip
    (folder / ".dockerignore").write_text("skip\nsub\n")
    assert not [name for name in sent(folder) if name.startswith("skip")]
    assert "sub/Dockerfile" in sent(folder, str(folder / "sub" / "Dockerfile"))
    (folder / "sub" / "Dockerfile.dockerignore").write_text("a\n")
    assert "a" not in sent(folder, str(folder / "sub" / "Dockerfile"))


def test_a_dockerfile_from_elsewhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "Other").write_text("FROM other")
    context = Context(str(folder), str(tmp_path / "Other"))
    assert context.dockerfile.startswith(".dockerfile.")
    with tarfile.open(fileobj=io.BytesIO(b"".join(context.chunks()))) as tar:
        member = tar.extractfile(context.dockerfile)
        assert member is not None and member.read() == b"FROM other"
    with pytest.raises(Failure, match="cannot read"):
        Context(str(folder), str(tmp_path / "nothing"))
    with pytest.raises(Failure, match="not found"):
        Context(str(tmp_path / "nowhere"), "")


def test_the_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HERE", "env")
    words = (
        "-t a -t b:1 --build-arg X=1 --build-arg FROM_HERE --build-arg NOT_HERE --label l=m --no-cache -m 64m "
        "--platform linux/amd64,linux/arm64 --ulimit nofile=10:20 --add-host h:1.2.3.4 --target t ."
    )
    query = read_query(parse(VERBS["build"].flags, words.split()))
    assert query["t"] == ["a", "b:1"] and query["nocache"] is True and query["memory"] == 64 << 20
    assert json.loads(str(query["buildargs"])) == {"X": "1", "FROM_HERE": "env"}
    assert query["platform"] == "linux/amd64,linux/arm64" and query["extrahosts"] == ["h:1.2.3.4"]
    assert json.loads(str(query["ulimits"])) == [{"Name": "nofile", "Soft": 10, "Hard": 20}]
    with pytest.raises(Failure):
        arguments(["=x"])


def test_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_bytes(b"\0key")
    monkeypatch.setenv("TOKEN", "t")
    header = read_secrets([f"id=a,src={tmp_path / 'key'}", "id=b,env=TOKEN", "id=TOKEN"])
    found = json.loads(base64.b64decode(header))
    assert {id: base64.b64decode(value) for id, value in found.items()} == {
        "a": b"\0key",
        "b": b"t",
        "TOKEN": b"t",
    }
    for wrong in ("", "src=", "id=x,foo=1", "id=x,src=/nowhere", "id=NOT_THERE_AT_ALL"):
        with pytest.raises(Failure):
            read_secrets([wrong])
    (tmp_path / "key").write_bytes(bytes(60_000))
    with pytest.raises(Failure, match="too large"):
        read_secrets([f"id=a,src={tmp_path / 'key'}"])


def test_a_context_at_an_address_is_not_sent() -> None:
    source = Sending("https://example.org/x.tar", "Other")
    assert (source.remote, source.dockerfile, list(source.chunks())) == (
        "https://example.org/x.tar",
        "Other",
        [],
    )
    with pytest.raises(Failure, match="Git repository is not there yet"):
        Sending("git@example.org:x.git", "")


def test_ssh_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (listener := socket.socket(socket.AF_UNIX)).bind(str(tmp_path / "agent"))
    (tmp_path / "key").write_text("")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    monkeypatch.chdir(tmp_path)
    agent = str(tmp_path / "agent")
    assert find_agents(["default", "git=agent"]) == {"default": agent, "git": agent}
    for wrong in ("default=key", "default=/nowhere"):
        with pytest.raises(Failure, match="no ssh agent's socket"):
            find_agents([wrong])
    monkeypatch.delenv("SSH_AUTH_SOCK")
    with pytest.raises(Failure, match="SSH_AUTH_SOCK is not set"):
        find_agents(["default"])
    listener.close()
