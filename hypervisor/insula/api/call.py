"""One request as the handlers see it: what was asked, strictly read, and the parts that answer it.

Refuses bodies over a limit, bodies that are not JSON of the right kind, numbers that are not numbers. Nothing
here knows an endpoint; the words are Docker's where clients show them.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientPayloadError
from aiohttp.web import BaseRequest, Response, StreamResponse

from insula.api.engine import Engine
from insula.api.versions import HEADERS, Version
from insula.errors import InvalidArgument

BODY_MAX = 4 << 20
JSON_TYPE = "application/json"
FALSE_WORDS = ("", "0", "no", "false", "none")
INTEGER_MAX = (1 << 63) - 1


@dataclass(slots=True)
class Call:
    """A request on its way through its handler. names: the path's parts, by their names in the route."""

    request: BaseRequest
    engine: Engine
    version: Version
    names: dict[str, str]
    response: StreamResponse | None = None

    # -- the query

    def text(self, name: str, default: str = "") -> str:
        return self.request.query.get(name, default)

    def texts(self, name: str) -> list[str]:
        return self.request.query.getall(name, [])

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean as Docker reads it: whatever is not one of five words for no is yes."""
        value = self.request.query.get(name)
        return default if value is None else value.strip().lower() not in FALSE_WORDS

    def integer(self, name: str, default: int | None = None) -> int | None:
        """Raises InvalidArgument if it is given and is no number."""
        value = self.request.query.get(name, "")
        return default if value == "" else read_integer(value)

    def filters(self) -> dict[str, list[str]]:
        """Filters, in the form of a map or of a list. Raises InvalidArgument."""
        return read_filters(self.text("filters"))

    # -- the body

    async def body(self, limit: int = BODY_MAX) -> bytes:
        """The whole body. Raises InvalidArgument over the limit or if it ends early."""
        kept = bytearray()
        async for chunk in self.chunks():
            kept += chunk
            if len(kept) > limit:
                raise InvalidArgument(f"the request's body has more than {limit >> 20} MiB")
        return bytes(kept)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises InvalidArgument if it is not whole."""
        try:
            async for chunk in self.request.content.iter_any():
                yield chunk
        except ClientPayloadError as error:
            raise InvalidArgument("the request's body ended early") from error

    async def document(self, *, required: bool = True) -> dict[str, Any]:
        """The body as a JSON object; empty if there is none (or null) and none is required. Raises
        InvalidArgument."""
        raw = await self.body()
        if not raw.strip() or (raw.strip() == b"null" and not required):
            if required:
                raise InvalidArgument("invalid JSON: got EOF while reading request body")
            return {}
        media = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media != JSON_TYPE:
            raise InvalidArgument(f"unsupported Content-Type header ({media[:80]}): must be '{JSON_TYPE}'")
        return read_object(raw)

    # -- the answer

    def json(self, document: Any, status: int = 200) -> Response:
        return json_response(document, status)

    def empty(self, status: int = 204) -> Response:
        return Response(status=status)

    async def stream(self, media: str, headers: dict[str, str] | None = None) -> StreamResponse:
        """A chunked answer whose header is on its way when this returns."""
        response = StreamResponse(headers={**HEADERS, "Content-Type": media, **(headers or {})})
        if self.request.version >= (1, 1):
            response.enable_chunked_encoding()
        self.response = response
        await response.prepare(self.request)
        return response


def json_response(document: Any, status: int = 200) -> Response:
    return text_response(json_text(document), status)


def json_text(document: Any) -> str:
    """JSON without blanks."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def text_response(text: str, status: int = 200) -> Response:
    """An answer that is JSON already. Docker's clients compare the content type as a string: no charset."""
    body = text.encode(errors="replace") + b"\n"
    return Response(body=body, status=status, headers={"Content-Type": JSON_TYPE})


def read_integer(value: str) -> int:
    """Raises InvalidArgument, in the words of Go's parser, which Docker's clients know."""
    digits = value.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidArgument(f'strconv.Atoi: parsing "{value[:40]}": invalid syntax')
    if len(digits) > 19 or int(digits) > INTEGER_MAX:
        raise InvalidArgument(f'strconv.Atoi: parsing "{value[:40]}": value out of range')
    return int(value)


def read_object(raw: bytes) -> dict[str, Any]:
    """One JSON object. Raises InvalidArgument."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"invalid JSON: {str(error)[:200] or 'nested too deeply'}") from error
    if not isinstance(document, dict):
        raise InvalidArgument(f"invalid JSON: cannot unmarshal {kind_of(document)} into an object")
    return document


def kind_of(value: Any) -> str:
    """JSON's word for a value's type, as error texts use it."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return {str: "string", list: "array", dict: "object", type(None): "null"}.get(type(value), "value")


def read_filters(text: str) -> dict[str, list[str]]:
    """`{"label":{"a=b":true}}` or `{"label":["a=b"]}`; nothing else. Raises InvalidArgument."""
    if not text:
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument("invalid filter: it is not JSON") from error
    if not isinstance(document, dict):
        raise InvalidArgument(f"invalid filter: {kind_of(document)} instead of an object")
    return {str(name): _filter_values(name, values) for name, values in document.items()}


def _filter_values(name: str, values: Any) -> list[str]:
    if isinstance(values, dict) and all(isinstance(on, bool) for on in values.values()):
        return [value for value, on in values.items() if on]
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return values
    raise InvalidArgument(f"invalid filter '{name[:80]}'", "its values are a list of strings")
