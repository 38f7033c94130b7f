"""Nothing of the API is without an answer: its fields and operations against our tables, routes and page.

engine_api.json has names only, taken from moby v28.5.2's api/swagger.yaml (API 1.51), and those operations of its
routers that the schema leaves out.
"""

import json
import re
from pathlib import Path

import pytest

from insula.api.fields import CONFIG, ENDPOINT, HOST_CONFIG, Field
from insula.api.router import Router
from insula.api.server import ROUTES

ROOT = Path(__file__).resolve().parents[3]
API = json.loads((ROOT / "tests" / "api" / "engine_api.json").read_text())
OPERATIONS = [*API["operations"], *API["undocumented"]]
PAGE = (ROOT / "docs" / "compatibility.md").read_text()
LISTED = dict(re.findall(r"^\| `([A-Z]+ /(?!insula)\S+)` \| ([a-z ]+) \|$", PAGE, re.MULTILINE))


@pytest.mark.parametrize(
    "section,table",
    [("ContainerConfig", CONFIG), ("HostConfig", HOST_CONFIG), ("EndpointSettings", ENDPOINT)],
)
def test_every_field_is_listed(section: str, table: tuple[Field, ...]) -> None:
    assert set(API["fields"][section]) - {field.name for field in table} == set()
    assert all(f"| `{name}` |" in PAGE for name in API["fields"][section])


def test_the_page_lists_every_operation_and_no_other() -> None:
    assert len(API["operations"]) == 107
    assert set(LISTED) == set(OPERATIONS)
    assert set(LISTED.values()) == {"done", "later", "none there", "no swarm"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_has_a_route(operation: str) -> None:
    method, path = operation.split()
    for name in ("x", "a/b") if "/images/{name}" in path else ("x",):
        assert Router(ROUTES).find(method, re.sub(r"\{\w+\}", name, path))[0]
