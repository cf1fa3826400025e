"""`scdual fit` checks everything it can before training, then writes the annotated file."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from typer.testing import CliRunner

from scdual.cli._app import app
from scdual.cli._fit import show_next
from scdual.datasets import simulate
from scdual.grn import from_frame
from scdual.model import SCDual
from scdual.pp import select_genes

HOLD_LOCK = """
import sys
from scdual._writing import lock
with lock(sys.argv[1]):
    print("has it", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    adata = simulate(n_obs=120, n_vars=40, n_regulators=6, n_batches=2, library_size=5_000)
    adata.layers["raw"] = adata.X.copy()
    adata.write_h5ad(tmp_path / "in.h5ad")
    return tmp_path / "in.h5ad"


def run(*args: object, code: int = 0) -> str:
    """Return what `scdual fit` says: the summary if all is well, otherwise the error."""
    result = CliRunner().invoke(app, ["fit", *map(str, args)], env={"COLUMNS": "300"})
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


@pytest.mark.parametrize("n_edges", [0, 1])
def test_a_network_without_edges_is_told(n_edges: int, capsys: pytest.CaptureFixture[str]) -> None:
    adata = anndata.AnnData(np.ones((3, 2), dtype=np.float32))
    adata.varp["scdual_regulation"] = csr_matrix(np.array([[0, n_edges], [0, 0]], dtype=np.float32))
    show_next(SimpleNamespace(adata=adata), Path("out.h5ad"))
    shown, said = capsys.readouterr()
    assert shown == ("Next: scdual edges out.h5ad -o edges.csv\n" if n_edges else "")
    assert said.startswith("Warning: No edge stands out of its errors, so the network is empty." if not n_edges else "")


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test fail if anything is trained."""

    def train(*_: object, **__: object) -> None:
        pytest.fail("trained before all arguments were checked")

    monkeypatch.setattr(SCDual, "train", train)


def test_writes_the_annotated_file_and_says_what_is_next(path: Path) -> None:
    out = path.with_name("out.h5ad")
    before = anndata.read_h5ad(path)
    said = run(path, "-o", out, "--max-epochs", 2, "--regulators", "regulator", "--accelerator", "cpu")
    after = anndata.read_h5ad(out)
    assert after.obsm["X_scdual"].shape[0] == 120
    assert after.varp["scdual_regulation"].shape == (40, 40)
    assert set(after.var_names[after.var["scdual_regulator"]]) == set(before.var_names[before.var["regulator"]])
    np.testing.assert_array_equal(after.X.toarray(), before.X.toarray())
    assert f"scdual edges {out} -o edges.csv" in said
    for expected in ("120", "40", "2 epochs"):
        assert expected in said


def test_edges_of_the_file_carry_their_evidence(path: Path) -> None:
    out, table = path.with_name("out.h5ad"), path.with_name("edges.csv")
    run(path, "-o", out, "--max-epochs", 1, "--regulators", "regulator", "--accelerator", "cpu")
    result = CliRunner().invoke(app, ["edges", str(out), "-o", str(table)])
    assert result.exit_code == 0, result.output
    edges = pd.read_csv(table)
    assert list(edges) == ["source", "target", "weight", "sd", "support"]
    assert len(edges) == anndata.read_h5ad(out).varp["scdual_regulation"].nnz > 0
    assert (edges["sd"] > 0).all()
    assert edges["support"].between(0, 1).all()
    assert edges["support"].head(20).mean() > edges["support"].tail(20).mean()  # the strongest are the surest
    pd.testing.assert_frame_equal(from_frame(table).to_frame(), from_frame(edges).to_frame())


def test_options_reach_the_model(path: Path) -> None:
    genes = anndata.read_h5ad(path).var_names
    names, prior, folder = (path.with_name(name) for name in ("names.txt", "prior.csv", "model"))
    names.write_text(f"{genes[0]}\n\n  {genes[1]}  \n", encoding="utf-8")
    pd.DataFrame({"source": [genes[0]], "target": [genes[2]], "weight": [1.0]}).to_csv(prior, index=False)
    keys = ["--layer", "raw", "--batch-key", "batch", "--labels-key", "cell_type"]
    files = ["--regulators", names, "--prior", prior, "--model-dir", folder]
    out = path.with_name("out.h5ad")
    run(path, "-o", out, "--max-epochs", 1, "--accelerator", "cpu", *keys, *files)
    after = anndata.read_h5ad(out)
    assert set(after.var_names[after.var["scdual_regulator"]]) == {genes[0], genes[1]}
    for stem in ("scdual_regulation", "scdual_sd", "scdual_support"):
        assert {stem, *(f"{stem}_type_{i}" for i in range(1, 6))} <= set(after.varp)
    setup = SCDual.load_registry(str(folder))["setup_args"]
    assert (setup["layer"], setup["batch_key"], setup["labels_key"]) == ("raw", "batch", "cell_type")


def test_the_network_alone_is_that_of_a_training(path: Path) -> None:
    alone, trained = path.with_name("alone.h5ad"), path.with_name("trained.h5ad")
    said = run(path, "-o", alone, "--regulators", "regulator", "--map-only", "--model-dir", path.with_name("model"))
    assert "the network alone" in said
    run(path, "-o", trained, "--regulators", "regulator", "--max-epochs", 1)
    adata, expected = anndata.read_h5ad(alone), anndata.read_h5ad(trained)
    np.testing.assert_array_equal(
        adata.varp["scdual_regulation"].toarray(), expected.varp["scdual_regulation"].toarray()
    )
    assert "X_scdual" in expected.obsm
    assert not set(adata.obsm)
    assert not SCDual.load(path.with_name("model"), adata=anndata.read_h5ad(path)).is_trained


@pytest.mark.parametrize(("option", "value"), [("--max-epochs", 3), ("--checkpoint-dir", "kept")])
def test_the_network_alone_has_no_epochs(path: Path, option: str, value: object) -> None:
    said = run(path, "-o", path.with_name("out.h5ad"), "--map-only", option, value, code=1)
    assert f"--map-only and {option} do not go together" in said
    assert [each.name for each in path.parent.iterdir()] == ["in.h5ad"]


def test_genes_are_chosen_and_the_others_stay_in_raw(path: Path) -> None:
    out = path.with_name("out.h5ad")
    before = anndata.read_h5ad(path)
    options = ("--max-epochs", 1, "--regulators", "regulator", "--accelerator", "cpu")
    run(path, "-o", out, *options, "--n-top-genes", 12, "--min-cells", 7, "--ensemble", 2)
    after = anndata.read_h5ad(out)
    expected = select_genes(before, 12, "regulator", min_cells=7, inplace=False, subset=True)
    assert expected is not None
    assert after.var_names.tolist() == expected.index.tolist()
    assert 12 < after.n_vars <= 18
    assert after.raw.var_names.tolist() == before.var_names.tolist()
    assert after.uns["scdual"]["model"]["min_cells"] == 7
    assert set(np.unique(after.varp["scdual_support"].data)) <= {0.0, 0.5, 1.0}  # halves of the cells that agree


def test_values_that_are_no_counts_are_taken_only_when_asked(path: Path) -> None:
    adata = anndata.read_h5ad(path)
    adata.X = adata.X * 0.5
    adata.write_h5ad(path)
    options = [path, "-o", path.with_name("out.h5ad"), "--max-epochs", 1, "--regulators", "regulator"]
    assert "`--layer`, or insist with `--no-require-counts`" in run(*options, code=1)
    run(*options, "--no-require-counts")


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("option", "room"), [("--layer", "layers"), ("--batch-key", "columns of obs"), ("--labels-key", "columns of obs")]
)
def test_file_without_any_says_to_leave_out_the_option(path: Path, option: str, room: str) -> None:
    adata = anndata.read_h5ad(path)
    anndata.AnnData(adata.X, var=adata.var).write_h5ad(path)
    said = run(path, "-o", path.with_name("out.h5ad"), option, "counts", code=1)
    assert said == f"Error: {option} is 'counts', but {path} has no {room}. Leave out {option}.\n"


def test_unknown_accelerator_names_the_option(path: Path) -> None:
    said = run(path, "-o", path.with_name("out.h5ad"), "--accelerator", "x", "--regulators", "regulator", code=1)
    assert said.startswith("Error: `--accelerator` is 'x', expected one of")


def test_one_epoch_is_singular(path: Path) -> None:
    said = run(path, "-o", path.with_name("out.h5ad"), "--max-epochs", 1, "--regulators", "regulator")
    assert "1 epoch " in said


@pytest.mark.filterwarnings("default::UserWarning")
def test_labels_without_a_network_cost_no_results(path: Path) -> None:
    adata = anndata.read_h5ad(path)
    adata.obs["own"] = adata.obs_names
    adata.write_h5ad(path)
    out = path.with_name("out.h5ad")
    options = ["-o", str(out), "--max-epochs", "1", "--regulators", "regulator", "--labels-key", "own"]
    result = CliRunner().invoke(app, ["fit", str(path), *options])
    assert result.exit_code == 0
    assert "Warning: There are no networks by label: None of the 120 groups" in result.stderr
    assert "scdual_regulation" in anndata.read_h5ad(out).varp


def test_same_seed_gives_the_same_result(path: Path) -> None:
    latent = []
    for seed in (1, 1, 2):
        out = path.with_name("out.h5ad")
        run(path, "-o", out, "--max-epochs", 1, "--regulators", "none", "--accelerator", "cpu", "--seed", seed)
        latent.append(anndata.read_h5ad(out).obsm["X_scdual"])
    np.testing.assert_array_equal(latent[0], latent[1])
    assert not np.array_equal(latent[0], latent[2])


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param(["-o", "in.h5ad"], "in.h5ad is the input itself", id="output is input"),
        pytest.param(["-o", "link.h5ad"], "link.h5ad is the input itself", id="output is a link to the input"),
        pytest.param(["--prior", "out.h5ad"], "out.h5ad is also the file of --prior", id="output is prior"),
        pytest.param(["--regulators", "names.h5ad", "-o", "names.h5ad"], "also the file of --regulators", id="names"),
        pytest.param(
            ["--model-dir", "theirs"], "['model.json'], which was not saved with a model", id="files of another"
        ),
        pytest.param(["--model-dir", "out.h5ad"], "out.h5ad is given to both --out and --model-dir", id="one output"),
        pytest.param(
            ["--model-dir", "./a/../out.h5ad"], "is given to both --out and --model-dir", id="one output twice"
        ),
        pytest.param(["-o", "nope/out.h5ad"], "nope of nope/out.h5ad does not exist", id="no directory"),
        pytest.param(["-o", "out.csv"], "out.csv ends with '.csv', expected .h5ad", id="suffix"),
        pytest.param(["--layer", "x"], "--layer is 'x', but the layers of in.h5ad are [", id="layer"),
        pytest.param(
            ["--batch-key", "x"], "--batch-key is 'x', but the columns of obs of in.h5ad are ['cell_", id="batch"
        ),
        pytest.param(["--labels-key", "x"], "--labels-key is 'x'", id="labels"),
        pytest.param(["--regulators", "x"], "--regulators is 'x', which is no file and none of the", id="regulators"),
        pytest.param(["--regulators", "empty.txt"], "empty.txt of --regulators is empty", id="empty file"),
        pytest.param(["--regulators", "latin.txt"], "latin.txt of --regulators is no text in UTF-8", id="no UTF-8"),
        pytest.param(["--regulators", "names.txt"], "NOPE", id="unknown regulator"),
        pytest.param(["--regulators", "SPIB,FOS"], "names go one per line into a file", id="names with commas"),
        pytest.param(["--regulators", f"{'SPIB,' * 100}"], "names go one per line into a file", id="many names"),
        pytest.param(["--regulators", "table.csv"], "table.csv of --regulators looks like a table", id="table"),
        pytest.param(["--prior", "nope.csv"], "nope.csv of --prior is no file", id="no prior"),
        pytest.param(["--prior", "names.txt"], "source", id="prior without columns"),
        pytest.param(["--model-dir", "empty.txt"], "empty.txt of --model-dir is a file", id="model directory"),
        pytest.param(["--model-dir", "nope/model"], "nope of nope/model does not exist", id="parent of model"),
    ],
)
def test_error_is_one_line_and_comes_before_training(
    path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], message: str
) -> None:
    monkeypatch.chdir(path.parent)
    Path("empty.txt").touch()
    Path("names.txt").write_text("NOPE\n", encoding="utf-8")
    Path("link.h5ad").symlink_to("in.h5ad")
    Path("table.csv").write_text("source,target\nSPI1,LYZ\n", encoding="utf-8")
    Path("a").mkdir()
    Path("theirs").mkdir()
    Path("theirs/model.json").write_text("{}", encoding="utf-8")
    Path("names.h5ad").touch()
    Path("latin.txt").write_bytes("β".encode("utf-16"))
    before = sorted(Path().iterdir())
    usual = {"-o": "out.h5ad", "--regulators": "regulator"}
    added = [text for option, value in usual.items() if option not in args for text in (option, value)]
    said = run("in.h5ad", *args, *added, code=1)
    assert message in said
    assert said.startswith("Error: ")
    assert said.count("\n") == 1
    assert sorted(Path().iterdir()) == before


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("name", ["out.h5ad", "model"])
def test_second_writer_is_refused_before_training(path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(path.parent)
    Path("out.h5ad").write_bytes(b"old")
    with subprocess.Popen([sys.executable, "-c", HOLD_LOCK, name], stdin=-1, stdout=-1, text=True) as other:
        other.stdout.readline()
        said = run("in.h5ad", "-o", "out.h5ad", "--model-dir", "model", "--regulators", "regulator", code=1)
        other.kill()
    assert (
        said
        == f"Error: {name} is being written by another process. Wait until that one ends, or choose another name.\n"
    )
    assert Path("out.h5ad").read_bytes() == b"old"


def test_interrupted_training_leaves_the_old_results(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(model: SCDual, **_: object) -> None:
        model.interrupted_ = {"n_epochs": 3, "max_epochs": 20}
        raise KeyboardInterrupt

    monkeypatch.setattr(SCDual, "train", interrupted)
    monkeypatch.chdir(path.parent)
    Path("out.h5ad").write_bytes(b"old")
    before = sorted(Path().iterdir())
    said = run("in.h5ad", "-o", "out.h5ad", "--model-dir", "model", "--regulators", "regulator", code=130)
    assert said == "\nInterrupted: training stopped after 3 of 20 epochs; out.h5ad is as it was.\n"
    assert sorted(Path().iterdir()) == before
    assert Path("out.h5ad").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1, "There is no room to write out.h5ad"),
        (KeyboardInterrupt(), 130, "Interrupted: the model is in model; out.h5ad is as it was."),
    ],
)
def test_model_is_safe_before_the_large_file_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(anndata.io, "write_elem", fail)
    monkeypatch.chdir(path.parent)
    Path("out.h5ad").write_bytes(b"old")
    options = ["--max-epochs", 1, "--regulators", "regulator", "--accelerator", "cpu"]
    said = run("in.h5ad", "-o", "out.h5ad", "--model-dir", "model", *options, code=code)
    assert message in said
    assert said.strip().count("\n") == 0
    assert Path("out.h5ad").read_bytes() == b"old"
    assert SCDual.load("model", anndata.read_h5ad("in.h5ad"), accelerator="cpu").is_trained
    assert sorted(map(str, Path().iterdir())) == ["in.h5ad", "model", "out.h5ad"]


def test_results_are_written_even_if_the_model_has_no_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise full

    full = OSError("There is no room to write model.")
    monkeypatch.setattr(SCDual, "save", fail)
    monkeypatch.chdir(path.parent)
    options = ["--max-epochs", 1, "--regulators", "regulator", "--accelerator", "cpu"]
    said = run("in.h5ad", "-o", "out.h5ad", "--model-dir", "model", *options, code=1)
    assert said.endswith("Error: There is no room to write model. The results are in out.h5ad.\n")
    assert "X_scdual" in anndata.read_h5ad("out.h5ad").obsm


@pytest.mark.usefixtures("no_training")
def test_mudata_file_says_what_is_expected(path: Path) -> None:
    path = path.rename(path.with_suffix(".h5mu"))
    assert "expected .h5ad. MuData is not supported here" in run(path, "-o", path.with_name("out.h5ad"), code=1)


@pytest.mark.parametrize("args", [[], ["in.h5ad"], ["in.h5ad", "-o", "out.h5ad", "--max-epochs", "0"]])
def test_wrong_usage_exits_with_two(args: list[str]) -> None:
    run(*args, code=2)


def test_a_stopped_fit_goes_on_and_its_checkpoint_is_cleared_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out, whole = (path.with_name(name) for name in ("state", "out.h5ad", "whole.h5ad"))
    options = ["--max-epochs", 2, "--regulators", "regulator", "--accelerator", "cpu"]
    run(path, "-o", whole, *options)
    options += ["--checkpoint-dir", folder]

    def fail(*_: object, **__: object) -> None:
        msg = "the disk is full"
        raise OSError(msg)

    with monkeypatch.context() as patched:
        patched.setattr("scdual.cli._files.write_h5ad", fail)
        run(path, "-o", out, *options, code=1)
    assert [file.name for file in folder.iterdir()] == ["seed_0.ckpt"]
    assert "2 epochs" in run(path, "-o", out, *options)
    assert not list(folder.iterdir())
    first, second = (anndata.read_h5ad(file) for file in (whole, out))
    np.testing.assert_array_equal(first.obsm["X_scdual"], second.obsm["X_scdual"])
    np.testing.assert_array_equal(first.varp["scdual_attention"].toarray(), second.varp["scdual_attention"].toarray())


def test_the_checkpoint_of_another_fit_is_refused(path: Path) -> None:
    folder, out = path.with_name("state"), path.with_name("out.h5ad")
    folder.mkdir()
    (folder / "seed_0.ckpt").write_text("no checkpoint")
    options = ["-o", out, "--max-epochs", 1, "--regulators", "regulator", "--checkpoint-dir", folder]
    said = run(path, *options, code=1)
    assert said.splitlines()[1:] == [
        f"Error: `--checkpoint-dir` {folder / 'seed_0.ckpt'} is no whole checkpoint of Lightning (it cannot be read); "
        "pass another, or remove it and train from the beginning."
    ]
    assert not out.exists()
    said = run(path, "-o", out, "--checkpoint-dir", path, code=1)
    assert "in.h5ad is also" in said or "is the input itself" in said


@pytest.mark.slow
def test_a_killed_fit_goes_on_to_the_same_file(path: Path) -> None:
    folder, out, whole = (path.with_name(name) for name in ("state", "out.h5ad", "whole.h5ad"))
    options = ["--max-epochs", "12", "--regulators", "regulator", "--accelerator", "cpu"]

    def command(to: Path, *further: str) -> list[str]:
        return [sys.executable, "-m", "scdual", "fit", str(path), "-o", str(to), *options, *further]

    env = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command(whole), check=True, capture_output=True, env=env)
    keep = ["--checkpoint-dir", str(folder)]
    with subprocess.Popen(
        command(out, *keep), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
    ) as process:
        while not (folder / "seed_0.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.001)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert torch.load(folder / "seed_0.ckpt")["epoch"] < 11  # in the middle
    done = subprocess.run(command(out, *keep), check=True, capture_output=True, text=True, env=env)
    assert f"Going on from {folder / 'seed_0.ckpt'}" in done.stderr
    first, second = (anndata.read_h5ad(file) for file in (whole, out))
    for key in ("scdual_regulation", "scdual_attention", "scdual_gate"):
        np.testing.assert_array_equal(first.varp[key].toarray(), second.varp[key].toarray())
    np.testing.assert_array_equal(first.obsm["X_scdual"], second.obsm["X_scdual"])
