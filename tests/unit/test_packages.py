"""Packages of a mirror: what is newest, what the security archive has, and what happens where that cannot be read."""

import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_paths import make_folder
from debian_archive import SECURITY, Mirror, Package, open_mirror
from insula import packages
from insula.errors import InsulaError
from insula.packages import fetch_package, find_dependency, find_gap
from insula.paths import Paths

ARCHITECTURE = "s390x"
SUITE = "bookworm"


def kernel(version: str) -> list[Package]:
    """A kernel and its meta-package."""
    return [
        Package("linux-image-s390x", version, f"linux-image-{version}-s390x (= {version}) | other"),
        Package(f"linux-image-{version}-s390x", version),
    ]


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """Kernel 6.1 in the archive, 6.2 in the security archive."""
    folder = make_folder()
    with open_mirror(folder, ARCHITECTURE) as mirror:
        monkeypatch.setattr(packages, "KEYRING", mirror.keyring)
        mirror.publish("debian", SUITE, kernel("6.1"))
        mirror.publish(SECURITY, f"{SUITE}-security", kernel("6.2"))
        yield mirror
    shutil.rmtree(folder)


@pytest.fixture
def paths(tmp_path: Path, mirror: Mirror) -> Paths:
    made = Paths(tmp_path / "home", tmp_path / "run")
    made.make()
    made.config.write_text(mirror.settings)
    return made


async def newest(paths: Paths) -> str:
    return await find_dependency(paths, "linux-image-s390x", "linux-image-", ARCHITECTURE)


def pass_time(paths: Paths, seconds: float) -> None:
    """The lists become so much older."""
    stamp = paths.packages / f"{SUITE}-{ARCHITECTURE}" / "updated"
    then = time.time() - seconds
    os.utime(stamp, (then, then))


async def test_the_security_archive_comes_first(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    assert await newest(paths) == "linux-image-6.2-s390x"
    assert await find_gap(paths, ARCHITECTURE) == ""
    fetched = await fetch_package(paths, "linux-image-6.2-s390x", ARCHITECTURE)
    assert fetched.name == "linux-image-6.2-s390x_6.2_s390x.deb" and fetched.stat().st_size
    assert not caplog.records


async def test_a_security_archive_that_cannot_be_read_is_told(
    mirror: Mirror, paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    """The archive's packages come instead; the next hour tries again."""
    mirror.lag()
    assert await newest(paths) == "linux-image-6.1-s390x"
    gap = await find_gap(paths, ARCHITECTURE)
    assert gap.startswith("the mirror's security archive cannot be read: Failed to fetch")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "bookworm-s390x: packages come without security updates" in caplog.text
    mirror.publish(SECURITY, f"{SUITE}-security", kernel("6.2"))
    pass_time(paths, 3000)
    assert await newest(paths) == "linux-image-6.1-s390x"
    pass_time(paths, 4000)
    assert await newest(paths) == "linux-image-6.2-s390x"
    assert await find_gap(paths, ARCHITECTURE) == ""


async def test_a_security_archive_out_of_reach_is_told(paths: Paths, mirror: Mirror) -> None:
    """apt by itself takes that for a passing trouble, and for success."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    settings = f'mirror = "{mirror.url}/debian"\nsecurity_mirror = "http://127.0.0.1:{port}/gone"\n'
    paths.config.write_text(settings)
    assert await newest(paths) == "linux-image-6.1-s390x"
    assert (await find_gap(paths, ARCHITECTURE)).startswith(
        "the mirror's security archive cannot be read: Failed"
    )
    paths.config.write_text(mirror.settings)
    pass_time(paths, 4000)
    assert await newest(paths) == "linux-image-6.2-s390x"


async def test_what_the_security_archive_had_does_not_give_way_to_older(
    mirror: Mirror, paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    await newest(paths)
    mirror.publish(SECURITY, f"{SUITE}-security", kernel("6.3"))
    mirror.lag()
    pass_time(paths, 90_000)
    assert await newest(paths) == "linux-image-6.2-s390x"
    assert await find_gap(paths, ARCHITECTURE) == ""
    assert "bookworm-s390x: the lists of an earlier day stay in use: Failed to fetch" in caplog.text


async def test_an_architecture_without_a_security_archive_is_told(mirror: Mirror, paths: Paths) -> None:
    """As those that have left a suite's long-term support."""
    shutil.rmtree(mirror.keyring.parent / "www" / SECURITY)
    mirror.publish(SECURITY, f"{SUITE}-security", [], architecture="amd64")
    assert await newest(paths) == "linux-image-6.1-s390x"
    assert await find_gap(paths, ARCHITECTURE) == "the security archive has nothing for bookworm-s390x"


async def test_a_mirror_without_a_security_archive_is_told(mirror: Mirror, paths: Paths) -> None:
    paths.config.write_text(f'mirror = "{mirror.url}/debian"\n')
    assert await newest(paths) == "linux-image-6.1-s390x"
    assert await find_gap(paths, ARCHITECTURE) == "the mirror that is configured has no security archive"


async def test_what_another_key_has_signed_is_refused(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "none.gpg").write_bytes(b"")
    monkeypatch.setattr(packages, "KEYRING", tmp_path / "none.gpg")
    with pytest.raises(InsulaError):
        await newest(paths)
    assert not (paths.packages / f"{SUITE}-{ARCHITECTURE}" / "updated").exists()
