"""The model in ``saved_model`` was written once and must be read by every later version, with the same results.

It is written anew only when ``scdual._saved.VERSION`` rises to 1; from then on a folder for each version stays. In Python:

    import numpy as np, scvi, torch
    from scdual.datasets import simulate
    from scdual.model import SCDual
    scvi.settings.seed = 0
    torch.set_num_threads(1)
    adata = simulate(40, 10, n_regulators=3, n_batches=2)
    adata = adata[np.ravel(adata.X.sum(axis=1)) > 0].copy()
    del adata.layers["true_expression"], adata.varp["true_regulation"], adata.uns["simulation"]
    SCDual.setup_anndata(adata, batch_key="batch", labels_key="cell_type")
    prior = {"source": ["REG01", "REG02"], "target": ["GENE001", "GENE002"], "weight": [1.0, -0.5]}
    model = SCDual(adata, "regulator", prior, n_embed=8, n_hidden=8, n_latent=2, n_pool=2, n_heads=1)
    model.train(2)
    model.train_ensemble(2, max_epochs=1)
    model.save("tests/model/saved_model", overwrite=True, save_anndata=True, compression="gzip")
    np.savez("tests/model/saved_model/expected.npz", latent=model.get_latent_representation(),
             regulation=model.get_regulation().weight, sd=model.get_regulation().evidence.sd)
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from scdual._saved import VERSION
from scdual.model import SCDual

FOLDER = Path(__file__).parent / "saved_model"
TOLERANCE = 1e-4  # processors differ


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy, so that nothing is written beside the original."""
    return shutil.copytree(FOLDER, tmp_path / "model")


def test_it_gives_what_it_gave(folder: Path) -> None:
    expected = np.load(folder / "expected.npz")
    model = SCDual.load(folder, accelerator="cpu")
    network = model.get_regulation()
    np.testing.assert_allclose(model.get_latent_representation(), expected["latent"], atol=TOLERANCE)
    np.testing.assert_allclose(network.weight, expected["regulation"], atol=TOLERANCE)
    np.testing.assert_allclose(network.evidence.sd, expected["sd"], atol=TOLERANCE)


def test_it_remembers_how_it_was_made(folder: Path) -> None:
    model = SCDual.load(folder, adata=False)
    assert model.is_trained
    assert model.regulators == sorted(model.regulators, key=model.gene_names.index)
    assert len(model.history["train_loss"]) == 2
    assert [step.name for step in model.record_.steps] == ["SCDual", "train", "train_ensemble"]
    assert model.record_.prior is not None


def test_its_version_is_known(folder: Path) -> None:
    assert json.loads((folder / "model.json").read_text())["version"] <= VERSION
