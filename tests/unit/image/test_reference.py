"""Names of images and platforms: Docker's forms, canonical and familiar, and what is refused."""

import pytest

from insula.errors import InvalidArgument
from insula.image.reference import find_id_prefix, make_platform, parse_platform, parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("user/app", "docker.io/user/app:latest", "user/app:latest"),
        ("a/b/c:T", "docker.io/a/b/c:T", "a/b/c:T"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("registry:5000/app", "registry:5000/app:latest", "registry:5000/app:latest"),
        ("Registry/app", "Registry/app:latest", "Registry/app:latest"),
        ("[::1]:5000/app:x", "[::1]:5000/app:x", "[::1]:5000/app:x"),
        ("a__b.c-d---e", "docker.io/library/a__b.c-d---e:latest", "a__b.c-d---e:latest"),
        (f"app@{DIGEST}", f"docker.io/library/app@{DIGEST}", f"app@{DIGEST}"),
        (f"app:1@{DIGEST}", f"docker.io/library/app:1@{DIGEST}", f"app:1@{DIGEST}"),
    ],
)
def test_references(text: str, canonical: str, familiar: str) -> None:
    reference = parse_reference(text)
    assert (reference.canonical, reference.familiar) == (canonical, familiar)
    assert parse_reference(reference.canonical) == parse_reference(reference.familiar) == reference


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "a:", "a:b:c", "a@", "a@sha256:short", "a@sha512:" + "0" * 128, "A", "-a", "a-", "a..b",
        "a/", "/a", "a//b", "../a", "a/../b", "a b", "a\n", "a\0", "a:" + "x" * 129, "x" * 5000, "a" * 300,
        "re gistry.io/a", "host:port/a", "ä", "a:ä", "a" * 64,
    ],
)  # fmt: skip
def test_no_references(text: str) -> None:
    with pytest.raises(InvalidArgument) as failure:
        parse_reference(text)
    assert "\n" not in str(failure.value) and len(str(failure.value)) < 400


def test_ids_and_their_beginnings() -> None:
    assert find_id_prefix("abcd") == "abcd"
    assert find_id_prefix(DIGEST) == "a" * 64
    for text in ("abc", "busybox", "ABCD", "a" * 65, "sha256:", "abcd\n"):
        assert find_id_prefix(text) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("linux/amd64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("linux/x86-64/v1", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("Linux/ARM64", "linux/arm64"),
        ("arm", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("armel", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("i386", "linux/386"),
        ("linux/ppc64el", "linux/ppc64le"),
    ],
)
def test_platforms(text: str, shown: str) -> None:
    assert str(parse_platform(text)) == shown


def test_os_alone_is_of_this_host() -> None:
    assert parse_platform("linux").os == "linux"


@pytest.mark.parametrize(
    "text", ["", "/", "linux/", "a/b/c/d", "linux/am d64", "../x", "linux/" + "x" * 40, "x" * 200, "foobar"]
)
def test_no_platforms(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_platform(text)


def test_variant_asked_for_must_be_there() -> None:
    v6 = make_platform("linux", "arm", "v6")
    assert v6.offers(v6) and not v6.offers(make_platform("linux", "arm", "v7"))
    assert make_platform("linux", "amd64", "v3").offers(make_platform("linux", "amd64"))
