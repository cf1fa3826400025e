"""The models in ``saved_model``, one of each version of the format, must be read by every later version, with the same results.

Each was written once. When ``scdual._saved.VERSION`` rises, a folder is added and the older ones stay. In Python:

    import numpy as np, scvi, torch
    from scdual.datasets import simulate
    from scdual.model import SCDual
    scvi.settings.seed = 0
    torch.set_num_threads(1)
    adata = simulate(200, 10, n_regulators=3, n_batches=2, library_size=40)
    adata = adata[np.ravel(adata.X.sum(axis=1)) > 0].copy()
    del adata.layers["true_expression"], adata.varp["true_regulation"], adata.uns["simulation"]
    SCDual.setup_anndata(adata, batch_key="batch", labels_key="cell_type")
    prior = {"source": ["REG01", "REG02"], "target": ["GENE001", "GENE002"], "weight": [1.0, -0.5]}
    model = SCDual(adata, "regulator", prior, n_embed=8, n_hidden=8, n_latent=2, n_pool=2, n_heads=1)
    model.train(2)
    model.train_ensemble(2)
    model.save("tests/model/saved_model/version_2", overwrite=True, save_anndata=True, compression="gzip")
    np.savez("tests/model/saved_model/version_2/expected.npz", latent=model.get_latent_representation(),
             regulation=model.get_regulation().weight, sd=model.get_regulation().evidence.sd)
"""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scvi.model.base import BaseModelClass

from scdual._saved import VERSION
from scdual.model import SCDual

FOLDER = Path(__file__).parent / "saved_model"
TOLERANCE = 1e-4  # processors differ


@pytest.fixture(params=range(VERSION + 1))
def version(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def folder(version: int, tmp_path: Path) -> Path:
    """Return a copy, so that nothing is written beside the original."""
    return shutil.copytree(FOLDER / f"version_{version}", tmp_path / "model")


def test_it_gives_what_it_gave(folder: Path, version: int) -> None:
    expected = np.load(folder / "expected.npz")
    model = SCDual.load(folder, accelerator="cpu")
    np.testing.assert_allclose(model.get_latent_representation(), expected["latent"], atol=TOLERANCE)
    network = model.get_regulation(kind="influence" if version == 0 else "regulation")
    np.testing.assert_allclose(network.weight, expected["regulation"], atol=TOLERANCE)
    if version > 0:
        np.testing.assert_allclose(network.evidence.sd, expected["sd"], atol=TOLERANCE)
        return
    for read in (model.get_regulation, model.annotate):
        with pytest.raises(RuntimeError, match="saved before edges carried evidence.*`kind='influence'`"):
            read()


def test_what_cell_states_lacked_before_version_2_is_neutral(folder: Path, version: int) -> None:
    state = SCDual.load(folder, accelerator="cpu").module.cell_state
    z = torch.randn(5, 2)
    is_standard = torch.allclose(state.prior().log_prob(z), torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1))
    is_silent = all(not effects.any() for effects in state.decoder.gene_effects.parameters())
    assert is_standard == is_silent == (version < 2)


def test_it_remembers_how_it_was_made(folder: Path) -> None:
    model = SCDual.load(folder, adata=False)
    assert model.is_trained
    assert model.regulators == sorted(model.regulators, key=model.gene_names.index)
    assert len(model.history["train_loss"]) == 2
    assert [step.name for step in model.record_.steps] == ["SCDual", "train", "train_ensemble"]
    assert model.record_.prior is not None


def test_its_version_is_that_of_its_folder(folder: Path, version: int) -> None:
    assert json.loads((folder / "model.json").read_text())["version"] == version


def test_a_model_of_scvi_tools_with_the_weights_of_version_0_is_read(tmp_path: Path) -> None:
    """Early copies of scdual saved so: members were attributes, and all names those of version 0."""
    original = FOLDER / "version_0"
    model = SCDual.load(original)
    tensors = load_file(original / "model.safetensors")
    parts = {"module": {}, "ensemble.0": {}, "ensemble.1": {}, "null": {}}
    for name, values in tensors.items():
        part = next(part for part in parts if name.startswith(f"{part}."))
        parts[part][name.removeprefix(f"{part}.")] = values
    assert "gate.pair_offset" in parts["module"]
    assert "gate.pair_offset" in parts["null"]
    members = copy.deepcopy(model.ensemble_), model.null_
    model.ensemble_, model.null_ = [parts["ensemble.0"], parts["ensemble.1"]], parts["null"]
    BaseModelClass.save(model, str(tmp_path / "old"))
    pickled = torch.load(tmp_path / "old" / "model.pt", weights_only=False)
    pickled["model_state_dict"] = parts["module"]
    torch.save(pickled, tmp_path / "old" / "model.pt")
    loaded = SCDual.load(tmp_path / "old", model.adata, accelerator="cpu", trust=True)
    for name, values in model.module.state_dict().items():
        assert torch.equal(loaded.module.state_dict()[name], values), name
    for found, expected in zip([*loaded.ensemble_, loaded.null_], [*members[0], members[1]], strict=True):
        assert found.keys() == expected.keys() == loaded.module.map.state_dict().keys()
    expected = np.load(original / "expected.npz")
    found = loaded.get_regulation(kind="influence")
    np.testing.assert_allclose(found.weight, expected["regulation"], atol=TOLERANCE)
