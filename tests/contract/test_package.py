"""What a user of scvi-tools expects of the package around the model."""

import ast
import inspect
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import scdual
from scdual.model import SCDual

ROOT = Path(__file__).parents[2]
SOURCE = Path(scdual.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
METHODS = sorted(name for name, _ in inspect.getmembers(SCDual, callable) if not name.startswith("_"))
IMPORTS = """
import sys
from time import perf_counter as now

start = now()
import scvi
between, optional = now(), {"huggingface_hub", "matplotlib", "networkx", "ray"} - set(sys.modules)
import scdual.model
print(between - start, now() - between, *(optional & set(sys.modules)))
"""
SMOKE = """
import sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
import scdual
from scdual.datasets import simulate
from scdual.model import SCDual
assert scdual.__file__.startswith(sys.argv[1]), scdual.__file__

adata = simulate(60, 20, n_regulators=4)
adata.var_names = ["GATA1", "SPI1", "TCF7"] + [f"ACTB{i}" for i in range(17)]
SCDual.setup_anndata(adata)
model = SCDual(adata, regulators="human")
model.train(1)
print("RESULT", *model.regulators, *model.get_regulation().weight.shape)
"""


def python(*arguments: str) -> str:
    run = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


def lost_warnings(source: str) -> list[int]:
    """Return the lines on which a warning is made and thrown away, or raised as if it were an error."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        made = {ast.Expr: "value", ast.Raise: "exc"}.get(type(node))
        call = made and getattr(node, made)
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("Warning"):
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_documented_without_placeholders(method: str) -> None:
    text = inspect.getdoc(getattr(SCDual, method))
    assert text
    assert "%(" not in text


def test_the_class_is_documented_without_placeholders() -> None:
    text = inspect.getdoc(SCDual)
    assert "Parameters" in text
    assert "%(" not in text


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_no_warning_is_made_and_thrown_away(file: Path) -> None:
    assert lost_warnings(file.read_text(encoding="utf-8")) == []


def test_a_warning_thrown_away_would_be_found() -> None:
    assert lost_warnings('x = 1\nUserWarning("lost")\nraise Warning("no error")\nwarn(UserWarning("seen"))') == [2, 3]


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"anndata", "huggingface_hub", "matplotlib", "networkx", "pandas", "scanpy", "scvi", "torch"}
    assert python("-c", f"import sys, scdual; print(*({heavy} & set(sys.modules)))").split() == []


@pytest.fixture(scope="module")
def model_import() -> list[str]:
    """Return seconds of importing scvi-tools, of importing the model after it, and what the latter loads beside."""
    return python("-W", "ignore", "-c", IMPORTS).split()


@pytest.mark.slow
def test_importing_the_model_loads_no_optional_package(model_import: list[str]) -> None:
    assert model_import[2:] == []


@pytest.mark.slow
def test_importing_the_model_takes_at_most_half_as_long_again_as_importing_scvi(model_import: list[str]) -> None:
    scvi_seconds, own_seconds = map(float, model_import[:2])
    assert own_seconds < 0.5 * scvi_seconds


@pytest.mark.slow
def test_the_wheel_holds_all_that_the_model_needs(tmp_path: Path) -> None:
    build = pytest.importorskip("hatchling.builders.wheel")
    (wheel,) = build.WheelBuilder(str(ROOT)).build(directory=str(tmp_path))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    wanted = {file.relative_to(SOURCE) for file in SOURCE.rglob("*") if file.is_file() and file.suffix != ".pyc"}
    found = tmp_path / "site" / "scdual"
    assert {file.relative_to(found) for file in found.rglob("*") if file.is_file()} == wanted
    (tmp_path / "smoke.py").write_text(SMOKE, encoding="utf-8")
    printed = python(str(tmp_path / "smoke.py"), str(tmp_path / "site"))
    assert "RESULT GATA1 SPI1 TCF7 3 20" in printed
