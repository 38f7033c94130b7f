"""What is common to the messages of both ends (docs/protocol.md §3): one frozen dataclass a type.

Decoding is strict, for the sender is a hostile guest: what is too short, too long, out of its range or beyond
the page's limits is Internal. The host's messages are in requests.py, the agent's in reports.py.
"""

import struct
from typing import ClassVar, Protocol, Self

from insula.agent.fields import Reader
from insula.agent.wire import Frame
from insula.errors import Internal, InvalidArgument

VERSION = 2
WINDOW = 65_536
DATA_MAX = 32_768
STDOUT, STDERR = 1, 2


class Message(Protocol):
    """What every message can do."""

    TYPE: ClassVar[int]

    def encode(self) -> bytes: ...

    @classmethod
    def decode(cls, payload: bytes) -> Self: ...


class Fixed:
    """A message of integers only, in the order of its fields."""

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]]
    LAYOUT: ClassVar[struct.Struct]

    def encode(self) -> bytes:
        try:
            return self.LAYOUT.pack(*[getattr(self, name) for name in self.__match_args__])
        except struct.error as error:
            raise InvalidArgument(f"{self!r} does not fit its fields: {error}") from error

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        if len(payload) != cls.LAYOUT.size:
            raise Internal(f"a malformed {cls.__name__}: {len(payload)} bytes")
        return cls(*cls.LAYOUT.unpack(payload))


def read_data(reader: Reader) -> bytes:
    data = reader.rest()
    if len(data) > DATA_MAX:
        raise reader.fail(f"{len(data)} bytes of data ({DATA_MAX} at most)")
    return data


def decode(frame: Frame, types: dict[int, type[Message]]) -> Message:
    """What a frame says, if it is of one of these types. Raises Internal on anything else."""
    message = types.get(frame.type)
    if message is None:
        raise Internal(f"a frame of the unknown type {frame.type}")
    return message.decode(frame.payload)
