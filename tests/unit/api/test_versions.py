import pytest

from insula.api.versions import split_version
from insula.errors import InvalidArgument


@pytest.mark.parametrize(
    "path,version,rest",
    [
        ("/info", (1, 51), "/info"),
        ("/v1.24/info", (1, 24), "/info"),
        ("/v1.22/a/v1.30/b", (1, 22), "/a/v1.30/b"),
        ("/v1.44", (1, 51), "/v1.44"),
        ("/vx/info", (1, 51), "/vx/info"),
    ],
)
def test_prefixes(path: str, version: tuple[int, int], rest: str) -> None:
    assert split_version(path) == (version, rest)


@pytest.mark.parametrize(
    "path,words",
    [("/v1.21/x", "too old"), ("/v0.1/x", "too old"), ("/v1.52/x", "too new"), ("/v2.0/x", "too new")],
)
def test_versions_that_are_not_spoken(path: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        split_version(path)
