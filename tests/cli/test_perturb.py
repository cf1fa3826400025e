"""`scdual perturb` writes what a saved model predicts."""

from pathlib import Path

import anndata
import pandas as pd
import pytest
import scvi
from typer.testing import CliRunner

from scdual.cli._app import app
from scdual.datasets import simulate
from scdual.model import SCDual


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with cells and a model of them."""
    folder = tmp_path_factory.mktemp("perturb")
    scvi.settings.seed = 0
    adata = simulate(150, 36, n_regulators=6)
    adata.write_h5ad(folder / "cells.h5ad")
    SCDual.setup_anndata(adata, labels_key="cell_type")
    model = SCDual(adata, regulators="regulator")
    model.train(1, enable_progress_bar=False)
    model.save(str(folder / "model"))
    return folder


def run(folder: Path, *options: object, code: int = 0) -> str:
    """Return the table on the screen, or the error."""
    given = ["perturb", folder / "model", folder / "cells.h5ad", *options]
    result = CliRunner().invoke(app, [str(each) for each in given], env={"COLUMNS": "300"})
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_writes_the_table_of_the_model(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "changes.csv"
    run(folder, "--gene", "REG01=0", "--gene", "REG02=2x", "--group", "type_1", "-o", out, "--top", 10)
    table = pd.read_csv(out, keep_default_na=False)
    model = SCDual.load(str(folder / "model"), adata=simulate(150, 36, n_regulators=6))
    scvi.settings.seed = 0
    expected = model.perturb({"REG01": 0, "REG02": "2x"}, group="type_1", shift=False).to_frame(10)
    assert table["gene"].tolist() == expected["gene"].tolist()
    pd.testing.assert_frame_equal(table, expected, check_dtype=False, rtol=1e-5)


def test_without_a_file_the_table_is_printed(folder: Path) -> None:
    lines = run(folder, "--gene", "REG01=0", "--top", 3, "--rounds", 0).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("gene,log_change,lower,upper,direct,indirect,count_change")


def test_cells_with_more_genes_than_the_model_are_taken(folder: Path, tmp_path: Path) -> None:
    adata = simulate(150, 36, n_regulators=6)
    other = adata[:, :2].copy()
    other.var_names = ["OTHER1", "OTHER2"]
    in_another_order = anndata.concat([other, adata[:, ::-1].copy()], axis="var", merge="first")
    in_another_order.write_h5ad(tmp_path / "cells.h5ad")
    given = ["perturb", folder / "model", tmp_path / "cells.h5ad", "--gene", "REG01=0"]
    result = CliRunner().invoke(app, [str(each) for each in given], env={"COLUMNS": "300"})
    assert result.exit_code == 0, result.output
    assert result.stdout == run(folder, "--gene", "REG01=0")


def test_missing_genes_are_named(folder: Path, tmp_path: Path) -> None:
    simulate(150, 36, n_regulators=6)[:, 1:].copy().write_h5ad(tmp_path / "cells.h5ad")
    given = ["perturb", folder / "model", tmp_path / "cells.h5ad", "--gene", "REG02=0"]
    result = CliRunner().invoke(app, [str(each) for each in given], env={"COLUMNS": "300"})
    assert result.exit_code == 1
    assert "1 of the model's 36 genes are missing" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gene", "REG01"], "--gene is 'REG01', expected NAME=VALUE, such as STAT1=0"),
        (["--gene", "REG01=0", "--gene", "REG01=2x"], "--gene names 'REG01' twice"),
        (["--gene", "REG01=half"], "`--gene` is 'half', expected 0 to knock it out"),
        (["--gene", "REG1=0"], "`--gene` names 'REG1', which is unknown .* Did you mean 'REG01'"),
        (["--gene", "REG01=0", "--groupby", "nope"], "--groupby is 'nope', but the columns of obs of"),
        (["--gene", "REG01=0", "--groupby", "cell_type"], "`--groupby` has no effect without `--group`"),
        (["--gene", "REG01=0", "--group", "B"], "`--?group` is 'B', expected one of"),
    ],
)
def test_errors_are_one_line(folder: Path, options: list[str], message: str) -> None:
    said = run(folder, *options, code=1)
    assert said.startswith("Error: ")
    assert said.count("\n") == 1
    assert pd.Series([said]).str.contains(message).all(), said


def test_the_cells_are_not_written_over(folder: Path) -> None:
    said = run(folder, "--gene", "REG01=0", "-o", folder / "cells.h5ad", code=1)
    assert "is the input itself" in said


def test_a_folder_without_a_model_is_named(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["perturb", str(tmp_path), str(folder / "cells.h5ad"), "--gene", "REG01=0"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
