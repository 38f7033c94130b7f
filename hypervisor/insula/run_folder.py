"""Where a user's daemon listens: of all names on disk (paths.py) what a command needs that finds it running.

Apart from them, without `pathlib`: a command starts as often as a container, and every import is part of that.
"""

import os

SOCKET_PATH_MAX = 107  # sizeof(sockaddr_un.sun_path) - 1, unix(7)
SOCKET_NAME = "docker.sock"


def find_run_folder() -> str:
    """The run directory of this user, absolute: from INSULA_RUN, else the usual place of root or of the user."""
    run = "/run/insula"
    if os.geteuid() != 0:
        run = f"{os.environ.get('XDG_RUNTIME_DIR') or f'/tmp/insula-{os.geteuid()}'}/insula"
    return os.path.join(os.getcwd(), os.environ.get("INSULA_RUN") or run)
