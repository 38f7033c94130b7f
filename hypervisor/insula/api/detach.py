"""Detach keys: the typed sequence that leaves a container running. Pure.

`ctrl-p,ctrl-q` by default; `--detach-keys` takes letters and ctrl-X, separated by commas. A begun sequence is held
back until it is complete or broken, so the program never sees half of it.
"""

from insula.errors import InvalidArgument

DEFAULT = "ctrl-p,ctrl-q"
KEYS_MAX = 16
CONTROL = {chr(ord("a") + n): n + 1 for n in range(26)} | {
    "@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31,
}  # fmt: skip


def parse_keys(text: str) -> bytes:
    """The bytes of a sequence. Raises InvalidArgument."""
    keys = bytearray()
    names = text.split(",")
    for name in names:
        if len(name) == 1 and name.isascii():
            keys.append(ord(name))
        elif name.lower().startswith("ctrl-") and name[5:].lower() in CONTROL:
            keys.append(CONTROL[name[5:].lower()])
        else:
            raise InvalidArgument(f"Invalid escape keys ({text[:80]}) provided", "for example ctrl-p,ctrl-q")
    if len(keys) > KEYS_MAX:
        raise InvalidArgument(f"more than {KEYS_MAX} detach keys")
    return bytes(keys)


class DetachKeys:
    """Finds a sequence in typed input. An empty sequence is never found."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    @classmethod
    def parse(cls, text: str, tty: bool) -> "DetachKeys":
        """With a terminal, the default sequence if none is given; without one, only what is given."""
        return cls(parse_keys(text or DEFAULT) if text or tty else b"")

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What is to be passed on, and whether the sequence is complete (what follows it is dropped)."""
        if not self._keys or (not self._matched and self._keys[0] not in data):
            return data, False
        out = bytearray()
        for byte in data:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self._matched = 0
                    return bytes(out), True
                continue
            out += self._keys[: self._matched]
            self._matched = 1 if byte == self._keys[0] else 0
            if not self._matched:
                out.append(byte)
        return bytes(out), False

    def flush(self) -> bytes:
        """What was held back, at the end of the input."""
        held, self._matched = self._keys[: self._matched], 0
        return held
