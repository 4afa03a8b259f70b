"""The engine reads no clock and draws no random number: everything comes in as an argument."""

import ast
from pathlib import Path

import pytest

from packages.shared_settings.layers import ROOT

BANNED_CALLS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter"}
BANNED_MODULES = {"random", "secrets", "time", "os", "socket", "pathlib", "uuid"}


def impurities(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) if name in BANNED_CALLS:
                found.append(f"line {node.lineno}: calls {name}()")
            case ast.Import(names=names):
                found += [f"line {node.lineno}: imports {n.name}" for n in names if n.name in BANNED_MODULES]
            case ast.ImportFrom(module=module) if module in BANNED_MODULES:
                found.append(f"line {node.lineno}: imports from {module}")
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "packages" / "scheduling").rglob("*.py")), ids=lambda path: path.name)
def test_a_module_of_the_engine_is_pure(path: Path) -> None:
    assert impurities(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source", ["import random", "from time import sleep", "x = datetime.now(UTC)", "time.time()", "date.today()"]
)
def test_the_check_can_fail(source: str) -> None:
    assert impurities(source)
