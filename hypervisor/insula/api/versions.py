"""Which API versions are spoken, and the headers that say so on every answer.

1.24 to 1.51 are announced; 1.22 and 1.23 pass, because old clients that need nothing newer speak them.
"""

import re

from insula.errors import InvalidArgument

Version = tuple[int, int]

API_VERSION: Version = (1, 51)
MIN_API_VERSION: Version = (1, 24)
LENIENT_MIN: Version = (1, 22)
VERSION = "0.1.0"
PREFIX = re.compile(r"/v(\d{1,4})\.(\d{1,4})(?=/)", re.ASCII)

HEADERS = {
    "Server": f"Docker/{VERSION} (linux) Insula/{VERSION}",
    "Api-Version": "1.51",
    "Ostype": "linux",
    "Docker-Experimental": "true",  # else the docker command has no `build --squash`
}


def split_version(path: str) -> tuple[Version, str]:
    """The version that a path asks for, and the rest. Raises InvalidArgument, in Docker's words."""
    match = PREFIX.match(path)
    if match is None:
        return API_VERSION, path
    version = int(match[1]), int(match[2])
    if version < LENIENT_MIN:
        raise InvalidArgument(
            f"client version {match[1]}.{match[2]} is too old. Minimum supported API version is "
            f"{MIN_API_VERSION[0]}.{MIN_API_VERSION[1]}, please upgrade your client to a newer version"
        )
    if version > API_VERSION:
        raise InvalidArgument(
            f"client version {match[1]}.{match[2]} is too new. Maximum supported API version is "
            f"{API_VERSION[0]}.{API_VERSION[1]}"
        )
    return version, path[match.end() :]
