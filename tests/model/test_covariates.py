"""Continuous covariates may have any unit."""

import numpy as np
import pytest
import scvi
from anndata import AnnData
from scvi.dataloaders import DataSplitter

from scdual.datasets import simulate
from scdual.model import SCDual

N_CELLS = 60
SMALL = {"regulators": "regulator", "n_embed": 8, "n_hidden": 8, "n_latent": 3}
UNITS = {
    "total counts": lambda x: 3e4 * x + 5e4,
    "huge": lambda x: 1e9 * x + 1e9,
    "time stamps": lambda x: 100 * x + 1.7e9,
    "tiny": lambda x: 1e-9 * x,
}


def cells(values: np.ndarray) -> AnnData:
    adata = simulate(N_CELLS, 15, n_regulators=4, n_batches=2)
    adata.obs["covariate"] = values
    return adata


def standard() -> np.ndarray:
    values = np.random.default_rng(0).normal(size=N_CELLS)
    return (values - values.mean()) / values.std()


def fitted(values: np.ndarray) -> SCDual:
    scvi.settings.seed = 0
    adata = cells(values)
    SCDual.setup_anndata(adata, batch_key="batch", continuous_covariate_keys=["covariate"])
    model = SCDual(adata, **SMALL)
    model.train(2)
    return model


@pytest.fixture(scope="module")
def expected() -> SCDual:
    """Do not change this model or its data: other tests of the file use them."""
    return fitted(standard())


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_changes_neither_training_nor_embedding_nor_new_data(
    expected: SCDual, unit: str, tmp_path: object
) -> None:
    values = UNITS[unit](standard())
    model = fitted(values)
    latent = expected.get_latent_representation()
    loss, wanted = (fit.history["train_loss"].to_numpy(dtype=float) for fit in (model, expected))
    np.testing.assert_allclose(loss, wanted, rtol=1e-4)
    np.testing.assert_allclose(model.get_latent_representation(), latent, atol=1e-4)
    few = cells(values)[3:9].copy()  # whose own mean and spread are others
    np.testing.assert_allclose(model.get_latent_representation(few), latent[3:9], atol=1e-4)
    model.save(tmp_path / "model")
    loaded = SCDual.load(tmp_path / "model", adata=False)
    np.testing.assert_allclose(loaded.get_latent_representation(few.copy()), latent[3:9], atol=1e-4)
    mapped = SCDual.load_query_data(few.copy(), model)
    np.testing.assert_allclose(mapped.get_latent_representation(), latent[3:9], atol=1e-4)


@pytest.mark.parametrize("dtype", [np.int64, np.int8, bool, "Int64", "boolean", np.float32])
def test_numbers_of_any_type_are_covariates(dtype: object) -> None:
    adata = cells(np.arange(N_CELLS) % 2)
    adata.obs["covariate"] = adata.obs["covariate"].astype(dtype)
    SCDual.setup_anndata(adata, continuous_covariate_keys=["covariate"])
    (tensors,) = SCDual(adata, **SMALL)._make_data_loader(adata, batch_size=N_CELLS)
    np.testing.assert_allclose(tensors["extra_continuous_covs"].ravel(), np.tile([-1.0, 1.0], N_CELLS // 2))


def test_a_datamodule_brings_the_scale_or_is_told_that_there_is_none(expected: SCDual) -> None:
    splitter = DataSplitter(expected.adata_manager, batch_size=32)
    registry = splitter.adata_manager.registry
    SCDual(registry=registry, regulators=["REG01"])
    bare = {**registry, "field_registries": {**registry["field_registries"]}}
    field = bare["field_registries"]["extra_continuous_covs"]
    bare["field_registries"]["extra_continuous_covs"] = field | {"state_registry": {"columns": np.array(["covariate"])}}
    with pytest.warns(UserWarning, match="no scale of its continuous covariates"):
        SCDual(registry=bare, regulators=["REG01"])
