"""A small archive of packages as a mirror serves it: signed, over HTTP, with a security archive beside it.

with open_mirror(folder, "s390x") as mirror:
    mirror.publish("debian", "bookworm", [package])
    mirror.lag()          # from now on the security archive's lists are not those that it has signed
"""

import hashlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SECURITY = "debian-security"


@dataclass(frozen=True, slots=True)
class Package:
    """depends: the field; files: path → content."""

    name: str
    version: str
    depends: str = ""
    files: tuple[tuple[str, bytes], ...] = ()


class Mirror:
    """Both archives of one architecture, below one folder."""

    def __init__(self, folder: Path, architecture: str, url: str) -> None:
        self.url = url
        self._folder = folder / "www"
        self._keys = folder / "keys"
        self._architecture = architecture
        self._published = 0
        self._keys.mkdir(mode=0o700)
        self._gpg("--quick-gen-key", "archive@example.org", "ed25519", "sign", "never")
        self.keyring = folder / "keyring.gpg"
        self.keyring.write_bytes(self._gpg("--export"))

    @property
    def settings(self) -> str:
        """What config.toml says of it."""
        return f'mirror = "{self.url}/debian"\nsecurity_mirror = "{self.url}/{SECURITY}"\n'

    def publish(
        self, archive: str, suite: str, packages: Sequence[Package], architecture: str | None = None
    ) -> None:
        """Puts packages in the place of those that an archive has. architecture: the only one it has."""
        architecture = architecture or self._architecture
        text = "\n".join(self._build(archive, package) for package in packages).encode()
        place = f"main/binary-{architecture}/Packages"
        (listed := self._folder / archive / "dists" / suite / place).parent.mkdir(parents=True, exist_ok=True)
        listed.write_bytes(text)
        release = (
            f"Origin: Debian\nSuite: {suite}\nCodename: {suite}\nDate: {formatdate(usegmt=True)}\n"
            f"Architectures: {architecture}\nComponents: main\n"
            f"SHA256:\n {hashlib.sha256(text).hexdigest()} {len(text)} {place}\n"
        )
        signed = self._gpg("--clearsign", stdin=release.encode())
        (served := self._folder / archive / "dists" / suite / "InRelease").write_bytes(signed)
        self._published += (
            1  # what comes within one second would be the same to whoever asks for what has changed
        )
        os.utime(served, (0, time.time() - 86400 + 10 * self._published))

    def lag(self) -> None:
        """The security archive's lists are those of another day than its Release file."""
        for listed in (self._folder / SECURITY).rglob("Packages"):
            listed.write_bytes(listed.read_bytes() + b"\n")

    def _build(self, archive: str, package: Package) -> str:
        """Builds a package; its paragraph in the list."""
        control = (
            f"Package: {package.name}\nVersion: {package.version}\nArchitecture: {self._architecture}\n"
            f"Maintainer: nobody <nobody@example.org>\nDepends: {package.depends}\nDescription: for a test\n"
        )
        if not package.depends:
            control = control.replace("Depends: \n", "")
        name = f"{package.name}_{package.version}_{self._architecture}.deb"
        tree = self._folder.parent / "trees" / archive / name
        for path, content in (*package.files, ("DEBIAN/control", control.encode())):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content)
        (made := self._folder / archive / "pool" / name).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["dpkg-deb", "--build", "--root-owner-group", "-Znone", tree, made],
            check=True,
            capture_output=True,
        )
        data = made.read_bytes()
        return (
            f"{control}Filename: pool/{name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
        )

    def _gpg(self, *words: str, stdin: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self._keys), "--batch", "--quiet", "--passphrase", "", *words]
        return subprocess.run(command, input=stdin, check=True, capture_output=True).stdout

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", self._keys, "--kill", "all"], check=True, capture_output=True)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def open_mirror(folder: Path, architecture: str) -> Iterator[Mirror]:
    """A mirror on the loopback. folder: with a short name, for gpg has a socket in it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder / "www")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    mirror = Mirror(folder, architecture, f"http://127.0.0.1:{server.server_port}")
    try:
        yield mirror
    finally:
        mirror.close()
        server.shutdown()
        thread.join()
        server.server_close()
