"""The agent's answer that it could not, as an error that says at which step and why."""

import os

from insula.agent.reports import Step
from insula.errors import Internal

STEP_WORDS = {
    Step.REQUEST: "do what it was asked",
    Step.IDENTITY: "set its clock or its random generator",
    Step.DISKS: "find its disks",
    Step.MOUNT: "mount",
    Step.FILES: "place a file",
    Step.NETWORK: "set up its network",
    Step.SYSCTL: "set a sysctl",
    Step.CGROUP: "set up its cgroup",
    Step.NAMESPACES: "make its namespaces",
    Step.ROOT: "change to the container's root",
    Step.DEVICES: "make its devices",
    Step.USER: "find the user or group",
    Step.DIRECTORY: "enter the working directory",
    Step.LIMITS: "set limits or capabilities",
    Step.SECCOMP: "load the seccomp filter",
    Step.EXEC: "run the program",
    Step.TERMINAL: "open a terminal",
    Step.MODULE: "load a kernel module",
    Step.TREE: "walk the tree",
}


class GuestFailure(Internal):
    """The agent answered that it could not: at which step, with which errno, on which path or name.

    container/ turns it into Docker's words. The detail is the guest's own text."""

    def __init__(self, step: Step, errno: int, detail: str) -> None:
        on = f": {detail!r}" if detail else ""
        super().__init__(f"the guest could not {STEP_WORDS[step]}: {os.strerror(errno)}{on}")
        self.step = step
        self.errno = errno
        self.detail = detail
