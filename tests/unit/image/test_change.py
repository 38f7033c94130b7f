"""The instructions of `--change`."""

import pytest

from insula.errors import InvalidArgument
from insula.image.change import apply_changes


def test_instructions() -> None:
    config = apply_changes(
        {"Env": ["A=1", "B=2"], "Labels": {"x": "1"}},
        (
            'CMD ["sh", "-c"]', "ENTRYPOINT exec top", 'env A=3 C="d e"', "ENV OLD form of it", "LABEL y=2",
            "EXPOSE 80 53/udp 90-92", 'VOLUME ["/a", "/b"]', "VOLUME /c", "USER 5:6", "WORKDIR /w", "STOPSIGNAL 9",
            "ONBUILD RUN x",
        ),
    )  # fmt: skip
    assert config == {
        "Cmd": ["sh", "-c"],
        "Entrypoint": ["/bin/sh", "-c", "exec top"],
        "Env": ["B=2", "A=3", "C=d e", "OLD=form of it"],
        "Labels": {"x": "1", "y": "2"},
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "90-92/tcp": {}},
        "Volumes": {"/a": {}, "/b": {}, "/c": {}},
        "User": "5:6",
        "WorkingDir": "/w",
        "StopSignal": "9",
        "OnBuild": ["RUN x"],
    }


@pytest.mark.parametrize(
    "line", ["", "CMD", "RUN x", "COPY a b", "ENV A", "ENV A=1 B", "LABEL a='", "EXPOSE x", "EXPOSE 0", "EXPOSE 70000", "ENV " + "x" * 70000]
)  # fmt: skip
def test_refused(line: str) -> None:
    with pytest.raises(InvalidArgument):
        apply_changes({}, (line,))
