"""A registry's refusals, read from its error document, and told in Docker's words.

    {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}

What is no such document is told by its status. A stranger's text is cut and made one line.
"""

import json

from insula.errors import Forbidden, InsulaError, InvalidArgument, NotFound, Unavailable
from insula.image.reference import Reference

TEXT_MAX = 400


class Denied(Forbidden):
    """The registry does not believe who we are, or wants to know: for a log-in, 401."""


class Refused(Exception):
    """A registry's no. status: HTTP's; code: of the distribution protocol, or empty."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def __str__(self) -> str:
        """As Docker's clients know it: `manifest unknown: manifest unknown`."""
        return f"{self.code.lower().replace('_', ' ')}: {self.args[0]}" if self.code else str(self.args[0])


def one_line(text: str) -> str:
    """A stranger's text for an error message."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:TEXT_MAX]).strip()


def read_refusal(status: int, reason: str, body: bytes) -> Refused:
    """The refusal that an answer tells."""
    try:
        document = json.loads(body)
        if isinstance(document, dict) and isinstance(document.get("errors"), list) and document["errors"]:
            first = document["errors"][0]
            code, message = str(first["code"]), str(first.get("message") or first["code"])
            if isinstance(first["code"], str):
                return Refused(status, one_line(code), one_line(message))
        if isinstance(document, dict) and isinstance(document.get("details"), str):  # of a token server
            return Refused(status, "UNAUTHORIZED", one_line(document["details"]))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        pass
    if status == 401:
        return Refused(status, "UNAUTHORIZED", "authentication required")
    if status == 403:
        return Refused(status, "DENIED", "requested access to the resource is denied")
    return Refused(status, "", f"received unexpected HTTP status: {status} {one_line(reason)}".strip())


def explain(refused: Refused) -> InsulaError:
    """A refusal that is about no image in particular."""
    if refused.status == 401 or refused.code == "UNAUTHORIZED":
        return Denied(str(refused))
    if refused.status == 403 or refused.code == "DENIED":
        return Denied(str(refused))
    if refused.status == 404:
        return NotFound(str(refused))
    if refused.status == 429 or refused.status >= 500:
        return Unavailable(str(refused))
    return InvalidArgument(str(refused))


def explain_pull(refused: Refused, reference: Reference) -> InsulaError:
    """A refusal of what is pulled, as Docker tells it."""
    if refused.code == "DENIED" or (refused.status == 403 and not refused.code):
        return NotFound(
            f"pull access denied for {reference.familiar_name}, repository does not exist or may require "
            f"'docker login': {refused}"
        )
    if refused.code == "NAME_UNKNOWN":
        return NotFound(f"repository {reference.familiar_name} not found: {refused}")
    if refused.code == "MANIFEST_UNKNOWN" or refused.status == 404:
        told = refused if refused.code else "manifest unknown: manifest unknown"
        return NotFound(f"manifest for {reference.familiar} not found: {told}")
    return explain(refused)


def first_failure(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of several things that failed together, the one to tell."""
    for failure in failures.exceptions:
        if isinstance(failure, InsulaError | Refused):
            return failure
    return failures.exceptions[0]
