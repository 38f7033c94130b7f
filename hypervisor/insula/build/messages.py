"""What a build tells while it goes on, in the classic builder's words: clients and their tests read them."""

from collections.abc import Awaitable, Callable
from typing import Any

from insula.agent.messages import STDOUT
from insula.image.record import Image

RED, PLAIN = "\x1b[91m", "\x1b[0m"
SHORT = slice(7, 19)

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Messages:
    """quiet: nothing but the image's id at the end."""

    def __init__(self, send: Send, *, quiet: bool, prefix: str = "") -> None:
        self.send = self._send = send
        self._quiet = quiet
        self._prefix = prefix

    def of(self, platform: str) -> "Messages":
        """Those of one of several builds that go on at once: each line says whose it is."""
        return Messages(self._send, quiet=self._quiet, prefix=f"[{platform}] ")

    def through(self, send: Send) -> "Messages":
        """The same, sent another way."""
        return Messages(send, quiet=self._quiet, prefix=self._prefix)

    async def say(self, text: str) -> None:
        if not self._quiet:
            await self._send({"stream": self._prefix + text if text != "\n" else text})

    async def step(self, number: int, total: int, words: str) -> None:
        if self._prefix:  # nothing of another one's may come between a line and its end
            await self.say(f"Step {number}/{total} : {words}\n")
            return
        await self.say(f"Step {number}/{total} : {words}")
        await self.say("\n")

    async def image(self, image: Image | None) -> None:
        await self.say(f" ---> {image.id[SHORT] if image is not None else ''}\n")

    async def pulling(self, status: str, subject: str) -> None:
        """One line of a pull. subject: the layer or tag, or empty."""
        if not self._quiet:
            named = {"id": subject} if subject else {}
            await self._send({"status": self._prefix + status, **named})

    async def cached(self) -> None:
        await self.say(" ---> Using cache\n")

    async def running(self, id: str) -> None:
        await self.say(f" ---> Running in {id[:12]}\n")

    async def removed(self, id: str) -> None:
        await self.say(f"Removing intermediate container {id[:12]}\n")

    async def output(self, stream: int, data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        await self.say(text if stream == STDOUT else f"{RED}{text}{PLAIN}")

    async def built(self, image: Image, tags: list[str]) -> None:
        await self._send({"aux": {"ID": image.id}})
        if self._quiet:
            await self._send({"stream": f"{image.id}\n"})
            return
        await self.say(f"Successfully built {image.id[SHORT]}\n")
        for tag in tags:
            await self.say(f"Successfully tagged {tag}\n")
