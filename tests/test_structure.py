"""The shape of the tree, held: who imports whom, sizes, names on disk, who may sleep, one word a thing."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "hypervisor" / "insula"
SOURCES = sorted(PACKAGE.rglob("*.py"))

BASE = {
    "errors",
    "events",
    "paths",
    "run_folder",
    "process",
    "database",
    "packages",
    "config",
    "lent",
    "locks",
    "thread",
    "patterns",
}
PARTS = {"image", "network", "volume", "machine", "agent"}  # never import each other
MAY_IMPORT: dict[str, set[str]] = dict.fromkeys(BASE | PARTS, BASE) | {
    "guest": BASE | {"machine", "agent"},
    "container": BASE | PARTS | {"guest"},
    "build": BASE | PARTS | {"guest", "container"},
    "api": BASE | {"container", "build", "image", "network", "volume"},
    "daemon": BASE | PARTS | {"guest", "container", "build", "api"},
    "cli": {"paths", "patterns", "run_folder"},
    "__main__": {"cli", "daemon"},
    "__init__": set(),
}

SLEEPERS = {
    "guest/pool.py": "fills when nothing was started for a moment",
    "container/stats.py": "one sample a second",
    "container/health_watch.py": "the interval between two probes",
    "container/ending.py": "a full disk: tries again",
    "container/log_keeper.py": "a full disk: tries again",
    "machine/settling.py": "until a machine has had nothing to do for a moment",
    "image/registry/patience.py": "between two tries that brought nothing",
    "cli/": "progress",
}
"""Where time itself is the point. Everything else awaits an event."""

LONG_FILES: dict[str, str] = {}
"""Files above 400 lines, each with its reason."""


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "insula" else [f"insula.{a.name}" for a in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("insula.")}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_part_imports_only_what_lies_below_it(path: Path) -> None:
    part = part_of(path)
    assert imports_of(path) <= MAY_IMPORT[part] | {part}


def test_the_import_rule_can_fail(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("def f():\n    from insula.container import spec\n")
    assert not imports_of(planted) <= MAY_IMPORT["machine"] | {"machine"}


def test_no_file_is_too_long_to_read_in_one_sitting() -> None:
    long = {str(p.relative_to(PACKAGE)): n for p in SOURCES if (n := len(p.read_text().splitlines())) > 400}
    assert set(long) <= set(LONG_FILES), long
    c = {
        p.name: n
        for p in (ROOT / "guest-agent").glob("*.[ch]")
        if (n := len(p.read_text().splitlines())) > 350
    }
    assert not c


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(p.relative_to(PACKAGE))
        for p in SOURCES
        if p.name != "__init__.py" and not ast.get_docstring(ast.parse(p.read_text()))
    ]
    assert not silent


def test_only_where_time_is_the_point_does_anything_sleep() -> None:
    sleeping = {
        str(p.relative_to(PACKAGE))
        for p in SOURCES
        if re.search(r"\b(asyncio|time)\.sleep\((?!0\))", p.read_text())
    }
    assert {s for s in sleeping if not any(s.startswith(allowed) for allowed in SLEEPERS)} == set()


def test_no_vague_names() -> None:
    vague = re.compile(r"utils?|helpers?|common|manager|base|misc")
    assert not [str(p) for p in SOURCES if vague.fullmatch(p.stem)]


def test_one_word_a_thing() -> None:
    wrong = re.compile(r"\b(virtual_machine|vm_|_vm\b|sandbox_)")
    assert not [f"{p.name}: {m[0]}" for p in SOURCES for m in wrong.finditer(p.read_text())]


def test_every_name_on_disk_is_documented() -> None:
    documented = (ROOT / "docs" / "on-disk.md").read_text()
    names = re.findall(r'(?:self\.(?:home|run)|self\.container\(\w+\)|self\.machine\(\w+\))((?: / "[^"]+")+)',
                       (PACKAGE / "paths.py").read_text())  # fmt: skip
    for chain in names:
        path = "/".join(re.findall(r'"([^"]+)"', chain))
        assert path in documented, path
