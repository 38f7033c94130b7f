import pytest

from insula.container.log_attributes import read_attributes, render_tag
from insula.container.record import Record
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec
from insula.errors import InvalidArgument


def record(**options: str) -> Record:
    return Record(
        id="0123456789ab" + "c" * 52,
        name="web",
        created_ns=1,
        spec=ContainerSpec(
            image="busybox:1", log_options={k.replace("_", "-"): v for k, v in options.items()}
        ),
        settings=Settings(
            cmd=("sleep", "5"),
            env=("PATH=/bin", "TIER=front", "TERM"),
            labels={"com.app": "shop", "com.stage": "test", "other": ""},
        ),
        image_id="sha256:" + "d" * 64,
        platform="linux/amd64",
    )


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, {}),
        ({"labels": "com.app,other,missing"}, {"com.app": "shop", "other": ""}),
        ({"env": "TIER,TERM,HOME"}, {"TIER": "front"}),
        ({"labels_regex": r"^com\."}, {"com.app": "shop", "com.stage": "test"}),
        ({"env_regex": "^T", "labels": "other"}, {"TIER": "front", "other": ""}),
        ({"tag": "{{.Name}}/{{ .ID }}"}, {"tag": "web/0123456789ab"}),
        ({"tag": "", "labels": ""}, {}),
    ],
)
async def test_attributes(options: dict[str, str], found: dict[str, str]) -> None:
    assert await read_attributes(record(**options)) == found


def test_the_tags_fields() -> None:
    tag = render_tag("{{.ImageName}} {{.ImageID}} {{.Command}} {{.DaemonName}} {{.FullID}}", record())
    assert tag == f"busybox:1 dddddddddddd sleep 5 insula {record().id}"


@pytest.mark.parametrize("template", ["{{.Secret}}", "{{json .}}", "{{.ID", "{{}}"])
async def test_a_tag_that_is_refused(template: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid log opt tag"):
        await read_attributes(record(tag=template))


@pytest.mark.parametrize("expression", ["(", "[z-a]", "a**", "(?P<x"])
async def test_what_is_no_expression(expression: str) -> None:
    with pytest.raises(InvalidArgument, match="error parsing regexp"):
        await read_attributes(record(env_regex=expression))


async def test_an_expression_that_never_ends_is_given_up() -> None:
    spec = record(labels_regex="(x+x+)+y")
    spec.settings.labels["x" * 64] = ""
    with pytest.raises(InvalidArgument, match="takes too long"):
        await read_attributes(spec)


async def test_bounds() -> None:
    with pytest.raises(InvalidArgument, match="more than 1000 characters"):
        await read_attributes(record(labels_regex="x" * 1001))
    spec = record(labels="big")
    spec.settings.labels["big"] = "x" * (33 << 10)
    with pytest.raises(InvalidArgument, match="more than 32 KiB"):
        await read_attributes(spec)
