"""One use of a container's files, by whoever reads or writes them."""

from dataclasses import dataclass

from insula.agent.session import Session


@dataclass(slots=True, eq=False)
class Visit:
    """moved: bytes so far."""

    session: Session
    moved: int = 0
