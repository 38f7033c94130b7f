import json
from typing import Any

import pytest

from insula.container.settings import PATH, Settings, merge_environment, merge_settings
from insula.container.spec import ContainerSpec
from insula.errors import InvalidArgument
from insula.image.manifest import ImageConfig, parse_config

ID = "abcdef0123456789" * 4


def image(**config: Any) -> ImageConfig:
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    return parse_config(json.dumps(document).encode())


def merge(config: ImageConfig, **spec: Any) -> Settings:
    return merge_settings(ContainerSpec(image="i", **spec), config, ID)


BOTH = {"Entrypoint": ["/entry"], "Cmd": ["default"]}


@pytest.mark.parametrize(
    ("config", "spec", "arguments"),
    [
        (BOTH, {}, ("/entry", "default")),
        (BOTH, {"cmd": ("mine",)}, ("/entry", "mine")),
        (BOTH, {"cmd": ()}, ("/entry", "default")),
        (BOTH, {"entrypoint": ("/other",)}, ("/other",)),
        (BOTH, {"entrypoint": ("/other",), "cmd": ("mine",)}, ("/other", "mine")),
        (BOTH, {"entrypoint": ("",), "cmd": ("mine",)}, ("mine",)),
        ({"Cmd": ["default"]}, {}, ("default",)),
    ],
)
def test_what_is_run(config: dict[str, Any], spec: dict[str, Any], arguments: tuple[str, ...]) -> None:
    assert merge(image(**config), **spec).arguments == arguments


@pytest.mark.parametrize("spec", [{}, {"entrypoint": ("",)}, {"cmd": ()}])
def test_nothing_to_run(spec: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="no command specified"):
        merge(image(), **spec)


def test_environment() -> None:
    assert merge(image(Cmd=["x"])).env == (f"PATH={PATH}",)
    made = merge(image(Cmd=["x"], Env=["PATH=/own", "A=1", "B=2"]), env=("B=3", "C=4", "A"))
    assert made.env == ("PATH=/own", "A", "B=3", "C=4")  # A is shown, and taken away at the start
    assert merge_environment(("A=1",), ("A=",)) == ("A=",)


def test_the_rest() -> None:
    config = image(Cmd=["x"], User="u", WorkingDir="/w", Labels={"a": "1", "b": "2"}, StopSignal="SIGINT")
    made = merge(config, labels={"b": "3"})
    assert (made.user, made.working_dir, made.stop_signal) == ("u", "/w", "SIGINT")
    assert made.labels == {"a": "1", "b": "3"}
    assert made.hostname == ID[:12]
    made = merge(config, user="v", working_dir="/x", stop_signal="9", hostname="h")
    assert (made.user, made.working_dir, made.stop_signal, made.hostname) == ("v", "/x", "9", "h")
