"""Alpine and Python for amd64, as somebody else built them: the OCI layout in a package's wheel."""

import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from words import Words

WHEELS = Path(__file__).resolve().parents[2] / "build-out" / "flashvm"
WHEEL = "flashvm-0.1.3-*.whl"


@contextmanager
def load_python_image(docker: Words, folder: Path) -> Iterator[str]:
    """Its id; removed afterwards. folder: for the archive."""
    if not (found := list(WHEELS.glob(WHEEL))):
        fetch = ("download", "-q", "--no-deps", "--platform", "manylinux_2_39_x86_64", "--only-binary=:all:")
        subprocess.run([sys.executable, "-m", "pip", *fetch, "-d", WHEELS, "flashvm==0.1.3"], check=True)
        found = list(WHEELS.glob(WHEEL))
    with zipfile.ZipFile(found[0]) as wheel, tarfile.open(folder / "image.tar", "w") as archive:
        for info in wheel.infolist():
            name = info.filename.removeprefix("flashvm/data/oci/")
            if name != info.filename and not info.is_dir():
                member = tarfile.TarInfo(name)
                member.size = info.file_size
                archive.addfile(member, io.BytesIO(wheel.read(info)))
    image = docker.succeed("load", "-q", "-i", str(folder / "image.tar")).rpartition(": ")[2].strip()
    yield image
    docker.succeed("rmi", image)
