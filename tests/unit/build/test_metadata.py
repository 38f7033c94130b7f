from typing import Any

import pytest

from insula.build.arguments import Arguments, platform_arguments
from insula.build.metadata import Change, change_config, read_duration, workdir_of
from insula.build.parser import Instruction, parse
from insula.errors import InvalidArgument
from insula.image.reference import parse_platform


def only(text: str) -> Instruction:
    return parse(text.encode()).instructions[0]


def changed(
    *lines: str, config: dict[str, Any] | None = None, **values: str
) -> tuple[dict[str, Any], list[str]]:
    """The config after some instructions, and history's words for them."""
    document: dict[str, Any] = {"config": config or {}}
    words, cmd_set = [], False
    for line in lines:
        change = Change(document, values, "\\", cmd_set)
        words.append(change_config(change, only(line)))
        cmd_set = change.cmd_set
    return document["config"], words


def test_env_and_labels() -> None:
    config, words = changed(
        'ENV A=1 B="$V x"', "ENV A 2 3", "LABEL a=b 'c d'=e", config={"Env": ["P=q", "A=0"]}, V="v"
    )
    assert config["Env"] == ["P=q", "A=2 3", "B=v x"]
    assert config["Labels"] == {"a": "b", "c d": "e"}
    assert words == ["ENV A=1 B=v x", "ENV A=2 3", "LABEL a=b c d=e"]


def test_commands() -> None:
    config, words = changed("CMD echo $X", 'CMD ["a", "b"]', config={"Shell": ["/bin/bash", "-c"]})
    assert config["Cmd"] == ["a", "b"] and words[0] == 'CMD ["/bin/bash" "-c" "echo $X"]'
    config, _ = changed("ENTRYPOINT x", config={"Cmd": ["inherited"]})
    assert config["Entrypoint"] == ["/bin/sh", "-c", "x"] and config["Cmd"] is None
    config, _ = changed("CMD y", "ENTRYPOINT x")
    assert config["Cmd"] == ["/bin/sh", "-c", "y"]
    assert changed('SHELL ["/x", "-y"]')[0]["Shell"] == ["/x", "-y"]


def test_the_rest() -> None:
    config, words = changed(
        "EXPOSE 80 $P/udp 90-92", "VOLUME /a /b", 'VOLUME ["/c d"]', "USER $U:x", "STOPSIGNAL SIGINT",
        "ONBUILD RUN echo $X", P="53", U="me",
    )  # fmt: skip
    assert sorted(config["ExposedPorts"]) == ["53/udp", "80/tcp", "90/tcp", "91/tcp", "92/tcp"]
    assert sorted(config["Volumes"]) == ["/a", "/b", "/c d"]
    assert (config["User"], config["StopSignal"], config["OnBuild"]) == ("me:x", "SIGINT", ["RUN echo $X"])
    assert words[1] == "VOLUME [/a /b]"
    document: dict[str, Any] = {}
    assert change_config(Change(document, {}, "\\"), only("MAINTAINER me <me@x>")) == "MAINTAINER me <me@x>"
    assert document["author"] == "me <me@x>"


def test_health_checks() -> None:
    text = "HEALTHCHECK --interval=5s --timeout=1m30s --start-period=500ms --retries=3 CMD curl -f x"
    assert changed(text)[0]["Healthcheck"] == {
        "Test": ["CMD-SHELL", "curl -f x"], "Interval": 5 * 10**9, "Timeout": 90 * 10**9, "StartPeriod": 5 * 10**8,
        "Retries": 3,
    }  # fmt: skip
    assert changed('HEALTHCHECK CMD ["a", "b"]')[0]["Healthcheck"] == {"Test": ["CMD", "a", "b"]}
    assert changed("HEALTHCHECK NONE")[0]["Healthcheck"] == {"Test": ["NONE"]}


@pytest.mark.parametrize(
    "line",
    [
        "EXPOSE x", "EXPOSE 70000", "STOPSIGNAL NOPE", "HEALTHCHECK x", "HEALTHCHECK CMD", "HEALTHCHECK NONE x",
        "HEALTHCHECK --interval=x CMD a", "HEALTHCHECK --retries=0 CMD a", "HEALTHCHECK --interval=1ns CMD a",
        "ENV A=${", 'VOLUME [""]', "ENV ${X}=1", "LABEL $X=1",
    ],
)  # fmt: skip
def test_refused_with_the_line(line: str) -> None:
    with pytest.raises(InvalidArgument, match="dockerfile parse error on line 1: "):
        changed(line)


def test_working_directories() -> None:
    def to(text: str, before: str = "") -> str:
        return workdir_of(
            Change({"config": {"WorkingDir": before}}, {"D": "/v"}, "\\"), only(f"WORKDIR {text}")
        )

    assert [to("a"), to("/a/../b/"), to("c", "/a"), to("$D/x", "/a"), to("..", "/a/b")] == [
        "/a", "/b", "/a/c", "/v/x", "/a",
    ]  # fmt: skip


def test_durations() -> None:
    assert [read_duration(t) for t in ("0", "1h1m1.5s", "3us", "10ns")] == [0, 3661_500_000_000, 3000, 10]
    for text in ("", "5", "s", "1x", "-1s", "1s 2s"):
        with pytest.raises(InvalidArgument):
            read_duration(text)


def test_arguments() -> None:
    amd, arm = parse_platform("linux/amd64"), parse_platform("linux/arm/v7")
    given: dict[str, str | None] = {
        "A": "given",
        "HTTP_PROXY": "p",
        "no_proxy": "n",
        "X": "unused",
        "N": None,
    }
    arguments = Arguments(given, platform_arguments(arm, amd))
    for line in ("ARG V=1", "ARG W=$V-2", "ARG A=default"):
        arguments.declare_global(only(line), "\\")
    assert arguments.for_from()["W"] == "1-2" and arguments.for_from()["TARGETVARIANT"] == "v7"
    assert arguments.for_from()["BUILDPLATFORM"] == "linux/amd64"

    def declared(text: str, **values: str) -> dict[str, str]:
        return arguments.declare(only(text), values, "\\")

    assert declared("ARG A=own W V=3") == {"A": "given", "W": "1-2", "V": "3"}
    assert declared("ARG B") == {} and declared("ARG C=$E/x", E="e") == {"C": "e/x"}
    assert declared("ARG TARGETARCH N=5") == {"TARGETARCH": "arm", "N": "5"}
    assert arguments.proxies() == {"HTTP_PROXY": "p", "no_proxy": "n"}
    assert arguments.unused() == ["X"]


def test_a_time_for_everything() -> None:
    assert Arguments({"SOURCE_DATE_EPOCH": "12"}, {}).epoch() == 12
    assert Arguments({}, {}).epoch() is None
    with pytest.raises(InvalidArgument):
        Arguments({"SOURCE_DATE_EPOCH": "x"}, {}).epoch()
