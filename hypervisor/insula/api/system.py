"""Endpoints of the engine itself: ping, version, info, events."""

import asyncio
import json
import os
import platform
import time
from contextlib import suppress
from typing import Any

from aiohttp.web import Response, StreamResponse

from insula.api.call import JSON_TYPE, Call
from insula.api.moments import BILLION, format_ns
from insula.api.router import Route
from insula.api.selection import encode_event, read_selection
from insula.api.versions import API_VERSION, MIN_API_VERSION, VERSION
from insula.events import Event
from insula.image.registry.origin import RegistrySettings

NO_CACHE = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache"}
GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
RELEASE = os.uname().release
ARCHITECTURE = os.uname().machine


async def ping(call: Call) -> StreamResponse:
    body = b"" if call.request.method == "HEAD" else b"OK"
    return Response(body=body, headers={**NO_CACHE, "Content-Type": "text/plain; charset=utf-8"})


async def version(call: Call) -> StreamResponse:
    api, oldest = (".".join(map(str, v)) for v in (API_VERSION, MIN_API_VERSION))
    architecture = GO_ARCHITECTURES.get(ARCHITECTURE, ARCHITECTURE)
    details = {
        "ApiVersion": api, "Arch": architecture, "KernelVersion": RELEASE, "MinAPIVersion": oldest,
        "Os": "linux", "Experimental": "true",
    }  # fmt: skip
    return call.json(
        {
            "Platform": {"Name": "Insula"},
            "Components": [
                {"Name": "Engine", "Version": VERSION, "Details": details},
                {"Name": "Python", "Version": platform.python_version(), "Details": {}},
            ],
            "Version": VERSION,
            "ApiVersion": api,
            "MinAPIVersion": oldest,
            "GitCommit": "",
            "GoVersion": "",
            "Os": "linux",
            "Arch": architecture,
            "KernelVersion": RELEASE,
            "BuildTime": "",
        }
    )


def read_host() -> tuple[str, int]:
    """The distribution's name and the memory in bytes. Reads files: not on the event loop's thread."""
    name = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return name, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


async def info(call: Call) -> StreamResponse:
    engine = call.engine
    views = engine.containers.list()
    system, memory = await asyncio.to_thread(read_host)
    running = sum(view.state.running for view in views)
    host = engine.host.info()
    document: dict[str, Any] = {
        "ID": engine.id,
        "Containers": len(views),
        "ContainersRunning": running,
        "ContainersPaused": 0,
        "ContainersStopped": len(views) - running,
        "Images": len(engine.images.list(every=True)),
        "Driver": "insula",
        "DriverStatus": [["Layers", "squashfs"], ["Writable", "ext4"]],
        "Plugins": {"Volume": [], "Network": [], "Authorization": None, "Log": ["json-file", "local", "none"]},
        "MemoryLimit": True, "SwapLimit": False, "CpuCfsPeriod": False, "CpuCfsQuota": False, "CPUShares": False,
        "CPUSet": False, "PidsLimit": True, "IPv4Forwarding": True, "OomKillDisable": False,
        "Debug": False,
        "NFd": 0,
        "NGoroutines": len(asyncio.all_tasks()),
        "SystemTime": format_ns(time.time_ns()),
        "LoggingDriver": "json-file",
        "CgroupDriver": "none",
        "CgroupVersion": "2",
        "NEventsListener": 0,
        "KernelVersion": RELEASE,
        "OperatingSystem": system,
        "OSVersion": "",
        "OSType": "linux",
        "Architecture": ARCHITECTURE,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": registry_config(engine.registries.settings),
        "NCPU": os.cpu_count() or 1,
        "MemTotal": memory,
        "DockerRootDir": str(engine.paths.home),
        "HttpProxy": "", "HttpsProxy": "", "NoProxy": "",
        "Name": os.uname().nodename,
        "Labels": [],
        "ExperimentalBuild": True,
        "ServerVersion": VERSION,
        "Runtimes": {"insula": {"path": "insula"}},
        "DefaultRuntime": "insula",
        "Swarm": {"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False,
                  "Error": "", "RemoteManagers": None},
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "insula",
        "SecurityOptions": await engine.host.walls(),
        "Warnings": [],
        "Insula": host,
    }  # fmt: skip
    return call.json(document)


def registry_config(settings: RegistrySettings) -> dict[str, Any]:
    mirrors = [settings.mirror] if settings.mirror else []
    networks = [entry for entry in settings.insecure if "/" in entry]
    hosts = {
        entry: {"Name": entry, "Mirrors": [], "Secure": False, "Official": False}
        for entry in settings.insecure
        if "/" not in entry
    }
    hub = {"docker.io": {"Name": "docker.io", "Mirrors": mirrors, "Secure": True, "Official": True}}
    return {
        "InsecureRegistryCIDRs": ["127.0.0.0/8", "::1/128", *networks],
        "IndexConfigs": hub | hosts,
        "Mirrors": mirrors,
    }


async def events(call: Call) -> StreamResponse:
    """What was kept, if a moment is named, then what happens; ends at `until`, at once if that is past."""
    selection = read_selection(call)
    with call.engine.events.subscribe() as subscription:
        kept = call.engine.events.history() if selection.replays else []  # no await since: nothing is double
        response = await call.stream(JSON_TYPE)
        for event in kept:
            if event.time_ns >= selection.since_ns and selection.takes(event):
                await send_event(response, event)
        left = (selection.until_ns - time.time_ns()) / BILLION if selection.until_ns else None
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                async for event in subscription:
                    if selection.takes(event):
                        await send_event(response, event)
    return response


async def send_event(response: StreamResponse, event: Event) -> None:
    await response.write(json.dumps(encode_event(event)).encode() + b"\n")


ROUTES = (
    Route("GET", "/_ping", ping),
    Route("HEAD", "/_ping", ping),
    Route("GET", "/version", version),
    Route("GET", "/info", info),
    Route("GET", "/events", events, stream=True),
)
