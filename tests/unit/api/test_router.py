import pytest

from insula.api.call import Call
from insula.api.router import Route, Router, compile_path
from insula.api.server import ROUTES
from insula.errors import NotFound


async def first(call: Call) -> None: ...
async def second(call: Call) -> None: ...


def test_a_name_may_hold_slashes_where_the_table_says_so() -> None:
    match = compile_path("/images/{name:path}/json").fullmatch("/images/a.b:5000/c/d:e/json")
    assert match and match["name"] == "a.b:5000/c/d:e"
    assert compile_path("/exec/{id}/json").fullmatch("/exec/a/b/json") is None
    assert compile_path("/images/{name:path}/json").fullmatch("/images//json") is None


def test_the_first_route_wins_and_the_method_counts() -> None:
    one, two = Route("GET", "/a/{x}", first), Route("GET", "/a/{y:path}", second)  # type: ignore[arg-type]
    router = Router([one, two])
    assert router.find("GET", "/a/b") == (one, {"x": "b"})
    assert router.find("GET", "/a/b/c") == (two, {"y": "b/c"})
    for method, path in (("POST", "/a/b"), ("GET", "/b"), ("GET", ""), ("GET", "a"), ("GET", "//")):
        with pytest.raises(NotFound, match="page not found"):
            router.find(method, path)


ENDPOINTS = """
GET /_ping|HEAD /_ping|GET /version|GET /info|GET /events|GET /system/df|POST /auth
GET /containers/json|POST /containers/create|GET /containers/x/json|GET /containers/x/top|GET /containers/x/changes
GET /containers/x/export|GET /containers/x/logs|GET /containers/x/stats|POST /containers/x/resize
POST /containers/x/start|POST /containers/x/stop|POST /containers/x/restart|POST /containers/x/kill
POST /containers/x/update|POST /containers/x/rename|POST /containers/x/pause|POST /containers/x/unpause
POST /containers/x/attach|GET /containers/x/attach/ws|POST /containers/x/wait|DELETE /containers/x
HEAD /containers/x/archive|GET /containers/x/archive|PUT /containers/x/archive|POST /containers/prune
POST /containers/x/exec|POST /exec/x/start|POST /exec/x/resize|GET /exec/x/json
GET /images/json|GET /images/a/b/json|POST /images/create|POST /images/a/b/push|POST /images/a/b/tag
DELETE /images/a/b|GET /images/a/b/history|GET /images/search|POST /images/prune|POST /commit|GET /images/a/b/get
GET /images/get|POST /images/load|POST /build|POST /build/prune
GET /networks|GET /networks/|GET /networks/x|POST /networks/create|POST /networks/x/connect
POST /networks/x/disconnect|DELETE /networks/x|POST /networks/prune
GET /volumes|GET /volumes/x|POST /volumes/create|DELETE /volumes/x|PUT /volumes/x|POST /volumes/prune
GET /distribution/a/b/json|POST /session|POST /grpc|POST /build/cancel
GET /swarm|POST /swarm/init|POST /swarm/join|POST /swarm/leave|POST /swarm/update|GET /swarm/unlockkey
POST /swarm/unlock|GET /nodes|GET /nodes/x|DELETE /nodes/x|POST /nodes/x/update|GET /services
POST /services/create|GET /services/x|DELETE /services/x|POST /services/x/update|GET /services/x/logs|GET /tasks
GET /tasks/x|GET /tasks/x/logs|GET /secrets|POST /secrets/create|GET /secrets/x|DELETE /secrets/x
POST /secrets/x/update|GET /configs|POST /configs/create|GET /configs/x|DELETE /configs/x|POST /configs/x/update
GET /plugins|GET /plugins/privileges|POST /plugins/pull|GET /plugins/x/json|DELETE /plugins/x
POST /plugins/x/enable|POST /plugins/x/disable|POST /plugins/x/upgrade|POST /plugins/create|POST /plugins/x/push
POST /plugins/x/set
"""


@pytest.mark.parametrize("endpoint", [e for line in ENDPOINTS.split("\n") for e in line.split("|") if e])
def test_every_endpoint_of_the_engine_api_has_an_answer_of_its_own(endpoint: str) -> None:
    method, path = endpoint.split()
    assert Router(ROUTES).find(method, path)[0]
