"""What a registry asks of us (`WWW-Authenticate`), and what we have: credentials as clients give them. Pure.

Understood are Basic and Bearer (a token from the address that the challenge names). A challenge is a stranger's
text: short, few, and only known fields are taken.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

HEADER_MAX = 8192
CHALLENGES_MAX = 16
_CHALLENGE = re.compile(r"\s*(?:,\s*)*([A-Za-z][A-Za-z0-9-]*)(?=\s|$)")
_FIELD = re.compile(r'\s*,?\s*([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to a registry: a name and password, an identity token (to get others with), or a registry's token;
    all empty for nobody. Never shown."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header; empty without a name."""
        if not self.username:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


NOBODY = Credentials()


@dataclass(frozen=True, slots=True)
class Challenge:
    """scheme: in lower case, `basic` or `bearer`; realm, service, scope: of a Bearer."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """The challenges in some headers; what is malformed ends a header."""
    found: list[Challenge] = []
    for header in headers:
        position, text = 0, header[:HEADER_MAX]
        while len(found) < CHALLENGES_MAX and (start := _CHALLENGE.match(text, position)):
            position = start.end()
            fields: dict[str, str] = {}
            while match := _FIELD.match(text, position):
                position = match.end()
                value = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
                fields[match[1].lower()] = value
            found.append(
                Challenge(start[1].lower(), *(fields.get(name, "") for name in ("realm", "service", "scope")))
            )
    return found
