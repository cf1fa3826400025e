"""`scdual info` shows what scdual left in a file or in the directory of a model."""

import pickle
import re
from pathlib import Path

import pytest
import scvi
import torch
from scvi.model.base import BaseModelClass
from typer.testing import CliRunner

from scdual.cli._app import app
from scdual.datasets import simulate
from scdual.model import SCDual


def run(path: Path, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["info", str(path)], env={"COLUMNS": "300"})
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


@pytest.fixture(scope="module")
def model() -> SCDual:
    scvi.settings.seed = 0
    adata = simulate(60, 12, n_regulators=3, library_size=1_000)
    SCDual.setup_anndata(adata, labels_key="cell_type")
    model = SCDual(adata, regulators="regulator", n_latent=17, n_embed=8, n_heads=1, n_pool=2)
    model.train(1, plan_kwargs={"lr": 1e-3})
    return model


@pytest.fixture
def folder(model: SCDual, tmp_path: Path) -> Path:
    model.save(tmp_path / "model")
    return tmp_path / "model"


def test_shows_size_results_and_parameters_of_a_file(annotated_path: Path) -> None:
    text, _ = run(annotated_path)
    for expected in ("cells", "12", "genes", "5", "counts", "parameters.n_latent", "seed", "7"):
        assert expected in text
    keys = ['obsm["X_scdual"]', 'var["scdual_regulator"]', 'var["scdual_n_cells"]', 'varp["scdual_regulation_NK"]']
    for key in (*keys, 'varp["scdual_sd"]', 'varp["scdual_support"]', 'varp["scdual_support_CD4+%2FCD8+"]'):
        assert key in text


def test_file_without_results_points_to_fit(counts_path: Path) -> None:
    text, _ = run(counts_path)
    assert f"none: scdual fit {counts_path}" in text


def test_shows_how_a_saved_model_was_made(folder: Path) -> None:
    text, _ = run(folder)
    rows = dict(re.findall(r"│ (\S.*?) +│ (\S.*?) +│", text))
    expected = {
        "genes": "12",
        "trained": "yes",
        "data": "not saved with it",
        "seed": "0",
        "seed_at_construction": "0",
        "setup.labels_key": "cell_type",
        "model.n_latent": "17",
        "trainings.1_train.max_epochs": "1",
        "trainings.1_train.plan_kwargs": "{'lr': 0.001}",
        "versions.torch": torch.__version__,
        "prior": "none",
    }
    assert {name: rows.get(name) for name in expected} == expected
    assert re.fullmatch("[0-9a-f]{32}", rows["data.counts"])


def test_a_file_tells_the_same_of_its_run(model: SCDual, folder: Path, tmp_path: Path) -> None:
    model.annotate()
    model.adata.write_h5ad(tmp_path / "out.h5ad")
    text, _ = run(tmp_path / "out.h5ad")
    of_folder, _ = run(folder)
    for line in of_folder.splitlines():
        if "trainings." in line or "versions." in line or "data." in line:
            assert " ".join(line.split()) in " ".join(text.split())
    assert '"steps"' not in text  # which is for `SCDual.repeat`


def test_no_model_is_built_and_no_code_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        pytest.fail("was called")

    for where, name in ((torch, "load"), (pickle, "load"), (SCDual, "__init__"), (SCDual, "load")):
        monkeypatch.setattr(where, name, refuse)
    run(folder)


def test_a_pickle_is_not_opened(model: SCDual, tmp_path: Path) -> None:
    BaseModelClass.save(model, str(tmp_path / "old"))
    _, stderr = run(tmp_path / "old", code=1)
    assert "holds model.pt" in stderr
    assert "a pickle, which can run any code when it is opened and so was not opened" in stderr
    assert stderr.count("\n") == 1


def test_model_of_another_package_is_an_error(model: SCDual, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(model.registry_, "model_name", "Other")
    model.save(tmp_path / "model")
    _, stderr = run(tmp_path / "model", code=1)
    assert "holds a model 'Other', expected 'SCDual'" in stderr


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_damaged_model_is_a_one_line_error(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    _, stderr = run(folder, code=1)
    assert f"{name} is damaged" in stderr
    assert stderr.count("\n") == 1


def test_a_path_that_is_not_there_may_be_a_file_or_a_folder(tmp_path: Path) -> None:
    _, stderr = run(tmp_path / "nope", code=1)
    assert stderr == (
        f"Error: {tmp_path / 'nope'} does not exist, expected an .h5ad file or the folder of a saved model. "
        "Check the path.\n"
    )


@pytest.mark.parametrize("name", ["model.json", "my_model.safetensors", "model.pt"])
def test_a_file_of_a_model_points_to_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    _, stderr = run(tmp_path / name, code=1)
    assert stderr.endswith(f"expected the folder it lies in. Give the folder {tmp_path}.\n")


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_anything_else_is_a_one_line_error(tmp_path: Path, make: object) -> None:
    path = tmp_path / "thing"
    make(path)
    _, stderr = run(path, code=1)
    assert stderr.startswith(f"Error: {path}")
    assert "expected" in stderr
    assert stderr.count("\n") == 1


def test_a_model_that_knows_its_map_alone_says_so(tmp_path: Path) -> None:
    adata = simulate(60, 20, n_regulators=4)
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train_map()
    model.save(tmp_path / "model")
    text, _ = run(tmp_path / "model")
    assert dict(re.findall(r"│ (\S.*?) +│ (\S.*?) +│", text))["trained"] == "the network alone"
