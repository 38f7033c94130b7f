"""A registry of the tests' own, for what a real one cannot be made to say."""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from hand_made import Made, tar_of

from insula.image.reference import host_architecture

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Liar:
    """Serves an image as it is, but where an answer is given for a path's end. seen: (path, Authorization)."""

    made: Made
    answers: dict[str, Answer] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)
    proxied: set[str] = field(default_factory=set)
    address: str = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.path_qs, request.headers.get("Authorization", "")))
        self.proxied.add(request.headers.get("Proxy-Authorization", ""))
        for end, answer in self.answers.items():
            if request.path.endswith(end):
                return await answer(request)
        name = request.path.rpartition("/")[2]
        name = self.made.top if name == "1" else name
        if name in self.made.manifests:
            data, kind = self.made.manifests[name]
            return web.Response(body=data, headers={"Content-Type": kind})
        if name in self.made.blobs:
            return web.Response(body=self.made.blobs[name])
        return web.Response(status=200 if request.path == "/v2/" else 404)


@asynccontextmanager
async def serve(liar: Liar, tls: ssl.SSLContext | None = None) -> AsyncIterator[Liar]:
    runner = web.ServerRunner(web.Server(liar.serve), shutdown_timeout=0.1)  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    assert runner.addresses
    liar.address = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield liar
    finally:
        await runner.cleanup()


def an_image(size: int = 0) -> tuple[Made, str]:
    """And the digest of its one layer."""
    made = Made()
    made.image([tar_of("f", size)], host_architecture())
    layer = json.loads(made.manifests[made.top][0])["layers"][0]["digest"]
    return made, layer
