"""Training from a datamodule instead of data, as for data that do not fit into memory."""

import numpy as np
import pytest
import scvi
from anndata import AnnData
from scvi.data import AnnDataManager
from scvi.dataloaders import DataSplitter

from scdual.model import SCDual


@pytest.fixture
def manager(adata: AnnData) -> AnnDataManager:
    SCDual.setup_anndata(adata, batch_key="batch", labels_key="cell_type", categorical_covariate_keys=["cell_type"])
    return SCDual._get_most_recent_anndata_manager(adata)


def splitter(manager: AnnDataManager) -> DataSplitter:
    return DataSplitter(manager, batch_size=64)


def test_a_registry_is_enough_to_train_and_read(adata: AnnData, manager: AnnDataManager) -> None:
    regulators = list(adata.var_names[:5])
    model = SCDual(registry=manager.registry, regulators=regulators)
    assert model.adata is None
    assert (model.gene_names, model.regulators) == (list(adata.var_names), regulators)
    assert (model.module.n_batch, model.module.n_cats_per_cov) == (2, [5])
    model.train(max_epochs=1, datamodule=splitter(manager))
    assert model.is_trained
    assert {"train_loss", "validation_loss"} <= set(model.history)
    loader = splitter(manager)
    loader.setup()
    latent = model.get_latent_representation(dataloader=loader.val_dataloader())
    assert latent.shape == (len(loader.val_idx), model.module.n_latent)
    np.testing.assert_allclose(latent, model.get_latent_representation(adata)[loader.val_idx], atol=1e-5)
    assert model.get_regulation(adata).weight.shape == (5, 36)


def test_it_learns_the_same_as_from_the_data(adata: AnnData, manager: AnnDataManager) -> None:
    models = []
    for from_data in (True, False):
        scvi.settings.seed = 0
        source = {"adata": adata} if from_data else {"registry": manager.registry}
        model = SCDual(**source, regulators=["REG01", "REG02"])
        model.train(max_epochs=1, batch_size=64, datamodule=None if from_data else splitter(manager))
        models.append(model)
    latents = [model.get_latent_representation(adata) for model in models]
    np.testing.assert_allclose(latents[0], latents[1], atol=1e-3)


def test_without_a_length_the_datamodule_must_know_its_size(manager: AnnDataManager) -> None:
    model = SCDual(registry=manager.registry, regulators=None)
    with pytest.raises(ValueError, match="`datamodule` does not have `n_obs` attribute, `max_epochs` must be"):
        model.train(datamodule=splitter(manager))


def test_the_length_follows_from_the_size_of_the_datamodule(
    manager: AnnDataManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scdual.model._training.default_max_epochs", lambda n_obs, batch_size: n_obs // 75)
    model = SCDual(registry=manager.registry, regulators=None)
    source = splitter(manager)
    source.n_obs = 150
    model.train(datamodule=source)
    assert len(model.history["train_loss"]) == 2


def test_without_data_and_datamodule_training_is_an_error(manager: AnnDataManager) -> None:
    model = SCDual(registry=manager.registry, regulators=None)
    with pytest.raises(ValueError, match="loaded or built without data"):
        model.train(1)
