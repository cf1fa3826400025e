"""`scdual compare` writes what the Python calls return, and says in one line what is missing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from scdual.cli._app import app
from scdual.datasets import simulate
from scdual.model import SCDual
from scdual.tl import compare_networks

runner = CliRunner()


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, SCDual]:
    """Return a file with results, the folder of its model, and the model."""
    folder = tmp_path_factory.mktemp("fit")
    adata = simulate(150, 36, n_regulators=6, n_batches=2)
    adata.obs = adata.obs.rename(columns={"batch": "condition"})
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train(max_epochs=1)
    model.annotate()
    adata.write_h5ad(folder / "out.h5ad")
    model.save(str(folder / "model"))
    return folder / "out.h5ad", folder / "model", model


def run(*arguments: object) -> object:
    return runner.invoke(app, ["compare", *map(str, arguments)])


def test_conditions_of_one_file(fitted: tuple[Path, Path, SCDual], tmp_path: Path) -> None:
    path, model_dir, model = fitted
    tables = {name: tmp_path / f"{name}.csv" for name in ("edges", "regulators")}
    result = run(
        *(path, "--condition-key", "condition", "--model-dir", model_dir, "--top", 5),
        *("-o", tables["edges"], "--regulators-out", tables["regulators"]),
    )
    assert result.exit_code == 0, result.output
    assert "The unit is the cell" in result.stderr
    expected = model.compare_conditions("condition")
    pd.testing.assert_frame_equal(pd.read_csv(tables["edges"]), expected.edges[:5], rtol=1e-4)
    pd.testing.assert_frame_equal(pd.read_csv(tables["regulators"]), expected.regulators, rtol=1e-4)


@pytest.mark.filterwarnings("default:Two donors")
def test_what_cannot_be_said_is_said_once(fitted: tuple[Path, Path, SCDual], tmp_path: Path) -> None:
    path, model_dir, model = fitted
    adata = model.adata.copy()
    adata.obs["donor"] = np.resize(["one", "one", "two"], adata.n_obs)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    options = ("--condition-key", "condition", "--model-dir", model_dir, "--donor-key", "donor")
    lines = run(tmp_path / "cells.h5ad", *options).stderr.splitlines()
    assert [line for line in lines if "donor" in line] == lines
    assert [line[:22] for line in lines] == ["Warning: Two donors ca", "The unit is the donor:"]


def test_without_a_file_the_regulators_are_shown(fitted: tuple[Path, Path, SCDual]) -> None:
    path, model_dir, _ = fitted
    result = run(path, "--condition-key", "condition", "--model-dir", model_dir, "--reference", "batch_2")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("regulator,activity_difference,se,p_value,q_value,n_changed_targets")


def test_two_files(fitted: tuple[Path, Path, SCDual], annotated_path: Path, tmp_path: Path) -> None:
    path, _, model = fitted
    result = run(path, path, "-o", tmp_path / "edges.csv")
    assert result.exit_code == 0, result.output
    found = pd.read_csv(tmp_path / "edges.csv")
    network = model.get_regulation()
    assert list(found.columns[-4:]) == ["se", "z", "p_value", "q_value"]
    assert len(found) == len(compare_networks(network, network))
    assert (found["difference"] == 0).all()
    assert run(path, annotated_path).exit_code == 1  # no gene in common


@pytest.mark.filterwarnings("default:.*not fitted with the same prior")
def test_files_of_different_priors_are_named(fitted: tuple[Path, Path, SCDual], tmp_path: Path) -> None:
    path, _, model = fitted
    adata = model.adata.copy()
    adata.uns["scdual"] = {**adata.uns["scdual"], "prior": "0123"}
    adata.write_h5ad(tmp_path / "told.h5ad")
    said = "were not fitted with the same prior"
    assert said in run(path, tmp_path / "told.h5ad").stderr
    assert said not in run(tmp_path / "told.h5ad", tmp_path / "told.h5ad").stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "Found neither a second file nor --condition-key"),
        (["--condition-key", "condition"], "--condition-key and --model-dir go together"),
        (["--condition-key", "nope", "--model-dir", "MODEL"], "--condition-key nope"),
        (
            ["--condition-key", "condition", "--model-dir", "MODEL", "--group", "B"],
            "--group has no meaning when conditions",
        ),
        (["--condition-key", "condition", "--model-dir", "MODEL", "--donor-key", "donor"], "donor"),
        (["OUT", "--donor-key", "donor"], "--donor-key has no meaning when two files"),
        (["OUT", "--condition-key", "condition", "--model-dir", "MODEL"], "Found a second file and --condition-key"),
        (["OUT", "-o", "OUT"], "also the file|the input itself"),
    ],
    ids=str,
)
def test_errors_are_one_line(fitted: tuple[Path, Path, SCDual], options: list[str], said: str) -> None:
    path, model_dir, _ = fitted
    before = path.read_bytes()
    result = run(path, *({"MODEL": model_dir, "OUT": path}.get(option, option) for option in options))
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert any(part in result.stderr for part in said.split("|")), result.stderr
    assert path.read_bytes() == before
