"""What a user of scvi-tools expects when data are registered with a model, set on it or forgotten."""

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pytest
import scvi
from anndata import AnnData
from scipy.sparse import csc_matrix, csr_array, csr_matrix
from scvi.dataloaders import DataSplitter

from scdual.datasets import simulate
from scdual.model import SCDual

LAYOUTS = {
    "csr": csr_matrix,
    "csc": csc_matrix,
    "csr of integers": lambda dense: csr_matrix(dense.astype(np.int64)),
    "csr of doubles": lambda dense: csr_matrix(dense.astype(np.float64)),
    "rows first": np.ascontiguousarray,
    "columns first": np.asfortranarray,
    "sparse array": csr_array,
    "integers": lambda dense: dense.astype(np.int32),
}
READS = {
    "get_latent_representation": {},
    "get_regulation": {},
    "get_elbo": {},
    "get_marginal_ll": {"n_mc_samples": 2},
    "get_reconstruction_error": {},
    "get_normalized_expression": {"transform_batch": "batch_1"},
    "get_likelihood_parameters": {},
    "posterior_predictive_sample": {"n_samples": 2},
    "get_feature_correlation_matrix": {"n_samples": 2},
    "get_latent_library_size": {"give_mean": False},
    "differential_expression": {"groupby": "batch", "silent": True},
}


def permuted(adata: AnnData) -> AnnData:
    return adata[:, ::-1].copy()


def renamed(adata: AnnData) -> AnnData:
    other = adata.copy()
    other.var_names = [f"other_{name}" for name in adata.var_names]
    return other


OTHER_GENES = pytest.mark.parametrize("change", [permuted, renamed])


def test_the_setup_can_be_viewed(trained: SCDual, capsys: pytest.CaptureFixture[str]) -> None:
    trained.view_anndata_setup()
    long = capsys.readouterr().out
    trained.view_anndata_setup(hide_state_registries=True)
    short = capsys.readouterr().out
    assert "batch State Registry" in long
    assert "SCDual.setup_anndata" in short
    assert "State Registry" not in short


def test_the_setup_of_unknown_data_cannot_be_viewed_until_they_are_used(trained: SCDual, adata: AnnData) -> None:
    with pytest.raises(ValueError, match="not setup with SCDual"):
        trained.view_anndata_setup(adata)
    trained.get_latent_representation(adata)
    trained.view_anndata_setup(adata)


def latent_after_training(adata: AnnData, layout: str) -> np.ndarray:
    data = AnnData(LAYOUTS[layout](adata.X.toarray()), obs=adata.obs, var=adata.var)
    scvi.settings.seed = 0
    SCDual.setup_anndata(data, batch_key="batch")
    model = SCDual(data, regulators="regulator")
    model.train(1)
    return model.get_latent_representation()


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return latent_after_training(simulate(150, 36, n_regulators=6, n_batches=2), "rows first")


@pytest.mark.filterwarnings("ignore:Training will be faster when sparse matrix is formatted as CSR")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_the_counts_gives_the_same_model(adata: AnnData, expected: np.ndarray, layout: str) -> None:
    np.testing.assert_allclose(latent_after_training(adata, layout), expected, atol=1e-4)


def test_setting_data_changes_results_and_registry(model: SCDual) -> None:
    model.train(1)
    expected = model.get_latent_representation()[20:80]
    model.adata = model.adata[20:80].copy()
    np.testing.assert_allclose(model.get_latent_representation(), expected, atol=1e-5)
    assert model.summary_stats.n_cells == 60
    assert model.registry["field_registries"]["X"]["state_registry"]["n_obs"] == 60


def test_data_without_the_batch_column_are_an_error(model: SCDual, adata: AnnData) -> None:
    lacking = adata.copy()
    del lacking.obs["batch"], lacking.obs["_scvi_batch"]
    with pytest.raises(KeyError, match="batch"):
        model.adata = lacking
    assert model.adata is adata


def test_data_on_disk_give_the_same_rows_as_in_memory(trained: SCDual, adata: AnnData, tmp_path: Path) -> None:
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r+")
    expected = trained.get_latent_representation()
    np.testing.assert_allclose(trained.get_latent_representation(backed), expected, atol=1e-5)
    found = trained.get_latent_representation(backed, indices=[3, 20, 50])
    np.testing.assert_allclose(found, expected[[3, 20, 50]], atol=1e-5)
    backed.file.close()


def test_data_on_disk_can_be_trained_on(adata: AnnData, tmp_path: Path) -> None:
    adata.write_h5ad(tmp_path / "cells.h5ad")
    latents = []
    for backed in (None, "r+"):
        data = anndata.read_h5ad(tmp_path / "cells.h5ad", backed=backed)
        scvi.settings.seed = 0
        SCDual.setup_anndata(data, batch_key="batch")
        model = SCDual(data, regulators="regulator")
        model.train(1, plan_kwargs={"lr": 0.0})  # minibatches hold the same cells, in another order
        latents.append(model.get_latent_representation())
    np.testing.assert_allclose(latents[1], latents[0], atol=1e-4)
    data.file.close()


@pytest.mark.parametrize("layout", ["csr", "rows first"])
def test_cells_on_disk_are_returned_in_the_order_asked_for(
    trained: SCDual, adata: AnnData, tmp_path: Path, layout: str
) -> None:
    adata.X = LAYOUTS[layout](adata.X.toarray())
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r+")
    cells = [50, 3, 20, 3]
    expected = trained.get_latent_representation()[cells]
    np.testing.assert_allclose(trained.get_latent_representation(backed, indices=cells), expected, atol=1e-5)
    backed.file.close()


@pytest.fixture(scope="module")
def with_covariates() -> SCDual:
    data = simulate(150, 36, n_regulators=6, n_batches=2)
    data.obs["age"], data.obs["depth"] = np.linspace(-1, 1, 150), np.sin(np.arange(150))
    data.obs["site"], data.obs["donor"] = ["a", "b", "c"] * 50, ["x", "y"] * 75
    SCDual.setup_anndata(
        data,
        batch_key="batch",
        categorical_covariate_keys=["site", "donor"],
        continuous_covariate_keys=["age", "depth"],
    )
    model = SCDual(data, regulators="regulator")
    model.train(1)
    return model


def test_every_covariate_is_registered(with_covariates: SCDual) -> None:
    assert with_covariates.summary_stats.n_extra_categorical_covs == 2
    assert with_covariates.summary_stats.n_extra_continuous_covs == 2
    assert with_covariates.module.n_cats_per_cov == [3, 2]


@pytest.mark.parametrize("method", READS)
def test_every_method_works_with_covariates(with_covariates: SCDual, method: str) -> None:
    found = getattr(with_covariates, method)(**READS[method])
    values = found.values() if isinstance(found, dict) else [getattr(found, "weight", found)]
    for value in values:
        value = value.todense() if hasattr(value, "todense") else value
        if hasattr(value, "select_dtypes"):
            value = value.select_dtypes("number")
        assert np.isfinite(np.asarray(value, dtype=float)).all()


@pytest.fixture
def splitter(model: SCDual) -> DataSplitter:
    return DataSplitter(model.adata_manager, batch_size=64)


def test_a_registry_is_enough_to_train_from_minibatches(splitter: DataSplitter, adata: AnnData) -> None:
    model = SCDual(registry=splitter.adata_manager.registry, regulators=["REG01", "REG02"])
    splitter.n_obs = 150
    model.train(max_epochs=2, datamodule=splitter)
    assert model.is_trained
    assert len(model.history["train_loss"]) == 2
    assert model.get_latent_representation(adata).shape == (150, model.module.n_latent)


def test_without_a_length_minibatches_must_know_their_number_of_cells(splitter: DataSplitter) -> None:
    model = SCDual(registry=splitter.adata_manager.registry, regulators=["REG01", "REG02"])
    with pytest.raises(ValueError, match="`n_obs`"):
        model.train(datamodule=splitter)


def test_all_other_data_are_forgotten(model: SCDual, adata: AnnData) -> None:
    model.train(1)
    model.get_latent_representation(adata[:20].copy())
    model.deregister_manager()
    stores = SCDual._setup_adata_manager_store, SCDual._per_instance_manager_store[model.id]
    assert [list(store) for store in stores] == [[model.adata_manager.adata_uuid]] * 2
    assert model.get_latent_representation().shape[0] == 150


def test_given_data_are_forgotten(model: SCDual, adata: AnnData) -> None:
    model.train(1)
    others = [adata[:20].copy(), adata[20:50].copy()]
    for other in others:
        model.get_latent_representation(other)
    model.deregister_manager(others[0])
    known = SCDual._per_instance_manager_store[model.id]
    assert others[0].uns["_scvi_uuid"] not in known
    assert others[1].uns["_scvi_uuid"] in known


def test_a_second_setup_does_not_change_an_earlier_model(model: SCDual, adata: AnnData) -> None:
    model.train(1)
    expected, first = model.get_latent_representation(), adata.uns["_scvi_manager_uuid"]
    adata.obs["other"] = ["a", "b", "c"] * 50
    SCDual.setup_anndata(adata, batch_key="other")
    assert adata.uns["_scvi_manager_uuid"] != first
    assert SCDual(adata, regulators="regulator").summary_stats.n_batch == 3
    np.testing.assert_array_equal(model.get_latent_representation(), expected)
    assert adata.uns["_scvi_manager_uuid"] == first


def test_a_setup_for_another_class_does_not_change_a_model(model: SCDual, adata: AnnData) -> None:
    model.train(1)
    expected = model.get_latent_representation()
    adata.obs["other"] = ["a", "b", "c"] * 50
    scvi.model.SCVI.setup_anndata(adata, batch_key="other")
    assert adata.obs["_scvi_batch"].max() == 2
    np.testing.assert_array_equal(model.get_latent_representation(), expected)
    assert adata.obs["_scvi_batch"].max() == 1


def test_a_view_cannot_be_registered(adata: AnnData) -> None:
    with pytest.raises(ValueError, match=r"adata\.copy\(\)"):
        SCDual.setup_anndata(adata[:50])


@pytest.mark.parametrize("categorical", [False, True])
def test_batches_with_gaps_are_an_error(adata: AnnData, categorical: bool) -> None:
    adata.obs["batch"] = ["a", None, "b"] * 50
    if categorical:
        adata.obs["batch"] = adata.obs["batch"].astype("category")
    with pytest.raises(ValueError, match="'batch' of `obs` has no value for 50 of 150 cells"):
        SCDual.setup_anndata(adata, batch_key="batch")


def test_batches_become_codes(model: SCDual, adata: AnnData) -> None:
    np.testing.assert_array_equal(adata.obs["_scvi_batch"], adata.obs["batch"].cat.codes)
    assert model.registry["field_registries"]["batch"]["data_registry"] == {
        "attr_name": "obs",
        "attr_key": "_scvi_batch",
    }


def test_a_layer_is_read_in_place_of_x(adata: AnnData) -> None:
    adata.layers["counts"], adata.X = adata.X.copy(), adata.X * 0
    SCDual.setup_anndata(adata, layer="counts")
    (tensors,) = SCDual(adata, regulators="regulator")._make_data_loader(adata, batch_size=150)
    np.testing.assert_array_equal(tensors["X"], adata.layers["counts"].toarray())


def test_data_can_not_be_minified(trained: SCDual) -> None:
    with pytest.raises(AttributeError, match="minify_adata"):
        trained.minify_adata()


def test_minified_data_are_refused(model: SCDual, adata: AnnData) -> None:
    adata.uns["_scvi_adata_minify_type"] = "latent_posterior_parameters"
    with pytest.raises(NotImplementedError, match="SCDual model currently does not support minified data"):
        SCDual(adata, regulators="regulator")


@OTHER_GENES
@pytest.mark.parametrize("method", ["get_latent_representation", "get_regulation", "get_normalized_expression"])
def test_new_data_with_other_genes_are_errors(
    trained: SCDual, adata: AnnData, change: Callable[[AnnData], AnnData], method: str
) -> None:
    with pytest.raises(ValueError, match="in another order|are unknown to it"):
        getattr(trained, method)(change(adata))


@OTHER_GENES
def test_data_with_other_genes_cannot_be_set(model: SCDual, adata: AnnData, change: Callable) -> None:
    with pytest.raises(ValueError, match="in another order|are unknown to it"):
        model.adata = change(adata)
    assert model.adata is adata


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_covariates_with_gaps_are_errors(adata: AnnData, value: float) -> None:
    adata.obs["age"] = np.where(np.arange(150) < 2, value, 1.0)
    with pytest.raises(ValueError, match="'age' has 2 NaN or infinite values"):
        SCDual.setup_anndata(adata, continuous_covariate_keys=["age"])
