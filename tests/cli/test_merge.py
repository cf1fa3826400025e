"""`scdual merge` gives what one process would have learnt, and refuses what does not belong together."""

import re
import shutil
from pathlib import Path

import anndata
import numpy as np
import pytest
import scvi
from typer.testing import CliRunner

from scdual.cli._app import app
from scdual.datasets import simulate
from scdual.model import SCDual

CELLS = simulate(200, 30, n_regulators=4, edges_per_target=(1, 2), library_size=2_000)


def run(*arguments: object, code: int = 0) -> str:
    """Return what a command says, or its error."""
    result = CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "300"})
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def fit(folder: Path, name: str, *options: object, cells: str = "cells.h5ad") -> None:
    common = ["--regulators", "regulator", "--max-epochs", 1, "--accelerator", "cpu"]
    run("fit", folder / cells, "-o", folder / f"{name}.h5ad", "--model-dir", folder / name, *common, *options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with cells and what jobs with two seeds have made of them."""
    folder = tmp_path_factory.mktemp("merge")
    CELLS.write_h5ad(folder / "cells.h5ad")
    CELLS[::-1].copy().write_h5ad(folder / "others.h5ad")
    for seed in (3, 4):
        fit(folder, f"model_{seed}", "--ensemble", 2, "--seed", seed, "--labels-key", "cell_type")
    fit(folder, "alone", "--seed", 5, "--labels-key", "cell_type")
    fit(folder, "of_others", "--ensemble", 2, "--seed", 5, "--labels-key", "cell_type", cells="others.h5ad")
    return folder


def merge(
    folder: Path, out: Path, *names: str, data: str = "cells.h5ad", options: tuple[object, ...] = ()
) -> list[str]:
    return ["merge", *(folder / name for name in names), "--data", folder / data, "-o", out, *options]


def test_the_file_is_that_of_one_process(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5ad"
    told = run(*merge(folder, out, "model_3", "model_4", options=("--model-dir", tmp_path / "model")))
    assert "members" in told
    model = SCDual.load(folder / "model_3", adata=anndata.read_h5ad(folder / "cells.h5ad"))
    members = []
    for seed in (3, 4):
        scvi.settings.seed = seed
        model.train_ensemble(2, enable_progress_bar=False)
        members += [network.weight for network in model.ensemble_networks()]
    found = anndata.read_h5ad(out)
    rows = found.var_names.get_indexer(model.regulators)
    weight = found.varp["scdual_regulation"].toarray()[rows]
    sd = np.std(members, axis=0, ddof=1) * (weight != 0)
    assert weight.any()
    np.testing.assert_allclose(found.varp["scdual_sd"].toarray()[rows] * (weight != 0), sd, rtol=1e-4, atol=1e-6)
    first = anndata.read_h5ad(folder / "model_3.h5ad")
    np.testing.assert_array_equal(found.obsm["X_scdual"], first.obsm["X_scdual"])
    np.testing.assert_array_equal(weight, first.varp["scdual_regulation"].toarray()[rows])
    assert [key for key in found.varp if key.startswith("scdual_support_")]
    loaded = SCDual.load(tmp_path / "model", adata=False)
    np.testing.assert_array_equal(members, [network.weight for network in loaded.ensemble_networks()])


def test_the_output_of_a_fit_holds_its_cells(folder: Path, tmp_path: Path) -> None:
    files = [tmp_path / "input.h5ad", tmp_path / "output.h5ad"]
    for out, data in zip(files, ("cells.h5ad", "model_3.h5ad"), strict=True):
        run(*merge(folder, out, "model_3", "model_4", data=data))
    one, other = (anndata.read_h5ad(file).varp["scdual_support"] for file in files)
    assert (one != other).nnz == 0


@pytest.mark.parametrize(
    ("names", "data", "message"),
    [
        (["model_3"], "cells.h5ad", "Found one model, .*model_3, expected at least two"),
        (["model_3", "model_3"], "cells.h5ad", "model_3 was learnt with seed 3 as the model was"),
        (["model_3", "alone"], "cells.h5ad", "alone has no ensemble to merge; fit with --ensemble first"),
        (
            ["model_3", "of_others"],
            "cells.h5ad",
            "of_others has other counts than the model",
        ),
        (["model_3", "nowhere"], "cells.h5ad", "nowhere does not exist, expected the folder of a saved model"),
        (
            ["model_3", "cells.h5ad"],
            "cells.h5ad",
            "cells.h5ad is a file, expected a folder that `scdual fit --model-dir`",
        ),
        (["model_3", "."], "cells.h5ad", "holds no model.json, expected the folder of a saved model"),
        (
            ["model_3", "model_4"],
            "others.h5ad",
            "others.h5ad of --data holds other cells than those that .*model_3 was",
        ),
        (["model_3", "model_4"], "nowhere.h5ad", "nowhere.h5ad does not exist, expected an .h5ad file"),
    ],
)
def test_errors_are_one_line_and_change_nothing(
    folder: Path, tmp_path: Path, names: list[str], data: str, message: str
) -> None:
    out = tmp_path / "out.h5ad"
    out.write_text("old")
    said = run(*merge(folder, out, *names, data=data), code=1)
    assert said.startswith("Error: ")
    assert said.count("\n") == 1
    assert re.search(message, said), said
    assert out.read_text() == "old"


def test_inputs_are_not_written_over(folder: Path, tmp_path: Path) -> None:
    for options, out, message in (
        ((), folder / "cells.h5ad", "is also the file of --data"),
        (("--model-dir", folder / "model_4"), tmp_path / "out.h5ad", "model_4 is also"),
    ):
        assert message in run(*merge(folder, out, "model_3", "model_4", options=options), code=1)


def test_a_damaged_model_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "model_4", tmp_path / "damaged")
    path = tmp_path / "damaged" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    arguments = merge(folder, tmp_path / "out.h5ad", "model_3", "model_4")
    said = run(*(tmp_path / "damaged" if each == folder / "model_4" else each for each in arguments), code=1)
    assert "damaged" in said
    assert not (tmp_path / "out.h5ad").exists()
