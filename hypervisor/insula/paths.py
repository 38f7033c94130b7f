"""Every name on disk, and nothing that touches the disk but `make`.

The state root (INSULA_HOME) outlives a reboot; the run directory (INSULA_RUN) need not. docs/on-disk.md lists
each name with its meaning, and a test compares. Socket paths are checked here against the kernel's limit, so
that a too long INSULA_RUN is refused by name instead of failing in the middle of a start.
"""

import os
from pathlib import Path
from typing import NamedTuple

from insula.errors import InvalidArgument
from insula.run_folder import SOCKET_NAME, SOCKET_PATH_MAX, find_run_folder

SOURCE_ROOT = Path(__file__).resolve().parents[2]
"""The checkout: where images/ and guest-agent/ lie beside hypervisor/."""


class Paths(NamedTuple):
    """All paths below one state root and one run directory."""

    home: Path
    run: Path

    # -- state root
    @property
    def database(self) -> Path:
        return self.home / "insula.db"

    @property
    def config(self) -> Path:
        return self.home / "config.toml"

    @property
    def blobs(self) -> Path:
        return self.home / "images" / "blobs"

    @property
    def layer_disks(self) -> Path:
        return self.home / "images" / "disks"

    @property
    def staging(self) -> Path:
        """Unfinished files; emptied when a daemon starts. On the file system of the state root, for rename."""
        return self.home / "staging"

    @property
    def kernels(self) -> Path:
        return self.home / "kernels"

    @property
    def templates(self) -> Path:
        return self.home / "templates"

    @property
    def jails(self) -> Path:
        """Read-only roots for QEMU, one for each build of it; open to the machines' ids."""
        return self.home / "jails"

    @property
    def packages(self) -> Path:
        """Downloaded distribution packages and the private apt state."""
        return self.home / "packages"

    @property
    def accelerators(self) -> Path:
        """What the last real boots said about KVM, per host boot."""
        return self.home / "accelerators.json"

    @property
    def daemon_log(self) -> Path:
        return self.home / "daemon.log"

    def container(self, container_id: str) -> Path:
        return self.home / "containers" / container_id

    def container_log(self, container_id: str) -> Path:
        return self.container(container_id) / "log.json"

    def writable_disk(self, container_id: str) -> Path:
        return self.container(container_id) / "writable.ext4"

    @property
    def writable_layers(self) -> Path:
        """The blank writable disk and a few copies of it, ready to be taken by containers."""
        return self.home / "writable"

    @property
    def volumes(self) -> Path:
        """A folder for each volume."""
        return self.home / "volumes"

    def failed_start(self, container_id: str) -> Path:
        """Arguments, console and QEMU's words of the last start that failed."""
        return self.container(container_id) / "failed-start.log"

    def machine_end(self, container_id: str) -> Path:
        """The same of the last run that its machine ended, and not its program."""
        return self.container(container_id) / "machine-end.log"

    # -- the host's, shared by all daemons of root's
    @property
    def slots(self) -> Path:
        """A file for each id of machines, locked while a machine has it."""
        return Path("/run/insula-slots")

    # -- run directory
    @property
    def socket(self) -> Path:
        return self.run / SOCKET_NAME

    @property
    def pid_file(self) -> Path:
        return self.run / "daemon.pid"

    @property
    def lock(self) -> Path:
        return self.run / "daemon.lock"

    @property
    def start_lock(self) -> Path:
        """Held by the command that starts a daemon."""
        return self.run / "start.lock"

    @property
    def machines(self) -> Path:
        return self.run / "machines"

    def machine(self, machine_id: str) -> Path:
        return self.machines / machine_id

    def qmp_socket(self, machine_id: str) -> Path:
        return self.machine(machine_id) / "qmp"

    def agent_socket(self, machine_id: str) -> Path:
        return self.machine(machine_id) / "agent"

    def make(self) -> None:
        """Creates the fixed folders, private to the daemon's user.

        Raises InvalidArgument if a socket's path would not fit."""
        longest = self.agent_socket("0" * 16)
        if len(os.fsencode(longest)) > SOCKET_PATH_MAX:
            raise InvalidArgument(
                f"the run directory {self.run} is too long for socket paths ({SOCKET_PATH_MAX} bytes at most)",
                "set INSULA_RUN to a shorter path",
            )
        self.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.home, self.jails):
            # machines run under ids of their own and must reach their roots: search, no more
            if not folder.exists():
                folder.mkdir(parents=True)
                folder.chmod(0o711)  # whatever the umask
        for folder in (
            self.blobs, self.layer_disks, self.staging, self.kernels, self.templates, self.packages,
            self.home / "containers", self.volumes, self.machines,
        ):  # fmt: skip
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def find_paths() -> Paths:
    """The paths of this user: from INSULA_HOME and INSULA_RUN, else the usual places of root or of the user."""
    home = Path("/var/lib/insula")
    if os.geteuid() != 0:
        data = os.environ.get("XDG_DATA_HOME")
        user_home = Path(os.environ.get("HOME", "/"))
        home = (Path(data) if data else user_home / ".local/share") / "insula"
    return Paths(Path(os.environ.get("INSULA_HOME") or home).absolute(), Path(find_run_folder()))
