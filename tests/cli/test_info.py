"""`scdual info` shows what scdual left in a file or in the directory of a model."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from scdual.cli._app import app


def run(path: Path, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["info", str(path)], env={"COLUMNS": "300"})
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def saved_model(folder: Path, name: str = "SCDual") -> Path:
    """Write what scvi-tools keeps of a model, apart from weights."""
    registry = {"model_name": name, "scvi_version": "1.4.2", "setup_args": {"layer": "counts", "batch_key": None}}
    init_params = {"non_kwargs": {"n_latent": 17, "regulators": "human"}, "kwargs": {"model_kwargs": {"n_layers": 4}}}
    folder.mkdir()
    torch.save(
        {
            "model_state_dict": {},
            "var_names": ["A"],
            "attr_dict": {"registry_": registry, "init_params_": init_params},
        },
        folder / "model.pt",
    )
    return folder


def test_shows_size_results_and_parameters_of_a_file(annotated_path: Path) -> None:
    text, _ = run(annotated_path)
    for expected in ("cells", "12", "genes", "5", "counts", "parameters.n_latent", "seed", "7"):
        assert expected in text
    for key in ('obsm["X_scdual"]', 'var["scdual_regulator"]', 'varp["scdual_regulation_NK"]'):
        assert key in text


def test_file_without_results_points_to_fit(counts_path: Path) -> None:
    text, _ = run(counts_path)
    assert f"none: scdual fit {counts_path}" in text


def test_shows_how_a_saved_model_was_made(tmp_path: Path) -> None:
    text, _ = run(saved_model(tmp_path / "model"))
    for expected in ("1.4.2", "layer", "counts", "n_latent", "17", "regulators", "human", "model_kwargs.n_layers"):
        assert expected in text


def test_model_of_another_package_is_an_error(tmp_path: Path) -> None:
    _, stderr = run(saved_model(tmp_path / "model", name="SCVI"), code=1)
    assert "holds a model 'SCVI', expected 'SCDual'" in stderr


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_damaged_model_is_a_one_line_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    _, stderr = run(tmp_path, code=1)
    assert "cannot be read as a saved model" in stderr
    assert stderr.count("\n") == 1


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_anything_else_is_a_one_line_error(tmp_path: Path, make: object) -> None:
    path = tmp_path / "thing"
    make(path)
    _, stderr = run(path, code=1)
    assert stderr.startswith(f"Error: {path}")
    assert "expected" in stderr
    assert stderr.count("\n") == 1
