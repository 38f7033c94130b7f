"""`docker import http://…`: an image of a root file system's tar that a web server has."""

from insula.image.change import Change, make_imported_config
from insula.image.download import download
from insula.image.intake import ARCHIVE_MAX
from insula.image.record import Image
from insula.image.store import ImageStore


async def import_address(store: ImageStore, address: str, change: Change) -> Image:
    """Raises InvalidArgument, Unavailable."""
    make_imported_config(change, "sha256:" + 64 * "0")  # refuses wrong changes before fetching
    async with store.blobs.staging() as path:
        await download(address, path, "import", limit=ARCHIVE_MAX)
        return await store.import_file(path, change)
