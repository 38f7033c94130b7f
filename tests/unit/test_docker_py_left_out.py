"""What `make test-docker-py` leaves out is told in docs/compatibility.md, each with its reason."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_test_that_is_left_out_is_documented() -> None:
    spec = importlib.util.spec_from_file_location("docker_py_run", ROOT / "tests" / "docker_py" / "run.py")
    assert spec is not None and spec.loader is not None
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    text = (ROOT / "docs" / "compatibility.md").read_text().partition("## docker-py's own tests")[2]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{name}` | {reason} |" for name, reason in run.LEFT_OUT.items()]
