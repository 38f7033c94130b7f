"""Debian with PostgreSQL and MariaDB from its own packages, for amd64; made once and kept in build-out/."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from words import Words

KEPT = Path(__file__).resolve().parents[2] / "build-out" / "databases-1.tar"
PACKAGES = "postgresql-15,mariadb-server"
LEAN = ("usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*")
SUITE = "bookworm"


@contextmanager
def load_databases(docker: Words) -> Iterator[str]:
    """Its name; removed afterwards."""
    if not KEPT.exists():
        _make(KEPT)
    docker.succeed("import", "--platform", "linux/amd64", str(KEPT), "databases", timeout=600)
    yield "databases"
    docker.succeed("rmi", "databases")


def _make(path: Path) -> None:
    staged = path.with_suffix(".part.tar")
    excluded = [f"--dpkgopt=path-exclude=/{pattern}" for pattern in LEAN]
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=apt", "--architectures=amd64", f"--include={PACKAGES}",
         '--aptopt=APT::Install-Recommends "false"', *excluded, SUITE, str(staged)],
        check=True, timeout=900,
    )  # fmt: skip
    staged.chmod(0o644)
    staged.rename(path)
