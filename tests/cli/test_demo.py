"""`scdual demo` goes the whole way and leaves the files it promises. Simulated cells stand in for the real ones."""

import sys
from pathlib import Path

import anndata
import pandas as pd
import pytest
from typer.testing import CliRunner

from scdual import datasets
from scdual.cli import _clusters, _pictures
from scdual.cli._app import app
from scdual.cli._demo import _compared
from scdual.datasets import simulate


@pytest.fixture
def _small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    adata = simulate(n_obs=120, n_vars=40, n_regulators=6, library_size=5_000)
    adata.obs["bulk_labels"] = adata.obs.pop("cell_type")
    adata.var_names = [
        f"SOX{i}" if is_regulator else f"RPL{i}" for i, is_regulator in enumerate(adata.var["regulator"])
    ]
    monkeypatch.setattr(datasets, "pbmc68k", adata.copy)


def run(*args: object, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["demo", *map(str, args)], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


@pytest.mark.usefixtures("_small_data")
def test_leaves_every_promised_file_and_prints_one_table(tmp_path: Path) -> None:
    out = tmp_path / "new" / "demo"
    stdout, _ = run("--out", out, "--max-epochs", 2)
    names = {"pbmc68k.h5ad", "edges.csv", "umap.png", "loss.png", "heatmap.png", "network.png"}
    assert {path.name for path in out.iterdir()} == names
    adata = anndata.read_h5ad(out / "pbmc68k.h5ad")
    assert {"X_scdual", "X_umap"} <= set(adata.obsm)
    assert "leiden" in adata.obs
    edges = pd.read_csv(out / "edges.csv")
    assert list(edges) == ["source", "target", "weight", "sd", "support", "q_value", "n_cells"]
    strongest = edges[edges["weight"] > 0].iloc[0]
    in_the_table = f"{strongest.weight:+.2f} {strongest.source} -> {strongest.target} ({strongest.support:.2f})"
    assert in_the_table in stdout
    for expected in (
        "120",
        "40",
        "NMI",
        "ARI",
        "SCDual",
        "PCA",
        "best of 20 resolutions",
        "activating (support)",
        "repressing (support)",
    ):
        assert expected in " ".join(stdout.split())


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([0.68, 0.68], " (equal)"),
        ([0.68, 0.66], " (equal)"),
        ([0.66, 0.68], " (equal)"),
        ([0.68, 0.659], ""),
        ([0.6, 0.9], ""),
    ],
)
def test_what_is_equal_is_called_equal(scores: list[float], said: str) -> None:
    assert _compared(scores) == [f"{scores[0]:.3f}", f"{scores[1]:.3f}{said}"]


def test_output_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "demo").touch()
    _, stderr = run("--out", tmp_path / "demo", code=1)
    assert stderr == (
        f"Error: {tmp_path / 'demo'} of --out is a file, expected a directory or a new name. Choose another name.\n"
    )


FILES = ("pbmc68k.h5ad", "edges.csv", "umap.png", "loss.png", "heatmap.png", "network.png")


@pytest.mark.parametrize(("files", "folders"), [(["edges.csv"], []), ([], ["umap.png"]), (FILES[1:], FILES[:1])])
def test_files_of_someone_else_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], folders: list[str]
) -> None:
    monkeypatch.setattr(datasets, "pbmc68k", lambda: pytest.fail("began to work"))
    for name in folders:
        (tmp_path / name).mkdir()
        (tmp_path / name / "theirs").touch()
    for name in files:
        (tmp_path / name).touch()
    before = sorted(tmp_path.rglob("*"))
    _, stderr = run("--out", tmp_path, code=1)
    assert stderr.startswith(f"Error: {tmp_path} holds [")
    assert "from elsewhere" in stderr
    assert "Choose another name for --out" in stderr
    assert stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("_small_data")
def test_earlier_demo_is_replaced_and_other_files_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save_pictures(*_: object, folder: Path, **__: object) -> None:
        for name in FILES[2:]:
            (folder / name).write_text("new")

    monkeypatch.setattr(_pictures, "save_pictures", save_pictures)
    monkeypatch.setattr(_clusters, "add_clusters", lambda *_, **__: None)
    monkeypatch.setattr(_clusters, "best_agreement", lambda *_, **__: _clusters.Agreement(0.5, 0.5))
    for name in (*FILES, "notes.txt"):
        (tmp_path / name).write_text("old")
    run("--out", tmp_path, "--max-epochs", 1)
    assert (tmp_path / "notes.txt").read_text() == "old"
    assert all((tmp_path / name).read_bytes() != b"old" for name in FILES)


def test_missing_package_names_the_extra_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "igraph", None)
    _, stderr = run("--out", tmp_path / "demo", code=1)
    assert stderr == 'Error: igraph not found, needed here. Install with: pip install "scdual[demo]"\n'
    assert not (tmp_path / "demo").exists()
