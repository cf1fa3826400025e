"""Imports point downward: a file may import only from floors below its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import scdual

FLOORS = (  # lowest first; rooms on one floor do not know each other
    {"_checks", "_constants", "_installed", "_memory", "_plain", "_spreadsheet", "_types", "_warning", "_writing"},
    {"_saved", "grn"},
    {"data", "nn"},
    {"module"},
    {"model"},
    {"datasets", "pp", "tl", "pl"},
    {"cli"},
    {"__main__"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def imported_names(path: Path) -> Iterator[str]:
    """Yield every imported module as a dotted name; a relative one starts with a dot."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def complaint(name: str, own_room: str) -> str | None:
    """Return what is wrong with importing `name` in a file of `own_room`, or None."""
    if name.startswith("."):
        return "is relative"
    package, _, rest = name.partition(".")
    if package != "scdual":
        return None
    room = rest.partition(".")[0]
    if not room:
        return "is bare"
    if room not in FLOOR_OF:
        return "is on no floor"
    if room != own_room and FLOOR_OF[room] >= FLOOR_OF[own_room]:
        return "is not below"
    return None


def wrong_imports(root: Path) -> list[str]:
    """Return one line for each file without a floor and for each import that does not point downward."""
    found = []
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root)
        own_room = inside.parts[0].removesuffix(".py")
        if own_room == "__init__":
            continue
        if own_room not in FLOOR_OF:
            found.append(f"{inside}: is on no floor")
            continue
        wrong = {name: complaint(name, own_room) for name in imported_names(path)}
        found += [f"{inside}: {name} {reason}" for name, reason in wrong.items() if reason]
    return found


def circles(root: Path) -> list[str]:
    """Return the files that are imported, at whatever depth, by what they import themselves."""
    files = {".".join(("scdual", *path.relative_to(root).with_suffix("").parts)): path for path in root.rglob("_*.py")}
    needs = {name: set(imported_names(path)) & files.keys() for name, path in files.items() if path.stem != "__init__"}
    return sorted(name for name in needs if name in reached(name, needs))


def reached(start: str, needs: dict[str, set[str]]) -> set[str]:
    """Return what a file imports, directly or through others."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = needs.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def test_imports_point_downward() -> None:
    assert wrong_imports(Path(scdual.__file__).parent) == []


def test_no_file_imports_itself_through_others() -> None:
    assert circles(Path(scdual.__file__).parent) == []


def test_a_circle_is_caught(tmp_path: Path) -> None:
    write(tmp_path, "grn/_network.py", "from scdual.grn._convert import from_frame")
    write(tmp_path, "grn/_convert.py", "def late():\n    from scdual.grn._network import RegulatoryNetwork")
    write(tmp_path, "grn/_align.py", "from scdual.grn._network import RegulatoryNetwork")
    assert circles(tmp_path) == ["scdual.grn._convert", "scdual.grn._network"]


@pytest.mark.parametrize(
    "statement",
    [
        "import scdual.model",
        "import scdual.model._scdual as m",
        "from scdual.model import SCDual",
        "def late():\n    from scdual.model._scdual import SCDual",
    ],
)
def test_upward_import_is_caught(tmp_path: Path, statement: str) -> None:
    write(tmp_path, "grn/_network.py", statement)
    assert len(wrong_imports(tmp_path)) == 1
    assert "is not below" in wrong_imports(tmp_path)[0]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("from ..model import SCDual", "is relative"),
        ("from . import _convert", "is relative"),
        ("import scdual", "is bare"),
        ("from scdual import model", "is bare"),
        ("import scdual.helpers", "is on no floor"),
    ],
)
def test_unclear_import_is_caught(tmp_path: Path, statement: str, reason: str) -> None:
    write(tmp_path, "grn/_network.py", statement)
    assert len(wrong_imports(tmp_path)) == 1
    assert wrong_imports(tmp_path)[0].endswith(reason)


@pytest.mark.parametrize(("room", "neighbour"), [("data", "nn"), ("nn", "data"), ("tl", "pl"), ("pl", "tl")])
def test_rooms_on_one_floor_do_not_know_each_other(tmp_path: Path, room: str, neighbour: str) -> None:
    write(tmp_path, f"{room}/_file.py", f"import scdual.{neighbour}")
    assert wrong_imports(tmp_path) == [f"{room}/_file.py: scdual.{neighbour} is not below"]


def test_file_without_a_floor_is_caught(tmp_path: Path) -> None:
    write(tmp_path, "utils.py", "import math")
    assert wrong_imports(tmp_path) == ["utils.py: is on no floor"]


def test_downward_own_and_foreign_imports_pass(tmp_path: Path) -> None:
    write(tmp_path, "model/__init__.py", "from scdual.model._scdual import SCDual")
    write(tmp_path, "model/_scdual.py", "import torch\nfrom scdual.grn import RegulatoryNetwork\nimport scdual._types")
    assert wrong_imports(tmp_path) == []
