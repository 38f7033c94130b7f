"""A real application's Dockerfile, for amd64 and arm64 at once: stages, Debian's packages and PyPI's, a user, a health
check. Minutes, under emulation: `-s` tells how many.

Steps reach apt's and pip's servers as this host does: what its clients are configured with (proxies, an index of one's
own, which certificates to trust, whether dates are checked) is mounted into the steps as files of the context.
"""

import json
import os
import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from words import Words

from boot_paths import MACHINES, PLATFORMS

pytestmark = [pytest.mark.boot, pytest.mark.soak]
MINUTES = 3600.0
DOCKERFILE = """ARG SUITE=bookworm
FROM debian:${SUITE} AS base
ENV DEBIAN_FRONTEND=noninteractive PYTHONUNBUFFERED=1
RUN --mount=type=bind,source=host/apt.conf,target=/etc/apt/apt.conf.d/99host \\
    apt-get update && apt-get install -y --no-install-recommends python3

FROM base AS wheels
ARG TARGETARCH
WORKDIR /build
COPY requirements.txt ./
RUN --mount=type=bind,source=host,target=/tmp/host \\
    --mount=type=cache,target=/root/.cache/pip,id=pip-$TARGETARCH \\
    PIP_CONFIG_FILE=/tmp/host/pip.conf PYTHONPATH=$(echo /tmp/host/pip-*.whl) \\
    python3 -m pip install --cert /tmp/host/authorities.pem --target /app/lib -r requirements.txt

FROM base
ARG TARGETARCH
ARG VERSION=0
LABEL org.opencontainers.image.version=$VERSION
RUN --mount=type=bind,source=host/apt.conf,target=/etc/apt/apt.conf.d/99host \\
    apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
RUN useradd --system --create-home app && echo $TARGETARCH > /etc/built-for
COPY --from=wheels /app /app
WORKDIR /srv
COPY --chown=app:app app.py ./
ENV PYTHONPATH=/app/lib
RUN python3 -m compileall -q /srv
USER app
EXPOSE 8000
HEALTHCHECK --interval=2s --timeout=90s --retries=30 CMD python3 /srv/app.py ask
ENTRYPOINT ["tini", "--"]
CMD ["python3", "/srv/app.py"]
"""
APP = """import json, platform, sys, urllib.request
from wsgiref.simple_server import make_server
import bottle, markupsafe

@bottle.route("/")
def about():
    return {"machine": platform.machine(), "bottle": bottle.__version__, "escaped": str(markupsafe.escape("<&>")),
            "fast": markupsafe._escape_inner.__module__, "built": open("/etc/built-for").read().strip()}

if sys.argv[1:] == ["ask"]:
    print(urllib.request.urlopen("http://127.0.0.1:8000/", timeout=60).read().decode())
else:
    make_server("", 8000, bottle.default_app()).serve_forever()
"""
REQUIREMENTS = "bottle==0.13.2\nmarkupsafe==3.0.2\n"
ARCHITECTURES = {"linux/amd64": "amd64", "linux/arm64": "arm64"}
APT_KEPT = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries")
PIP_KEPT = ("index-url", "proxy", "trusted-host")


def test_an_application_for_several_platforms_at_once(debian: Words, place: Path) -> None:
    (place / "Dockerfile").write_text(DOCKERFILE)
    (place / "app.py").write_text(APP)
    (place / "requirements.txt").write_text(REQUIREMENTS)
    write_host(place / "host")
    platforms = ("--platform", ",".join(PLATFORMS))
    words = ("build", *platforms, "-t", "application", "--build-arg", "VERSION=1.2", *proxies(), str(place))
    out = built(debian, "built", *words)
    assert out.count("Step 25/25") == len(PLATFORMS)
    assert "Running in" not in built(debian, "again", *words)
    for platform in PLATFORMS:
        see_it_run(debian, platform)
    (place / "app.py").write_text(APP + "# changed\n")
    changed = built(debian, "the last COPY changed", *words)
    assert changed.count("Running in") == len(PLATFORMS)  # compileall alone
    debian.succeed("rmi", "-f", "application")
    debian.succeed("volume", "prune", "-af")


def built(docker: Words, what: str, *words: str) -> str:
    began = time.monotonic()
    done = docker.daemon.insula(*words, timeout=MINUTES)
    print(f"{what}: {time.monotonic() - began:.2f} s")
    out = done.stdout.decode()
    assert done.returncode == 0, (out[-3000:], done.stderr[-3000:], docker.health())
    return out


def see_it_run(docker: Words, platform: str) -> None:
    id = docker.start("--platform", platform, "application")
    docker.until_healthy(id)
    told = json.loads(docker.succeed("exec", id, "python3", "app.py", "ask"))
    assert told == {
        "machine": MACHINES[platform], "built": ARCHITECTURES[platform], "escaped": "&lt;&amp;&gt;",
        "bottle": "0.13.2", "fast": "markupsafe._speedups",
    }  # fmt: skip
    assert docker.succeed("exec", id, "id", "-un") == "app\n"
    docker.succeed("rm", "-f", id)


def write_host(folder: Path) -> None:
    """What this host's own apt and pip go by."""
    folder.mkdir()
    lines = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    kept = [line for line in lines.splitlines(keepends=True) if line.startswith(APT_KEPT)]
    (folder / "apt.conf").write_text("".join(kept))
    pip = [sys.executable, "-m", "pip", "config", "list"]
    found = dict.fromkeys(PIP_KEPT, "")
    for line in subprocess.run(pip, check=True, capture_output=True, text=True).stdout.splitlines():
        name, _, value = line.partition("=")
        found |= {name.rpartition(".")[2]: value.strip("'")} if name.rpartition(".")[2] in PIP_KEPT else {}
    text = "".join(f"{name} = {value}\n" for name, value in found.items() if value)
    (folder / "pip.conf").write_text(f"[global]\n{text}")
    get_pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), "pip"]
    subprocess.run(get_pip, check=True)
    shutil.copyfile(str(ssl.get_default_verify_paths().cafile), folder / "authorities.pem")


def proxies() -> list[str]:
    names = ("http_proxy", "https_proxy", "no_proxy")
    return [word for name in names if name in os.environ for word in ("--build-arg", name)]
