"""A Dockerfile alone, in place of a context: what an address may have. It becomes a tar that has nothing else."""

import tarfile
from io import BytesIO
from pathlib import Path

from insula.build.parser import DOCKERFILE_MAX
from insula.build.taking import TAR_AT, TAR_MAGIC
from insula.errors import InvalidArgument
from insula.image.unfold import is_compressed


def is_text(path: Path) -> bool:
    """Whether it is neither a tar nor compressed. Blocking."""
    with path.open("rb") as file:
        file.seek(TAR_AT)
        return file.read(len(TAR_MAGIC)) != TAR_MAGIC and not is_compressed(path)


def wrap(path: Path, name: str) -> None:
    """Makes the file a tar of itself. Blocking. Raises InvalidArgument if it is too large for a Dockerfile."""
    with path.open("rb") as file:
        text = file.read(DOCKERFILE_MAX + 1)
    if len(text) > DOCKERFILE_MAX:
        raise InvalidArgument("what is at the context's address is no tar, and too large for a Dockerfile")
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(text)
        tar.addfile(info, BytesIO(text))
