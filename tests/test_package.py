"""The package as a whole: version, lazy parts, `python -m scdual`."""

import importlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest

import scdual

ROOT = Path(__file__).parents[1]
PARTS = [name for name in scdual.__all__ if name != "__version__"]


def run_python(*args: str) -> str:
    return subprocess.run([sys.executable, *args], check=True, capture_output=True, text=True).stdout


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited is not None
    assert scdual.__version__ == project["version"] == cited[1]


def test_links_on_pypi_lead_out_of_its_page() -> None:
    links = re.findall(r"\]\(([^)]+)\)", metadata("scdual").get_payload())
    assert len(links) > 10
    assert [link for link in links if not link.startswith("https://")] == []


def test_import_loads_no_part_and_nothing_heavy() -> None:
    heavy = {"anndata", "matplotlib", "networkx", "numpy", "pandas", "scanpy", "scvi", "torch"}
    code = f"import sys, scdual; print(sorted(m for m in sys.modules if m in {heavy} or m.startswith('scdual.')))"
    assert run_python("-c", code).strip() == "[]"


@pytest.mark.parametrize("name", PARTS)
def test_part_is_loaded_when_used(name: str) -> None:
    assert getattr(scdual, name) is importlib.import_module(f"scdual.{name}")


def test_dir_lists_public_names() -> None:
    assert dir(scdual) == sorted(scdual.__all__)


def test_unknown_attribute_names_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'plots'.*'pl'"):
        _ = scdual.plots


def test_module_runs_the_command_line() -> None:
    help_text = run_python("-m", "scdual", "--help")
    for command in ("demo", "fit", "edges", "info", "report"):
        assert command in help_text
