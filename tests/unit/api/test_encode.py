from dataclasses import replace
from typing import Any

import pytest

from insula.api.encode import (
    HOST_DEFAULTS,
    age_text,
    encode_exec,
    encode_inspect,
    encode_listed,
    status_text,
)
from insula.api.fields import HOST_CONFIG
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec, ExecSpec
from insula.container.view import ContainerView, ExecView, StateView

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND
NEVER = StateView("created", False, 0, 0, "", False, 0, 0)


def view(**spec: Any) -> ContainerView:
    settings = Settings(
        cmd=("sh", "-c", "a b"),
        env=("A=1",),
        labels={"l": "1"},
        hostname="h",
        exposed_ports=("80/tcp",),
        volumes=("/v",),
    )
    return ContainerView(
        id="f" * 64, name="web", created_ns=NOW, spec=ContainerSpec(image="busybox", **spec), settings=settings,
        image="busybox", image_id="sha256:1", platform="linux/arm64", state=NEVER, log_path=None, exec_ids=(),
    )  # fmt: skip


@pytest.mark.parametrize(
    "seconds,text",
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (7200, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (730 * 86400, "2 years"),
        (-5, "Less than a second"),
    ],
)
def test_ages_in_docker_s_words(seconds: int, text: str) -> None:
    assert age_text(seconds * SECOND) == text


def test_status_in_docker_s_words() -> None:
    def status(**change: Any) -> str:
        return status_text(replace(NEVER, **change), NOW)

    assert status() == "Created"
    assert status(status="running", running=True, started_ns=NOW - 300 * SECOND) == "Up 5 minutes"
    assert (
        status(status="exited", exit_code=3, finished_ns=NOW - 60 * SECOND) == "Exited (3) About a minute ago"
    )
    up = {"running": True, "started_ns": NOW - 300 * SECOND}
    assert status(status="paused", **up) == "Up 5 minutes (Paused)"
    assert (
        status(status="restarting", exit_code=2, finished_ns=NOW - 3 * SECOND, **up)
        == "Restarting (2) 3 seconds ago"
    )
    assert status(status="removing") == "Removal In Progress"
    assert status(status="dead") == "Dead"


def test_inspect_echoes_the_request_over_docker_s_defaults() -> None:
    shown = encode_inspect(
        view(
            memory=64 << 20,
            raw_host_config={"Memory": 64 << 20, "CapAdd": None},
            network_mode="none",
            tty=True,
        ),
        (1, 51),
    )
    assert (shown["Path"], shown["Args"]) == ("sh", ["-c", "a b"])
    assert shown["HostConfig"]["Memory"] == 64 << 20
    assert shown["HostConfig"]["NetworkMode"] == "none"
    assert shown["HostConfig"]["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert shown["Config"]["ExposedPorts"] == {"80/tcp": {}}
    assert shown["Config"]["Volumes"] == {"/v": {}}
    assert shown["Config"]["Tty"] is True
    assert shown["State"]["StartedAt"] == "0001-01-01T00:00:00Z"
    assert shown["Created"] == "2023-11-14T22:13:20Z"
    assert shown["Name"] == "/web"
    assert shown["Insula"]["Platform"] == "linux/arm64"
    assert list(shown["NetworkSettings"]["Networks"]) == ["none"]


def test_inspect_has_every_field_that_create_reads() -> None:
    optional = {
        "Annotations",
        "StorageOpt",
        "Tmpfs",
        "Sysctls",
        "Mounts",
        "Init",
        "KernelMemory",
        "KernelMemoryTCP",
    }
    shown = encode_inspect(view(), (1, 51))["HostConfig"]
    assert {field.name for field in HOST_CONFIG} - set(shown) == optional
    assert set(HOST_DEFAULTS) <= {field.name for field in HOST_CONFIG}


def test_fields_come_with_their_version() -> None:
    assert "ImageManifestDescriptor" in encode_inspect(view(), (1, 48))
    assert "ImageManifestDescriptor" not in encode_inspect(view(), (1, 47))
    annotated = view(raw_host_config={"Annotations": {"a": "b"}})
    assert encode_listed(annotated, "busybox", (1, 46))["HostConfig"]["Annotations"] == {"a": "b"}
    assert "Annotations" not in encode_listed(annotated, "busybox", (1, 45))["HostConfig"]


def test_the_list_quotes_words_with_spaces() -> None:
    shown = encode_listed(view(), "busybox", (1, 51))
    assert shown["Command"] == "sh -c 'a b'"
    assert shown["Names"] == ["/web"]
    assert shown["Created"] == 1_700_000_000


def test_an_exec() -> None:
    spec = ExecSpec(cmd=("ls", "-l"), user="u", tty=True, attach_stdout=True)
    shown = encode_exec(ExecView("id", "cid", spec, True, None, 5))
    assert shown["ProcessConfig"] == {
        "tty": True, "entrypoint": "ls", "arguments": ["-l"], "privileged": False, "user": "u",
    }  # fmt: skip
    assert (shown["Running"], shown["ExitCode"], shown["ContainerID"]) == (True, None, "cid")
