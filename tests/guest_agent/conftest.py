"""The agent as a plain process: the binary of this host's platform, and the same under the host's sanitizers."""

import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from host_end import ROOT, HostEnd, PlainAgent

OUT = ROOT / "guest-agent" / "out"
PLATFORM = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


@pytest.fixture(params=["sanitized", PLATFORM])
def binary(request: pytest.FixtureRequest) -> Path:
    return OUT / request.param / "insula-agent"


@pytest.fixture
def agent(binary: Path, tmp_path: Path) -> Iterator[PlainAgent]:
    running = PlainAgent(binary, tmp_path)
    yield running
    running.close()


@pytest.fixture
def host(agent: PlainAgent) -> HostEnd:
    return agent.connect()


@pytest.fixture
def tool() -> Callable[[str], Path]:
    return lambda name: OUT / "tests" / name
