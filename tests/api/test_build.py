"""Builds that run nothing: the stream's words, what is refused and how, for the docker command, docker-py and insula."""

import base64
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker.errors
import pytest

from daemon_fixture import Answer, DaemonProcess

CLASSIC = {"DOCKER_BUILDKIT": "0"}


def context(dockerfile: str, **files: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, text in {"Dockerfile": dockerfile, **files}.items():
            item = tarfile.TarInfo(name)
            item.size = len(text.encode())
            tar.addfile(item, io.BytesIO(text.encode()))
    return data.getvalue()


def post(daemon: DaemonProcess, dockerfile: str, query: str = "", **files: str) -> Answer:
    tar = {"Content-Type": "application/x-tar"}
    return daemon.request("POST", f"/build?{query}", context(dockerfile, **files), tar)


def lines(answer: Answer) -> list[dict[str, object]]:
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


def streamed(answer: Answer) -> str:
    return "".join(str(line.get("stream", "")) for line in lines(answer))


@pytest.fixture(autouse=True)
def emptied(daemon: DaemonProcess) -> Iterator[DaemonProcess]:
    """The daemon of all tests here, without a build's images before and after."""
    daemon.request("POST", "/build/prune?all=1")
    before = {image["Id"] for image in daemon.request("GET", "/images/json?all=1").json()}
    yield daemon
    daemon.request("POST", "/build/prune?all=1")
    for image in daemon.request("GET", "/images/json").json():
        if image["Id"] not in before:
            daemon.request("DELETE", f"/images/{image['Id']}?force=1")
    daemon.request("POST", "/build/prune?all=1")


def test_the_stream_word_for_word(emptied: DaemonProcess) -> None:
    text = 'FROM scratch\nENV A=1\nCMD ["x"]\n'
    said = lines(post(emptied, text, "t=built:1&t=built:2"))
    first, second = said[3]["stream"], said[6]["stream"]
    assert [line.get("stream") for line in said[:9]] == [
        "Step 1/3 : FROM scratch", "\n", " ---> \n", first if first == "x" else "Step 2/3 : ENV A=1", "\n",
        said[5]["stream"], second, "\n", said[8]["stream"],
    ]  # fmt: skip
    id = str(said[9]["aux"]["ID"])  # type: ignore[index]
    assert [line["stream"] for line in said[8:] if "stream" in line] == [
        f" ---> {id[7:19]}\n", f"Successfully built {id[7:19]}\n", "Successfully tagged built:1\n",
        "Successfully tagged built:2\n",
    ]  # fmt: skip
    again = streamed(post(emptied, text, "t=built:1"))
    assert again.count(" ---> Using cache\n") == 2 and id[7:19] in again
    fresh = streamed(post(emptied, text, "nocache=1"))
    assert "Using cache" not in fresh
    quiet = lines(post(emptied, text, "q=1"))
    assert [line.get("stream") for line in quiet] == [None, f"{quiet[0]['aux']['ID']}\n"]  # type: ignore[index]


def test_config_and_history(emptied: DaemonProcess) -> None:
    text = (
        "ARG V=2\nFROM scratch AS base\nMAINTAINER me\nARG V\nENV PATH=/bin B=$V\nONBUILD LABEL triggered=yes\n"
        "FROM base\nEXPOSE 80\nVOLUME /v\nUSER u\nHEALTHCHECK --retries=2 CMD x\nSTOPSIGNAL 9\nENTRYPOINT e\n"
    )
    said = streamed(post(emptied, text, "t=conf&labels=%7B%22z%22%3A%221%22%7D"))
    assert "# Executing 1 build trigger\n" in said and "Step 14/14 : LABEL z=1\n" in said
    image = emptied.request("GET", "/v1.44/images/conf/json").json()
    found = image["Config"]
    assert found["Env"] == ["PATH=/bin", "B=2"] and found["Labels"] == {"triggered": "yes", "z": "1"}
    assert found["OnBuild"] is None and found["User"] == "u" and found["StopSignal"] == "9"
    assert found["Healthcheck"] == {"Test": ["CMD-SHELL", "x"], "Retries": 2}
    assert found["Entrypoint"] == ["/bin/sh", "-c", "e"] and found["Cmd"] is None
    assert image["Author"] == "me" and image["RootFS"]["Layers"] == [] and image["Parent"]
    history = emptied.request("GET", "/images/conf/history").json()
    assert history[0]["CreatedBy"] == "/bin/sh -c #(nop)  LABEL z=1"
    assert history[-1]["CreatedBy"] == "/bin/sh -c #(nop)  MAINTAINER me"


def test_steps_are_hidden_and_go_with_the_image(emptied: DaemonProcess) -> None:
    def listed(query: str) -> set[str]:
        return {image["Id"] for image in emptied.request("GET", f"/images/json{query}").json()}

    shown, before = listed(""), listed("?all=1")
    post(emptied, "FROM scratch\nENV A=hidden\nENV B=1\nENV C=1\n", "t=gone")
    assert (len(listed("") - shown), len(listed("?all=1") - before)) == (1, 3)
    removed = emptied.request("DELETE", "/images/gone").json()
    assert [list(step) for step in removed] == [["Untagged"], ["Deleted"], ["Deleted"], ["Deleted"]]
    assert listed("?all=1") == before
    said = streamed(post(emptied, "FROM scratch\nENV A=hidden\n"))
    assert "Using cache" not in said
    pruned = emptied.request("POST", "/build/prune").json()
    assert len(pruned["CachesDeleted"]) == 1 and pruned["SpaceReclaimed"] > 0
    assert listed("?all=1") == before


def test_a_time_for_everything_gives_the_same_image(emptied: DaemonProcess) -> None:
    query = "nocache=1&buildargs=" + "%7B%22SOURCE_DATE_EPOCH%22%3A%221000000000%22%7D"
    ids = {str(lines(post(emptied, "FROM scratch\nENV A=same\n", query))[-2]) for _ in range(2)}
    assert len(ids) == 1
    id = json.loads(ids.pop().replace("'", '"'))["aux"]["ID"]
    assert emptied.request("GET", f"/images/{id}/json").json()["Created"].startswith("2001-09-09T01:46:40")


def test_cache_from_and_arguments(emptied: DaemonProcess) -> None:
    text = "FROM scratch\nARG WHO=nobody\nLABEL who=$WHO\n"
    post(emptied, text, "t=cached")
    assert streamed(post(emptied, text, "cachefrom=%5B%22cached%22%5D")).count("Using cache") == 2
    assert "Using cache" not in streamed(post(emptied, text, "cachefrom=%5B%22nosuchtag%22%5D"))
    said = streamed(post(emptied, text, "buildargs=%7B%22WHO%22%3A%22me%22%2C%22Z%22%3A%221%22%7D&t=cached"))
    assert (
        said.count("Using cache") == 1 and "[Warning] One or more build-args [Z] were not consumed\n" in said
    )
    assert emptied.request("GET", "/images/cached/json").json()["Config"]["Labels"] == {"who": "me"}


@pytest.mark.parametrize(
    "dockerfile,query,status,told",
    [
        ("FROM scratch\nFOO\n", "", 400, "dockerfile parse error on line 2: unknown instruction: FOO"),
        ("", "", 400, "the Dockerfile cannot be empty"),
        ("FROM scratch\n", "dockerfile=other", 400, "Cannot locate specified Dockerfile: other"),
        ("FROM scratch\n", "dockerfile=../x", 400, "Forbidden path outside the build context: ../x ()"),
        ("FROM scratch\n", "target=none", 400, 'target stage "none" could not be found'),
        ("FROM scratch\n", "t=Bad", 400, "repository name"),
        ("FROM scratch\n", "platform=foobar", 400, "invalid platform"),
        ("FROM scratch\n", "buildargs=x", 400, "error reading buildargs"),
        ("FROM scratch\n", "networkmode=host", 400, "network=host cannot be had"),
        ("FROM scratch\n", "memory=5", 400, "memory"),
        ("FROM scratch\n", "cgroupparent=x", 501, "cgroup of the host"),
        ("FROM scratch\n", "version=2", 501, "DOCKER_BUILDKIT=0"),
        ("FROM scratch\n", "session=x", 501, "DOCKER_BUILDKIT=0"),
    ],
)  # fmt: skip
def test_refused_before_it_begins(
    daemon: DaemonProcess, dockerfile: str, query: str, status: int, told: str
) -> None:
    answer = post(daemon, dockerfile, query)
    assert answer.status == status and told in answer.message, answer.body


@pytest.mark.parametrize(
    "dockerfile,told",
    [
        ("FROM nowhere/none\n", "cannot reach 127.0.0.1"),  # the tests' mirror
        ("FROM scratch\n", "No image was generated. Is your Dockerfile empty?"),
        ("FROM scratch\nCOPY nothing /\n", "stat nothing: file does not exist"),
        ("FROM scratch\nCOPY ../x /\n", "COPY failed: forbidden path outside the build context: ../x ()"),
        ("FROM scratch\nCOPY f g /x\n", "the destination must be a directory and end with a /"),
        ("FROM scratch\nCOPY --from=7 a /\n", "invalid from flag value 7"),
        ("FROM scratch\nCOPY --from=nowhere/none a /\n", "cannot reach 127.0.0.1"),
        ("FROM scratch\nENV A=${B:?gone}\n", "dockerfile parse error on line 2: B: gone"),
        ("FROM scratch\nADD git@github.com:a/b.git /x\n", "Git repository is not there yet"),
        ("FROM scratch\nADD http://127.0.0.1:9/x /x\n", "ADD failed: http://127.0.0.1:9/x cannot be fetched"),
        ("FROM scratch\nRUN --mount=type=ssh,required x\n", "no SSH key 'default' forwarded from the client"),
    ],
)
def test_told_in_the_stream(daemon: DaemonProcess, dockerfile: str, told: str) -> None:
    last = lines(post(daemon, dockerfile, f="1", g="2"))[-1]
    assert told in str(last["error"]) and last["errorDetail"]["message"] == last["error"]  # type: ignore[index]


def test_an_upload_that_is_no_tar_or_cut_off(daemon: DaemonProcess) -> None:
    for data in (b"FROM scratch\n" * 100, context("FROM scratch\n" + "#" * 5000)[:2000]):
        answer = daemon.request("POST", "/build", data)
        assert answer.status == 400 and "the build context is not a usable tar archive" in answer.message
    assert list((daemon.home / "staging").glob("image-*")) == []


@pytest.mark.soak
def test_a_context_of_two_gigabytes_costs_no_memory(emptied: DaemonProcess, tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2 << 30)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nLABEL large=yes\n")
    process = Path(f"/proc/{emptied.pid}")
    (process / "clear_refs").write_text("5")  # the highest is from now on
    before = memory(process)["VmRSS"]
    ran = emptied.docker("build", "-q", str(tmp_path), env=CLASSIC, timeout=600)
    assert ran.returncode == 0, ran.stderr
    assert memory(process)["VmHWM"] - before < 100 << 10, (before, memory(process))
    assert not list((emptied.home / "staging").glob("image-*"))


def memory(process: Path) -> dict[str, int]:
    """KiB."""
    lines = [line.split() for line in (process / "status").read_text().splitlines()]
    return {words[0].rstrip(":"): int(words[1]) for words in lines if words[-1] == "kB"}


def test_what_is_pruned(emptied: DaemonProcess, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nENV ONE=1\nENV TWO=2\n")
    assert emptied.insula("build", "-q", str(tmp_path)).returncode == 0
    cached = emptied.request("GET", "/system/df").json()["BuildCache"]
    assert [(one["Type"], one["InUse"], one["Shared"]) for one in cached] == 2 * [("regular", False, False)]
    assert cached[1]["Parents"] == [cached[0]["ID"]] and "ENV TWO=2" in cached[1]["Description"]
    assert b"Build Cache" in emptied.docker("system", "df").stdout
    for filters, status in (('{"odd":["1"]}', 400), ('{"until":["1h","2h"]}', 400), ('{"until":["x"]}', 400)):
        assert emptied.request("POST", f"/build/prune?filters={filters}").status == status, filters
    assert emptied.request("POST", "/build/prune?max-used-space=1").status == 501
    for words in (("--filter", "until=1h"), ("--filter", "type=exec.cachemount"), ("--keep-storage", "1g")):
        kept = emptied.docker("builder", "prune", "-f", *words)
        assert b"Total:\t0B" in kept.stdout or b"0B" in kept.stdout, (kept.stdout, kept.stderr)
        assert b"sha256" not in emptied.insula("builder", "prune", "-f", *words).stdout
    gone = emptied.insula("builder", "prune", "-f", "--filter", f"parent={cached[0]['ID']}").stdout.decode()
    assert gone.splitlines()[0] == cached[1]["ID"]
    assert len(emptied.request("GET", "/system/df").json()["BuildCache"]) == 1


def test_cancel_and_buildkit(daemon: DaemonProcess) -> None:
    assert daemon.request("POST", "/build/cancel?id=x").status == 404
    assert daemon.request("POST", "/build/cancel").status == 400
    for path in ("/session", "/grpc"):
        answer = daemon.request("POST", path, headers={"Upgrade": "h2c", "Connection": "Upgrade"})
        assert answer.status == 501 and "DOCKER_BUILDKIT=0" in answer.message


def test_a_secret_header_that_is_none(daemon: DaemonProcess) -> None:
    bad = base64.b64encode(b'{"a": "*"}').decode()
    answer = daemon.request("POST", "/build", context("FROM scratch\n"), {"X-Insula-Build-Secrets": bad})
    assert answer.status == 400 and "*" not in answer.message


def test_the_docker_command(emptied: DaemonProcess, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nENV D=1\n")
    ran = emptied.docker("build", "-t", "by:docker", str(tmp_path), env=CLASSIC)
    assert ran.returncode == 0 and b"Successfully tagged by:docker\n" in ran.stdout, ran.stderr
    piped = emptied.docker("build", "-q", "-", input=b"FROM scratch\nENV D=1\n", env=CLASSIC)
    assert piped.stdout.decode().strip() == emptied.client.images.get("by:docker").id
    (tmp_path / "Dockerfile").write_text("FROM scratch\nNOPE\n")
    ran = emptied.docker("build", str(tmp_path), env=CLASSIC)
    assert ran.returncode == 1 and b"unknown instruction: NOPE" in ran.stderr


def test_docker_py(emptied: DaemonProcess) -> None:
    text = io.BytesIO(b"FROM scratch\nARG test\nUSER $test\n")
    image, logs = emptied.client.images.build(fileobj=text, tag="by:py", buildargs={"test": "OK"})
    assert image.attrs["Config"]["User"] == "OK"
    assert any("Successfully tagged by:py" in str(line.get("stream")) for line in logs)
    with pytest.raises(docker.errors.BuildError, match="No image was generated"):
        emptied.client.images.build(fileobj=io.BytesIO(b"FROM scratch\n"))
    assert isinstance(emptied.client.api.prune_builds()["SpaceReclaimed"], int)


def test_insula(emptied: DaemonProcess, tmp_path: Path) -> None:
    folder = tmp_path / "context"
    (folder / "big").mkdir(parents=True)
    (folder / "big" / "file").write_bytes(bytes(1 << 20))
    (folder / ".dockerignore").write_text("big\n*.secret\n")
    (folder / "Dockerfile").write_text("FROM scratch\nARG A\nLABEL a=$A\n")
    (folder / "gone").symlink_to("/nowhere")
    made = tmp_path / "id"
    words = ("build", "-t", "by:insula", "--build-arg", "A=x", "--label", "l=1", "--iidfile", str(made))
    ran = emptied.insula(*words, str(folder))
    assert ran.returncode == 0 and b"Successfully tagged by:insula\n" in ran.stdout, ran.stderr
    image = emptied.client.images.get("by:insula")
    assert made.read_text() == image.id and image.labels == {"a": "x", "l": "1"}
    elsewhere = tmp_path / "Other"
    elsewhere.write_text("FROM scratch\nCOPY big /\n")
    ran = emptied.insula("build", "-f", str(elsewhere), str(folder))
    assert ran.returncode == 1 and b"stat big: file does not exist" in ran.stderr
    ran = emptied.insula("build", "-q", "-", input=b"FROM scratch\nENV B=1\n")
    assert ran.returncode == 0 and ran.stdout.startswith(b"sha256:") and ran.stdout.count(b"\n") == 1
    ran = emptied.insula("build", "--squash", str(folder))
    assert ran.returncode == 0 and b"Successfully built" in ran.stdout  # there is nothing to squash
    assert emptied.insula("builder", "prune", "-f").stdout.startswith(b"sha256:")
