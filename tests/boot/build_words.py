"""Builds in a test's words: a context written, the docker command's classic builder run on it."""

from collections.abc import Mapping
from pathlib import Path

from words import Words

CLASSIC = {"DOCKER_BUILDKIT": "0"}


def write_context(place: Path, dockerfile: str, files: Mapping[str, str | bytes] | None = None) -> str:
    (place / "Dockerfile").write_text(dockerfile)
    for name, content in (files or {}).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return str(place)


def build(docker: Words, *args: str, code: int = 0) -> tuple[str, str]:
    """What the docker command printed."""
    done = docker.daemon.docker("build", *args, env=CLASSIC, timeout=300)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == code, (args, done.returncode, out[-3000:], err[-3000:], docker.health())
    return out, err
