"""On a CUDA device a model trains in every way that it does on the CPU, and is read out to the same numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData
from lightning.pytorch.callbacks import ModelCheckpoint

from scdual.datasets import simulate
from scdual.model import SCDual

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
    pytest.mark.filterwarnings(
        "ignore:Sparse (CSR tensor support is in beta|invariant checks are implicitly disabled)"
    ),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),
]
WAYS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bf16-mixed": {"precision": "bf16-mixed"},
    "CSR minibatches": {"load_sparse_tensor": True},
    "pinned memory": {"datasplitter_kwargs": {"pin_memory": True}},
}


def cells() -> AnnData:
    return simulate(300, 60, n_regulators=8, n_batches=2, library_size=3_000)


def trained(accelerator: str, *, epochs: int = 6, **options: Any) -> SCDual:
    scvi.settings.seed = 0
    data = cells()
    SCDual.setup_anndata(data, batch_key="batch", labels_key="cell_type")
    model = SCDual(data, regulators="regulator")
    model.train(epochs, accelerator=accelerator, devices=1, batch_size=64, enable_progress_bar=False, **options)
    return model


@pytest.fixture(scope="module")
def on_cpu() -> SCDual:
    return trained("cpu")


@pytest.mark.parametrize("way", WAYS)
def test_a_device_trains_to_the_losses_of_the_cpu(way: str, on_cpu: SCDual) -> None:
    model = trained("gpu", **WAYS[way])
    assert model.device.type == "cuda"
    for key in ("train_loss", "validation_loss"):
        found, expected = (each.history[key].to_numpy(dtype=float) for each in (model, on_cpu))
        np.testing.assert_allclose(found, expected, rtol=0.1, err_msg=key)
    np.testing.assert_allclose(model.get_regulation().weight, on_cpu.get_regulation().weight, atol=1e-3)


def test_what_is_read_out_is_that_of_the_cpu(on_cpu: SCDual, tmp_path: Path) -> None:
    on_cpu.save(tmp_path / "model", overwrite=True)
    model = SCDual.load(tmp_path / "model", adata=cells(), accelerator="gpu")
    reads = [
        lambda model: model.get_latent_representation(),
        lambda model: np.stack([each.weight for each in model.get_regulation(groupby="cell_type").values()]),
        lambda model: model.get_regulation(kind="influence").weight,
        lambda model: model.get_regulation(kind="attention").weight,
        lambda model: model.predict(soft=True).to_numpy(),
    ]
    for read in reads:
        found, expected = read(model), read(on_cpu)
        np.testing.assert_allclose(found, expected, atol=1e-3 * np.nanmax(np.abs(expected)))


def test_an_ensemble_is_that_of_the_cpu(on_cpu: SCDual, tmp_path: Path) -> None:
    on_cpu.save(tmp_path / "model", overwrite=True)
    members = []
    for accelerator in ("cpu", "gpu"):
        scvi.settings.seed = 0
        model = SCDual.load(tmp_path / "model", adata=cells(), accelerator="cpu")
        model.train_ensemble(2, accelerator=accelerator, devices=1, enable_progress_bar=False)
        assert all(values.device.type == "cpu" for state in model.ensemble_ for values in state.values())
        members.append(np.stack([network.weight for network in model.ensemble_networks()]))
    np.testing.assert_allclose(members[1], members[0], atol=1e-3)


def test_a_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    whole = trained("gpu", callbacks=[ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)])
    part = trained("gpu", ckpt_path=tmp_path / "epoch=2.ckpt")
    np.testing.assert_allclose(part.get_latent_representation(), whole.get_latent_representation(), atol=0.05)
    for key in ("train_loss", "validation_loss"):
        assert float(part.history[key].iloc[-1, 0]) == pytest.approx(float(whole.history[key].iloc[-1, 0]), rel=1e-3)
