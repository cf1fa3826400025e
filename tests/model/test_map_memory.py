"""The estimate of memory is that of the numbers that are kept, and stops what would not fit before anything is changed."""

import subprocess
import sys

import pytest

from scdual.datasets import simulate
from scdual.model import SCDual, _map_memory
from scdual.model._map_memory import HELD, learning_bytes, writing_bytes
from scdual.model._results import network_matrices

GROWTH = """
import ctypes, gc
import numpy as np, torch
from anndata import AnnData
from scipy.sparse import random as random_sparse
from scdual.model import SCDual
from scdual.model._map_memory import learning_bytes, writing_bytes

torch.set_num_threads(1)
n_genes, n_regulators = 5_000, 1_000

def resident(key):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(key))

def growth(call):
    gc.collect()  # else memory that an earlier call has freed is used again, and nothing grows
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # glibc
        libc.malloc_trim(0)
    open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
    before = resident("VmRSS")
    call()
    return resident("VmHWM") - before

counts = random_sparse(400, n_genes, density=0.1, format="csr", random_state=0, data_rvs=lambda n: np.ones(n))
adata = AnnData(counts.astype(np.float32))
adata.var_names = [f"g{i}" for i in range(n_genes)]
SCDual.setup_anndata(adata)
model = SCDual(adata, regulators=list(adata.var_names[:n_regulators]))
learnt = growth(lambda: model.train(1, enable_progress_bar=False, max_steps=2))
written = growth(model.annotate)
print("RESULT", learnt, learning_bytes(n_genes, n_regulators), written, writing_bytes(n_genes, n_regulators))
"""


@pytest.fixture
def model() -> SCDual:
    adata = simulate(150, 36, n_regulators=6, n_batches=2)
    SCDual.setup_anndata(adata, batch_key="batch")
    return SCDual(adata, regulators="regulator", n_hidden=16)


def leave(monkeypatch: pytest.MonkeyPatch, n_bytes: int | None) -> None:
    monkeypatch.setattr(_map_memory, "available_memory", lambda: n_bytes)


def test_what_a_model_holds_is_counted(model: SCDual) -> None:
    regulation_map = model.module.map
    held = [*regulation_map.known.buffers(), regulation_map.gate.pair_offset]
    pairs = [values for values in held if values.ndim]
    assert sum(values.nbytes for values in pairs) == HELD * 36 * 6
    assert all(values.shape == (36, 6) for values in pairs)


def test_what_is_written_is_counted(model: SCDual) -> None:
    model.train(1, enable_progress_bar=False)
    network = model.get_regulation()
    matrices = network_matrices({"scdual_regulation": network}, model.adata.var_names)
    stored = sum(matrix.data.nbytes + matrix.indices.nbytes for matrix in matrices.values())
    one_more_group = writing_bytes(36, 6, n_groups=2) - writing_bytes(36, 6, n_groups=1)
    assert stored == one_more_group * network.n_edges / (36 * 6)
    assert writing_bytes(36, 6, share=0.5) < writing_bytes(36, 6)


def test_a_map_of_a_genome_needs_less_than_six_gigabytes() -> None:
    assert 2e9 < learning_bytes(20_000, 1_600) + HELD * 20_000 * 1_600 < 6e9


def test_a_model_that_cannot_be_held_is_not_built(monkeypatch: pytest.MonkeyPatch, model: SCDual) -> None:
    leave(monkeypatch, HELD * 36 * 6 - 1)
    with pytest.raises(ValueError, match=r"model of 6 regulators and 36 genes .* are available; choose fewer genes"):
        SCDual(model.adata, regulators="regulator", n_hidden=16)
    leave(monkeypatch, HELD * 36 * 6)
    SCDual(model.adata, regulators="regulator", n_hidden=16)


def test_a_map_that_cannot_be_learnt_leaves_model_and_data_as_they_were(
    monkeypatch: pytest.MonkeyPatch, model: SCDual, unchanged: object
) -> None:
    leave(monkeypatch, learning_bytes(36, 6) - 1)
    with (
        unchanged(model.adata),
        pytest.raises(ValueError, match=r"To learn the map of 6 regulators .* name fewer `regulators`"),
    ):
        model.train(1, accelerator="cpu", enable_progress_bar=False)
    assert not model.is_trained
    leave(monkeypatch, None)  # a system that does not say
    model.train(1, accelerator="cpu", enable_progress_bar=False)


def test_a_large_estimate_is_told_before_training(
    monkeypatch: pytest.MonkeyPatch, model: SCDual, caplog: pytest.LogCaptureFixture
) -> None:
    leave(monkeypatch, 10**12)
    monkeypatch.setattr(_map_memory, "_LARGE", 1e3)
    with caplog.at_level("INFO", logger="scdual"):
        model.train(1, accelerator="cpu", enable_progress_bar=False)
    assert "To learn the map of 6 regulators and 36 genes takes about 0.1 GB of memory" in caplog.text


def test_results_that_do_not_fit_leave_the_data_as_they_were(
    monkeypatch: pytest.MonkeyPatch, model: SCDual, unchanged: object
) -> None:
    model.train(1, enable_progress_bar=False)
    leave(monkeypatch, writing_bytes(36, 6, n_groups=2) - 1)
    with (
        unchanged(model.adata),
        pytest.raises(ValueError, match=r"3 maps of 6 regulators .* larger `min_support`.* fewer groups"),
    ):
        model.annotate(groupby="batch")
    model.annotate()  # one map fits
    known = model.module.map.known.support
    share = int((known >= 0.9).sum()) / known.numel()
    leave(monkeypatch, writing_bytes(36, 6, n_groups=2, share=share))
    model.annotate(groupby="batch", min_support=0.9)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_estimates_are_near_what_is_measured() -> None:
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", GROWTH], capture_output=True, text=True, check=True)
    (result,) = (line.split()[1:] for line in run.stdout.splitlines() if line.startswith("RESULT"))
    learnt, of_learning, written, of_writing = map(int, result)
    assert 0.6 * of_learning < learnt < 1.2 * of_learning
    assert 0.3 * of_writing < written < 1.2 * of_writing
