"""Requests to one registry: authorised as it asks, redirected with care, bounded in time and size.

Who we are is told to the registry's own host, and to the token server that it names, and to nobody that a redirect
leads to. A registry behind HTTPS cannot lead to plain HTTP. Cookies, .netrc and user names in addresses play no part.
Connections that break raise Broken; what the registry says no to raises Refused.
"""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from insula.errors import Unavailable
from insula.image.registry.challenge import Challenge, Credentials, parse_challenges
from insula.image.registry.origin import Origin, find_proxy
from insula.image.registry.patience import Broken, Patience, Tries, Unreachable
from insula.image.registry.refusal import Denied, Refused, explain, one_line, read_refusal

AGENT = "insula"
PLAIN = {"User-Agent": AGENT, "Accept-Encoding": "identity"}  # a digest is of the bytes as they are
REDIRECTS_MAX = 5
REDIRECTS = (301, 302, 303, 307, 308)
REFUSAL_MAX = 64 << 10
TOKEN_MAX = 1 << 20
LINE_MAX = 64 << 10
ATTEMPTS = 3  # of one request: without a token, with one, with one that is not too old

Body = Callable[[], AsyncIterator[bytes]]


class RegistryClient:
    """One registry, for one operation. Made by `open_client`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        origin: Origin,
        tls: ssl.SSLContext,
        credentials: Credentials,
        scopes: Sequence[str],
        patience: Patience,
    ) -> None:
        self.origin = origin
        self.patience = patience
        self._session = session
        self._tls = tls
        self._credentials = credentials
        self._scopes = tuple(scopes)
        self._lock = asyncio.Lock()
        self._base = URL(f"{origin.scheme or 'http'}://{origin.authority}")
        self._authorization = f"Bearer {credentials.registry_token}" if credentials.registry_token else ""

    def url(self, path: str) -> URL:
        """The address of a path of the API, or of one that the registry gave (a Location, a Link)."""
        try:
            found = self._base.join(URL(path, encoded=True)).with_user(None)
        except ValueError as error:
            raise Unavailable(f"{self.origin.authority} names an address that is none") from error
        self._check_scheme(found, "leads")
        return found

    # -- the way to it

    async def connect(self) -> None:
        """Finds out how it is spoken to, where that is not known. Raises Unavailable."""
        if self.origin.scheme:
            return
        try:
            if await self._is_registry(self.url("/v2/")):
                return
        except Unreachable as error:
            raise Unavailable(str(error)) from error
        except (Broken, TimeoutError):
            pass
        self._base = URL(f"https://{self.origin.authority}")

    async def _is_registry(self, url: URL) -> bool:
        async with asyncio.timeout(self.patience.document):
            async with self._open("GET", url, {}, None) as response:
                return response.status != 400  # what a server says whose port is for HTTPS

    @asynccontextmanager
    async def twin(self) -> AsyncIterator["RegistryClient"]:
        """Another client of the same registry, as welcome as this one, for work that may outlast it."""
        async with open_session(self.origin, self._tls, self.patience) as session:
            client = RegistryClient(
                session, self.origin, self._tls, self._credentials, self._scopes, self.patience
            )
            client._base, client._authorization = self._base, self._authorization
            yield client

    # -- requests

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request, authorised; the answer is a success or there is none. body: makes what is sent, each time.

        Raises Refused, Denied, Broken, Unavailable."""
        for attempt in range(ATTEMPTS):
            used = self._authorization
            async with self._follow(method, url, dict(headers or {}), body) as response:
                if response.status == 401 and attempt + 1 < ATTEMPTS:
                    refused = await self._read_refusal(response)
                    challenges = parse_challenges(response.headers.getall("WWW-Authenticate", ()))
                elif response.status >= 300:
                    raise await self._read_refusal(response)
                else:
                    yield response
                    return
            if not await self._authorize(challenges, used):
                raise refused

    async def read(
        self, url: URL, limit: int, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> tuple[bytes, Mapping[str, str]]:
        """A small document and its headers, tried again if the connection breaks.

        Raises Refused, Denied, Unavailable."""
        tries = Tries(self.patience, f"cannot read from {self.origin.authority}")
        while True:
            try:
                async with asyncio.timeout(self.patience.document):
                    async with self.ask(method, url, headers) as response:
                        return await read_bounded(response, limit), response.headers
            except Unreachable as error:
                raise Unavailable(str(error)) from error
            except Broken as error:
                await tries.again(error, progressed=False)
            except TimeoutError:
                await tries.again(Broken("no whole answer in time"), progressed=False)
            except Refused as refused:
                if refused.status not in (429, 500, 502, 503, 504):
                    raise
                try:
                    await tries.again(Broken(str(refused)), progressed=False)
                except Unavailable:
                    raise refused from None

    @asynccontextmanager
    async def _follow(
        self, method: str, url: URL, headers: dict[str, str], body: Body | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request and, if it only reads, the redirects of its answer. Only the registry itself is told who we
        are."""
        for _ in range(REDIRECTS_MAX + 1):
            ours = url.origin() == self._base.origin()
            told = {"Authorization": self._authorization} if ours and self._authorization else {}
            async with self._open(method, url, headers | told, body) as response:
                redirects = response.status in REDIRECTS and method in ("GET", "HEAD")
                target = response.headers.get("Location") if redirects else None
                if target is None:
                    yield response
                    return
                url = self._redirected(url, target)
        raise Unavailable(f"{self.origin.authority} redirects more than {REDIRECTS_MAX} times")

    def _redirected(self, url: URL, target: str) -> URL:
        try:
            found = url.join(URL(target, encoded=True)).with_user(None)
        except ValueError as error:
            raise Unavailable(f"{self.origin.authority} redirects to no address") from error
        self._check_scheme(found, "redirects")
        return found

    def _check_scheme(self, url: URL, does: str) -> None:
        if url.scheme not in ("http", "https") or not url.host:
            raise Unavailable(
                f"{self.origin.authority} {does} to {one_line(str(url))}, which is no web address"
            )
        if url.scheme == "http" and self._base.scheme == "https" and not self.origin.insecure:
            raise Unavailable(f"{self.origin.authority} {does} to {url.host} by plain HTTP: refused")

    @asynccontextmanager
    async def _open(
        self, method: str, url: URL, headers: dict[str, str], body: Body | None, form: Any = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One exchange, its failures named. The body of the answer is the caller's to read."""
        try:
            async with self._session.request(
                method, url, headers={**PLAIN, **headers}, data=body() if body else form,
                allow_redirects=False, **proxy_of(url),
            ) as response:  # fmt: skip
                yield response
        except (aiohttp.ClientConnectorError, aiohttp.ClientProxyConnectionError) as error:
            raise Unreachable(f"cannot reach {url.host}:{url.port}: {describe(error)}") from error
        except (aiohttp.ClientError, ConnectionError, aiohttp.ServerTimeoutError) as error:
            raise Broken(f"the connection to {url.host}:{url.port} broke: {describe(error)}") from error

    async def _read_refusal(self, response: aiohttp.ClientResponse) -> Refused:
        body = bytearray()
        async with asyncio.timeout(self.patience.document):
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > REFUSAL_MAX:
                    break
        return read_refusal(response.status, response.reason or "", bytes(body))

    # -- who we are

    async def _authorize(self, challenges: list[Challenge], used: str) -> bool:
        """Answers a challenge; False if there is nothing new to say. Raises Denied, Unavailable, Broken."""
        async with self._lock:
            if self._authorization != used:
                return True  # somebody has just done it
            for challenge in challenges:
                if challenge.scheme == "bearer" and not self._credentials.registry_token:
                    self._authorization = f"Bearer {await self._fetch_token(challenge)}"
                    return True
                if challenge.scheme == "basic":
                    if not self._credentials.basic:
                        raise Denied(
                            "no basic auth credentials", f"use `docker login {self.origin.authority}`"
                        )
                    self._authorization = self._credentials.basic
                    return self._authorization != used
            return False

    async def _fetch_token(self, challenge: Challenge) -> str:
        """A token from the server that the registry trusts; it is told who we are."""
        try:
            realm = URL(challenge.realm).with_user(None)
        except ValueError as error:
            raise Unavailable(f"{self.origin.authority} sends us for a token to no address") from error
        self._check_scheme(realm, "sends us for a token")
        scopes = self._scopes or ((challenge.scope,) if challenge.scope else ())
        if self._credentials.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": self._credentials.identity_token,
                    "service": challenge.service, "client_id": AGENT, "scope": " ".join(scopes)}  # fmt: skip
            opened = self._open("POST", realm, {}, None, form)
        else:
            pairs = [("service", challenge.service), *(("scope", scope) for scope in scopes)]
            basic = self._credentials.basic
            url = realm.extend_query([(name, value) for name, value in pairs if value])
            opened = self._open("GET", url, {"Authorization": basic} if basic else {}, None)
        async with asyncio.timeout(self.patience.document), opened as response:
            if response.status != 200:
                raise explain(await self._read_refusal(response))
            body = await read_bounded(response, TOKEN_MAX)
        return read_token(body, realm)


def read_token(body: bytes, realm: URL) -> str:
    """Raises Unavailable."""
    try:
        document = json.loads(body)
        token = document.get("token") or document.get("access_token")
    except (ValueError, RecursionError, AttributeError):
        token = None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise Unavailable(f"the token server {realm.host} gave no token")
    return token


async def read_bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The whole body of an answer. Raises Unavailable beyond the limit."""
    if response.method != "HEAD" and (response.content_length or 0) > limit:
        raise Unavailable(f"{response.url.host} sends {response.content_length} bytes ({limit} at most)")
    found = bytearray()
    async for chunk in response.content.iter_any():
        found += chunk
        if len(found) > limit:
            raise Unavailable(f"{response.url.host} sends more than {limit} bytes")
    return bytes(found)


def proxy_of(url: URL) -> dict[str, Any]:
    """The proxy in front of an address, as the environment has it."""
    if not (text := find_proxy(url.scheme, url.host or "")):
        return {}
    return {"proxy": URL(text if "://" in text else f"http://{text}")}  # with whose name it wants, if any


def describe(error: Exception) -> str:
    """A library's error in one line."""
    inner = getattr(error, "os_error", None)
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(inner, OSError):
        if isinstance(inner, ConnectionError) and inner.errno:  # asyncio's own words say no more
            return os.strerror(inner.errno)
        return one_line(inner.strerror or str(inner))
    return one_line(str(error)) or type(error).__name__


def open_session(origin: Origin, tls: ssl.SSLContext, patience: Patience) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(ssl=False if origin.insecure else tls, limit=16)
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=patience.connect
    )  # else each has a clock of its own
    return aiohttp.ClientSession(
        connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False,
        max_line_size=LINE_MAX, max_field_size=LINE_MAX, trust_env=False,
    )  # fmt: skip


@asynccontextmanager
async def open_client(
    origin: Origin,
    tls: ssl.SSLContext,
    patience: Patience,
    credentials: Credentials,
    scopes: Sequence[str] = (),
) -> AsyncIterator[RegistryClient]:
    """A client of a registry. tls: the system's certificates; scopes: what tokens are asked for, else what the
    registry says. Raises Unavailable."""
    async with open_session(origin, tls, patience) as session:
        client = RegistryClient(session, origin, tls, credentials, scopes, patience)
        await client.connect()
        yield client
