"""The host's end against the golden vectors (tests/wire/vectors/README.md)."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from insula.agent.boot_document import BootDocument, Link, ProcessSpec
from insula.agent.fields import Reader, malformed
from insula.agent.limits import Limits
from insula.agent.messages import Message, decode
from insula.agent.process_table import ProcessesAnswer, Row
from insula.agent.reports import REPORTS, Exited, Welcome
from insula.agent.requests import REQUESTS, Boot, SetLink, Spawn, TreeWrite, Update
from insula.agent.tree import WriteFlag, decode_entry
from insula.agent.usage import UsageAnswer
from insula.agent.wire import Feed, Frame, encode
from insula.errors import Internal

VECTORS = Path(__file__).parent / "vectors"
Json = dict[str, Any]


def load(name: str) -> list[Json]:
    rows: list[Json] = json.loads((VECTORS / f"{name}.json").read_text())
    assert rows
    return rows


def vectors(name: str) -> pytest.MarkDecorator:
    rows = load(name)
    return pytest.mark.parametrize("vector", rows, ids=[row["name"] for row in rows])


def hexed(address: str) -> str:
    return ip_address(address).packed.ljust(16, b"\0").hex()


def link_fields(link: Link) -> Json:
    return {
        "nic": link.nic, "name": link.name, "mac": link.mac.hex(), "mtu": link.mtu,
        "addresses": [
            {"family": a.value.version, "address": hexed(str(a.value.ip)), "prefix": a.value.network.prefixlen}
            for a in link.addresses
        ],
        "routes": [
            {"family": r.destination.version, "destination": hexed(str(r.destination.network_address)),
             "prefix": r.destination.prefixlen, "gateway": hexed(str(r.gateway)) if r.gateway else "00" * 16}
            for r in link.routes
        ],
    }  # fmt: skip


def process_fields(spec: ProcessSpec) -> Json:
    sets = spec.capabilities
    return {
        "process": spec.number, "flags": spec.flags, "rows": spec.rows, "columns": spec.columns,
        "arguments": list(spec.arguments), "environment": list(spec.environment),
        "directory": spec.directory, "user": spec.user, "groups": list(spec.groups),
        "bounding": sets.bounding, "effective": sets.effective, "permitted": sets.permitted,
        "inheritable": sets.inheritable, "ambient": sets.ambient,
        "rlimits": [{"resource": x.resource, "soft": x.soft, "hard": x.hard} for x in spec.limits],
        "seccomp": spec.seccomp.hex(), "oom_score_adj": spec.oom_score_adj, "umask": spec.umask,
    }  # fmt: skip


def limit_fields(limits: Limits) -> Json:
    return asdict(limits) | {"io": [asdict(one) for one in limits.io]}


def row_fields(row: Row) -> Json:
    fields = asdict(row)
    fields["flags"] = fields.pop("foreground") | fields.pop("cut") << 1
    return fields | {"name": row.name.hex(), "command": row.command.hex()}


def boot_fields(document: BootDocument) -> Json:
    d = document
    return {
        "boot_number": d.number, "clock": d.clock_ns, "entropy": d.entropy.hex(), "hostname": d.hostname,
        "domainname": d.domainname, "root": int(d.disks), "layers": list(d.layers),
        "writable": {"kind": int(d.writable is not None), "index": d.writable or 0}, "flags": d.flags,
        "mounts": [
            {"kind": m.kind, "source": m.source, "target": m.target, "flags": m.flags, "data": m.data}
            for m in d.mounts
        ],
        "masked": list(d.masked), "readonly": list(d.read_only),
        "files": [{"path": f.path, "mode": f.mode, "content": f.content.hex()} for f in d.files],
        "links": [link_fields(link) for link in d.links],
        "sysctls": [{"path": s.path, "value": s.value} for s in d.sysctls],
        "limits": limit_fields(d.limits), "shm": d.shm, "main": process_fields(d.main), "reserved": "",
    }  # fmt: skip


def message_fields(message: Message) -> Json:
    fields = {name: getattr(message, name) for name in type(message).__match_args__}  # type: ignore[attr-defined]
    if isinstance(message, Welcome):
        states = [{name: getattr(p, name) for name in type(p).__match_args__} for p in message.processes]
        fields["processes"] = [state | {"flags": state.pop("tty")} for state in states]
        fields["state"] = fields.pop("booted")
    elif isinstance(message, Exited):
        fields["flags"] = fields.pop("oom") | fields.pop("core_dumped") << 1
    elif isinstance(message, Boot):
        fields["document"] = boot_fields(message.document)
    elif isinstance(message, Spawn):
        fields["document"] = process_fields(fields.pop("spec"))
    elif isinstance(message, TreeWrite) and not message.flags & WriteFlag.OWNED:
        del fields["owner"]
    elif isinstance(message, Update):
        fields["limits"] = limit_fields(message.limits)
    elif isinstance(message, SetLink):
        fields["link"] = link_fields(message.link)
    elif isinstance(message, UsageAnswer):
        usage = asdict(fields.pop("usage"))
        fields |= usage | {name: list(usage[name]) for name in ("devices", "links")}
    elif isinstance(message, ProcessesAnswer):
        fields["table"] = [row_fields(row) for row in fields.pop("rows")]
    for name in ("clock", "uptime"):
        if f"{name}_ns" in fields:
            fields[name] = fields.pop(f"{name}_ns")
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}


@vectors("frames")
def test_every_message_is_read_and_written_as_the_vectors_say(vector: Json) -> None:
    raw = bytes.fromhex(vector["frame"])
    (frame,) = Feed().feed(raw)
    assert frame == Frame(vector["type"], vector["epoch"], bytes.fromhex(vector["payload"]))
    message = decode(frame, REQUESTS if vector["direction"] == "host" else REPORTS)
    expected = dict(vector["fields"])
    if "document" in expected:
        expected["document"] = next(
            d["fields"] for d in load("documents") if d["name"] == expected["document"]
        )
    assert message_fields(message) == expected
    assert encode(message.TYPE, frame.epoch, message.encode()) == raw


def decode_limits(payload: bytes) -> Limits:
    with malformed("limits"):
        reader = Reader(payload, "limits")
        limits = Limits.decode(reader)
        reader.end()
        return limits


def decode_link(payload: bytes) -> Link:
    with malformed("link"):
        reader = Reader(payload, "link")
        link = Link.decode(reader)
        reader.end()
        return link


Document = BootDocument | ProcessSpec | Limits | Link
DECODERS: dict[str, Callable[[bytes], Document]] = {
    "boot": BootDocument.decode, "process": ProcessSpec.decode, "limits": decode_limits, "link": decode_link,
}  # fmt: skip


def document_fields(document: Document) -> Json:
    if isinstance(document, Link):
        return link_fields(document)
    if isinstance(document, Limits):
        return limit_fields(document)
    return boot_fields(document) if isinstance(document, BootDocument) else process_fields(document)


@vectors("documents")
def test_documents(vector: Json) -> None:
    payload = bytes.fromhex(vector["payload"])
    if vector["name"] == "no arguments":  # well-formed, but a host that built it would be wrong
        with pytest.raises(Internal, match="executable file not found"):
            ProcessSpec.decode(payload)
        return
    document = DECODERS[vector["kind"]](payload)
    assert document_fields(document) == vector["fields"]
    assert document.encode() == payload


@vectors("bad_documents")
def test_bad_documents_are_refused(vector: Json) -> None:
    with pytest.raises(Internal, match="malformed"):
        DECODERS[vector["kind"]](bytes.fromhex(vector["payload"]))


@vectors("bad_frames")
def test_bad_frames_yield_nothing(vector: Json) -> None:
    feed = Feed()
    assert feed.feed(bytes.fromhex(vector["frame"])) == []
    assert feed.skipped


@pytest.mark.parametrize("size", [1, 2, 3, 7, 19, 20, 21, 1 << 20])
@vectors("streams")
def test_streams_are_read_the_same_in_pieces_of_any_size(vector: Json, size: int) -> None:
    stream, feed = bytes.fromhex(vector["stream"]), Feed()
    frames = [frame for at in range(0, len(stream), size) for frame in feed.feed(stream[at : at + size])]
    assert frames == [Frame(f["type"], f["epoch"], bytes.fromhex(f["payload"])) for f in vector["frames"]]


@vectors("trees")
def test_tree_entries(vector: Json) -> None:
    raw = bytes.fromhex(vector["bytes"])
    entry = decode_entry(raw[4 : 4 + int.from_bytes(raw[:4], "little")])
    fields = {name: getattr(entry, name) for name in type(entry).__match_args__}
    fields["xattrs"] = [{"name": x.decode(), "value": value.hex()} for x, value in fields["xattrs"]]
    fields["extents"] = [{"offset": offset, "length": length} for offset, length in fields["extents"]]
    fields |= {"path": entry.path.decode(), "link": entry.link.decode()}
    assert fields == vector["entry"]
    assert entry.encode() + bytes.fromhex(vector["content"]) == raw
    assert entry.stored == len(bytes.fromhex(vector["content"]))


def test_the_vectors_are_those_their_script_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, VECTORS / "make_vectors.py", tmp_path], check=True, timeout=60)
    for made in tmp_path.iterdir():
        assert made.read_text() == (VECTORS / made.name).read_text()
