"""What is no HTTP on the socket: refused, and one line in the log instead of a trace."""

import asyncio
import logging

import pytest
from plain_engine import PlainEngine


@pytest.mark.parametrize(
    "noise",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9.9\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: -4\r\n\r\n",
    ],
)
async def test_noise_is_one_line(plain: PlainEngine, noise: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reader, writer = await plain.connect()
    writer.write(noise)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.0 400 ") or answer.startswith(b"HTTP/1.1 400 ")
    told = [record for record in caplog.records if record.name.startswith(("aiohttp", "insula.api"))]
    assert all(record.exc_info is None and record.levelno <= logging.INFO for record in told), told
    assert len([record for record in told if "does not speak HTTP" in record.getMessage()]) <= 1
    assert (await plain.ask("/_ping"))[0] == 200
