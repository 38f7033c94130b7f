"""What images take of the host's disk: every blob and disk counted once, and what of an image others share."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from insula.image.record import Image


@dataclass(frozen=True, slots=True)
class ImagesUsage:
    """Bytes. total: of all images' files; shared: by image id, of its files that another image has too."""

    total: int
    shared: dict[str, int]


def measure_images(images: Iterable[Image], disks: Path, blobs: Path) -> ImagesUsage:
    """Looks at the files, so it blocks: for a thread. One that is missing counts nothing."""
    files = {image.id: image_files(image, disks, blobs) for image in images}
    users = Counter(path for paths in files.values() for path in paths)
    sizes = {path: file_size(path) for path in users}
    shared = {id: sum(sizes[path] for path in paths if users[path] > 1) for id, paths in files.items()}
    return ImagesUsage(sum(sizes.values()), shared)


def image_files(image: Image, disks: Path, blobs: Path) -> set[Path]:
    found = {disks / name for name in image.disks}
    return found | {blobs / digest.removeprefix("sha256:") for digest in image.blobs()}


def file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
