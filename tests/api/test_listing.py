"""`ps` and its filters, over containers that really run and end."""

import json
import os
from typing import Any
from urllib.parse import quote

import pytest
from plain_engine import PlainEngine
from plain_guests import StillImages

from insula.container.spec import MountRequest

CASES = [
    ((), "running"),
    (("-a",), "made ended running"),
    (("-n", "2"), "ended running"),
    (("-l",), "running"),
    (("-n", "1", "-f", "name=e"), "ended"),
    (("-f", "status=running"), "running"),
    (("-f", "status=exited"), "ended"),
    (("-f", "status=created", "-f", "status=exited"), "made ended"),
    (("-f", "status=paused"), ""),
    (("-a", "-f", "exited=3"), "ended"),
    (("-f", "exited=3"), ""),
    (("-a", "-f", "exited=0"), ""),
    (("-a", "-f", "exited=-1"), ""),
    (("-a", "-f", "name=ed"), "ended"),
    (("-a", "-f", "name=/made"), "made"),
    (("-a", "-f", "name=^/?(made|running)$"), "made running"),
    (("-a", "-f", "name=^ade"), ""),
    (("-a", "-f", "name=[", "-f", "name=ing$"), "running"),
    (("-a", "-f", "label=k"), "made ended"),
    (("-a", "-f", "label=k=1"), "made"),
    (("-a", "-f", "label=k=1", "-f", "label=k=2"), ""),
    (("-a", "-f", "before=running"), "made ended"),
    (("-a", "-f", "since=made"), "ended running"),
    (("-a", "-f", "since=made", "-f", "before=running"), "ended"),
    (("-f", "since=made"), "running"),
    (("-a", "-f", "network=none"), "made ended running"),
    (("-a", "-f", "network=other"), ""),
    (("-a", "-f", "is-task=true"), ""),
    (("-a", "-f", "is-task=0"), "made ended running"),
    (("-a", "-f", "health=none"), "made ended running"),
    (("-a", "-f", "health=healthy"), ""),
    (("-a", "-f", "status=running", "-f", "label=k"), ""),
    (("-a", "-f", "ancestor=test"), "made ended running"),
    (("-a", "-f", "ancestor=nothing"), ""),
    (("-a", "-f", "volume=/scratch"), "made"),
    (("-a", "-f", "volume=/other"), ""),
    (("-a", "-f", "isolation=default"), "ended running"),
    (("-a", "-f", "isolation=fresh"), "made"),
    (("-a", "-f", "expose=80"), ""),  # without a network no port is shown, as in Docker
    (("-a", "-f", "expose=80/udp"), ""),
    (("-a", "-f", "publish=80"), ""),
    (("-a", "-f", "id=zz"), ""),
]


async def make_three(plain: PlainEngine) -> tuple[str, str, str]:
    """One created, one ended with 3, one that runs."""
    daemon = plain.daemon
    scratch = MountRequest("tmpfs", "", "/scratch")
    made = await daemon.create("true", name="made", labels={"k": "1"}, mounts=(scratch,), isolation="fresh")
    ended = await daemon.start("sh", "-c", "exit 3", name="ended", labels={"k": "2"})
    await daemon.containers.wait(ended)
    ports = {"ExposedPorts": {"80/tcp": {}}}
    running = await daemon.start("sleep", "100", name="running", raw_config=ports)
    return made, ended, running


async def test_filters(plain: PlainEngine) -> None:
    made, ended, running = await make_three(plain)
    for words, names in CASES:
        ran = await plain.docker("ps", "--format", "{{.Names}}", *words)
        assert sorted(ran.out.decode().split()) == sorted(names.split()), (words, ran)
    by_id = await plain.docker("ps", "-q", "--no-trunc", "-f", f"id={running[:8]}")
    assert by_id.out.decode().strip() == running
    two = await plain.docker("ps", "-aq", "--no-trunc", "-f", f"id={made[:9]}", "-f", f"id={ended}")
    assert two.out.decode().split() == [ended, made]
    shown = (await plain.docker("ps", "-a", "--format", "{{.Names}} {{.Status}} {{.Ports}}")).out.decode()
    assert "made Created" in shown
    assert "ended Exited (3)" in shown
    assert "running Up" in shown


REFUSED = [
    (("-f", "status=odd"), "invalid filter 'status=odd': invalid value for state (odd): must be one of created, "
     "running, paused, restarting, removing, exited, dead"),
    (("-f", "health=odd"), "invalid filter 'health=odd': invalid value for health (odd): must be one of none, "
     "starting, healthy, unhealthy"),
    (("-f", "exited=x"), "invalid filter 'exited=x': strconv.Atoi: parsing \"x\": invalid syntax"),
    (("-f", "odd=1"), "invalid filter 'odd'"),
    (("-f", "before=nope"), "No such container: nope"),
    (("-f", "since=nope"), "No such container: nope"),
    (("-f", "is-task=maybe"), "invalid filter 'is-task=maybe'"),
    (("-f", "is-task=1", "-f", "is-task=0"), "invalid filter 'is-task=0 1'"),
    (("-f", "publish=80:90"), "filter for 'publish' should not contain ':': 80:90"),
    (("-f", "expose=x"), "error while looking up for expose x: strconv.ParseUint: parsing \"x\": invalid syntax"),
    (("-f", "expose=9-8"), "error while looking up for expose 9-8: invalid range specified for port: 9-8"),
    (("-f", "expose=65536"), "value out of range"),
    (("-f", "expose=1/odd"), "invalid proto: odd"),
    (("-f", "name=\\pL"), "is not understood"),
]  # fmt: skip


@pytest.mark.parametrize("words,told", REFUSED)
async def test_filters_that_do_not_parse(plain: PlainEngine, words: tuple[str, ...], told: str) -> None:
    ran = await plain.docker("ps", *words)
    assert (ran.status, ran.err.count(b"\n")) == (1, 1), ran
    assert told in ran.err.decode()


@pytest.mark.parametrize("query", ["filters=[1]", "filters={", 'filters={"id":1}', "limit=x"])
async def test_queries_that_do_not_parse_are_400(plain: PlainEngine, query: str) -> None:
    head, _, writer = await plain.send("GET", f"/v1.51/containers/json?{quote(query, safe='=')}")
    writer.close()
    assert head.startswith(b"HTTP/1.1 400 ")


async def test_an_id_that_is_not_unique_finds_nothing(plain: PlainEngine) -> None:
    ids = [await plain.daemon.create("true") for _ in range(17)]  # two begin with the same digit
    double = next(id[0] for id in ids if sum(other.startswith(id[0]) for other in ids) > 1)
    assert (await plain.docker("ps", "-aq", "-f", f"id={double}")).out == b""


async def test_sizes(plain: PlainEngine) -> None:
    made, ended, _ = await make_three(plain)
    disk = plain.daemon.paths.writable_disk(ended)
    empty = plain.daemon.paths.writable_layers / "blank-1-1g.ext4"
    empty.parent.mkdir(exist_ok=True)
    for path, data in ((empty, bytes(4096)), (disk, b"x" * 40960)):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        os.truncate(path, 1 << 20)
    listed = json.loads((await plain.ask("/v1.51/containers/json?all=1&size=1"))[1])
    sizes = {one["Id"]: (one["SizeRw"], one["SizeRootFs"]) for one in listed}
    assert sizes[ended] == (36864, 37864)
    assert sizes[made] == (0, 1000)
    assert all(
        "SizeRw" not in one for one in json.loads((await plain.ask("/v1.51/containers/json?all=1"))[1])
    )
    shown = json.loads((await plain.ask(f"/v1.51/containers/{ended}/json?size=1"))[1])
    assert (shown["SizeRw"], shown["SizeRootFs"]) == (36864, 37864)
    assert "SizeRw" not in json.loads((await plain.ask(f"/v1.51/containers/{ended}/json"))[1])
    ran = await plain.docker("ps", "-as", "--format", "{{.Names}} {{.Size}}")
    assert "ended 36.9kB (virtual 37.9kB)" in ran.out.decode()


async def test_an_image_s_name_is_shown_while_it_means_that_image(plain: PlainEngine) -> None:
    await plain.daemon.create("true", name="made")
    assert (await plain.docker("ps", "-a", "--format", "{{.Image}}")).out == b"test\n"
    images, before = plain.daemon.images, plain.daemon.images.id
    plain.daemon.images.config = StillImages(Cmd=["other"]).config
    assert images.id != before
    assert (await plain.docker("ps", "-a", "--format", "{{.Image}}")).out.decode().strip() in before


async def test_an_entry_of_what_lies_still_follows_its_changes(plain: PlainEngine) -> None:
    """The entries are kept as text: a version of the API, a name or an end must not be those of the look before."""
    raw_host_config = {"Annotations": {"a": "b"}}
    id = await plain.daemon.create("true", name="made", raw_host_config=raw_host_config)

    async def entry(version: str) -> dict[str, Any]:
        status, body = await plain.ask(f"/v{version}/containers/json?all=1")
        assert status == 200
        (found,) = json.loads(body)
        return dict(found)

    new, old = await entry("1.51"), await entry("1.24")
    assert new["HostConfig"]["Annotations"] == {"a": "b"}
    assert "Annotations" not in old["HostConfig"]
    await plain.daemon.containers.rename(id, "other")
    assert (await entry("1.51"))["Names"] == ["/other"]
    await plain.daemon.containers.start(id)
    await plain.daemon.containers.wait(id)
    ended = await entry("1.51")
    assert (ended["State"], ended["Status"][:10]) == ("exited", "Exited (0)")
