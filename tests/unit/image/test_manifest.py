"""Configs, manifests and indexes: what is read, and wrong types refused by the field's name."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insula.errors import InvalidArgument
from insula.image.manifest import digest_of, parse_config, parse_index, parse_manifest

CONFIG = {
    "architecture": "arm64",
    "os": "linux",
    "variant": "v8",
    "created": "2024-01-01T00:00:00Z",
    "config": {
        "Env": ["A=b"], "Cmd": ["sh"], "Entrypoint": ["/e"], "WorkingDir": "/w", "User": "u:g", "Labels": {"k": "v"},
        "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}, "StopSignal": "SIGINT", "Shell": ["/bin/sh", "-c"],
        "Healthcheck": {"Test": ["CMD", "true"]}, "OnBuild": None,
    },
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]},
    "history": [{"created_by": "x"}],
}  # fmt: skip
DESCRIPTOR = {"mediaType": "x", "digest": "sha256:" + "1" * 64, "size": 5}


def test_config() -> None:
    raw = json.dumps(CONFIG).encode()
    config = parse_config(raw)
    assert config.id == digest_of(raw)
    assert str(config.platform) == "linux/arm64"
    assert (config.env, config.cmd, config.entrypoint, config.shell) == (
        ("A=b",),
        ("sh",),
        ("/e",),
        ("/bin/sh", "-c"),
    )
    assert (config.working_dir, config.user, config.stop_signal) == ("/w", "u:g", "SIGINT")
    assert (config.labels, config.exposed_ports, config.volumes) == ({"k": "v"}, ("80/tcp",), ("/data",))
    assert config.healthcheck == {"Test": ["CMD", "true"]}
    assert (len(config.diff_ids), len(config.history), config.on_build) == (1, 1, ())


def test_config_of_nulls() -> None:
    config = parse_config(
        json.dumps({"config": {key: None for key in CONFIG["config"]}, "rootfs": None}).encode()
    )
    assert (config.cmd, config.labels, str(config.platform)) == ((), {}, "linux/amd64")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"config": []}, "config"), ({"config": 5}, "config"), ({"config": {"Cmd": "x"}}, "Cmd"),
        ({"config": {"Cmd": [None]}}, "Cmd"), ({"config": {"Env": ["a\0b"]}}, "Env"),
        ({"config": {"Labels": []}}, "Labels"), ({"config": {"Labels": {"a": 5}}}, "Labels"),
        ({"config": {"User": 0}}, "User"), ({"config": {"User": "x" * 300_000}}, "User"),
        ({"config": {"ExposedPorts": ["80"]}}, "ExposedPorts"), ({"config": {"Env": ["a"] * 10_001}}, "Env"),
        ({"rootfs": {"diff_ids": ["x"]}}, "diff_ids"), ({"rootfs": {"diff_ids": ["sha256:../../../x"]}}, "diff_ids"),
        ({"rootfs": {"diff_ids": ["sha256:" + "0" * 64] * 513}}, "diff_ids"), ({"history": [5]}, "history"),
        ({"architecture": ["x"]}, "architecture"), ({"os": 5}, "os"),
    ],
)  # fmt: skip
def test_wrong_types_are_named(change: dict, field: str) -> None:
    with pytest.raises(InvalidArgument, match=field):
        parse_config(json.dumps({**CONFIG, **change}).encode())


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"5", b"null", b"\xff\xfe", b"[" * 99999, b" " * (5 << 20)]
)
def test_no_documents(data: bytes) -> None:
    for parse in (parse_config, lambda d: parse_index(d, "x"), lambda d: parse_manifest(d, "x")):
        with pytest.raises(InvalidArgument):
            parse(data)


@pytest.mark.parametrize(
    "manifest",
    [
        {"schemaVersion": 1, "fsLayers": []}, {"config": None, "layers": []}, {"config": {}, "layers": []},
        {"config": DESCRIPTOR, "layers": {}}, {"config": DESCRIPTOR, "layers": [DESCRIPTOR] * 513},
        {"config": {**DESCRIPTOR, "size": -1}}, {"config": {**DESCRIPTOR, "size": True}},
        {"config": {**DESCRIPTOR, "digest": "sha256:" + "A" * 64}},
        {"config": DESCRIPTOR, "layers": [{**DESCRIPTOR, "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar"}]},
    ],
)  # fmt: skip
def test_no_manifests(manifest: dict) -> None:
    with pytest.raises(InvalidArgument):
        parse_manifest(json.dumps(manifest).encode(), "the manifest")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*CONFIG, *CONFIG["config"], "digest", "size", "layers", "manifests", "platform"]), inner, max_size=5),
)  # fmt: skip


@given(JSON)
def test_any_json_is_read_or_refused(value: object) -> None:
    data = json.dumps(value).encode()
    for parse in (parse_config, lambda d: parse_index(d, "x"), lambda d: parse_manifest(d, "x")):
        try:
            assert parse(data) is not None
        except InvalidArgument as error:
            assert error.message
