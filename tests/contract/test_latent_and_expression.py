"""What a user of scvi-tools expects of the embedding, the likelihood, decoded expression and labels."""

import numpy as np
import pandas as pd
import pytest
import scvi
from anndata import AnnData
from scipy.sparse import csr_matrix
from scipy.stats import spearmanr
from scvi.criticism import PosteriorPredictiveCheck

from scdual.datasets import simulate
from scdual.model import SCDual

TAKES_MINIBATCHES = {
    "get_latent_representation": {},
    "get_elbo": {"return_mean": False},
    "get_reconstruction_error": {"return_mean": False},
    "get_marginal_ll": {"return_mean": False, "n_mc_samples": 2},
    "get_normalized_expression": {},
    "posterior_predictive_sample": {},
    "get_likelihood_parameters": {},
    "get_latent_library_size": {"give_mean": False},
    "predict": {"soft": True},
}
NEEDS_TRAINING = (
    *("get_latent_representation", "get_regulation", "get_gene_embedding", "annotate", "get_normalized_expression"),
    *("get_likelihood_parameters", "get_feature_correlation_matrix", "posterior_predictive_sample"),
    *("get_latent_library_size", "differential_expression", "predict"),
)


def as_array(found: object) -> np.ndarray:
    """Return one array, cells first, from whatever a method returns."""
    if isinstance(found, dict):
        found = found.get("reconstruction_loss", found.get("mean"))
    return found.todense() if hasattr(found, "todense") else np.asarray(found)


def is_finite(model: SCDual) -> bool:
    values = model.get_latent_representation(), model.get_regulation().weight, model.get_elbo(return_mean=False)
    return all(np.isfinite(np.asarray(value)).all() for value in values)


def trained_on(counts: np.ndarray, data: AnnData) -> SCDual:
    data.X = csr_matrix(counts)
    SCDual.setup_anndata(data)
    model = SCDual(data, regulators="regulator")
    model.train(1, train_size=1.0)
    return model


def test_the_embedding_has_a_row_per_cell(trained: SCDual) -> None:
    assert trained.get_latent_representation().shape == (150, trained.module.n_latent)


@pytest.mark.parametrize("n_latent", [2, 7])
def test_the_embedding_has_as_many_columns_as_asked_for(adata: AnnData, n_latent: int) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator", n_latent=n_latent)
    model.train(1)
    assert model.get_latent_representation().shape == (150, n_latent)


@pytest.mark.parametrize("chosen", [[1, 2, 3], np.array([9, 4]), np.arange(150) < 3], ids=["list", "array", "mask"])
@pytest.mark.parametrize("method", ["get_latent_representation", "get_normalized_expression", "get_elbo"])
def test_cells_of_new_data_are_chosen_by_position_or_mask(
    trained: SCDual, adata: AnnData, method: str, chosen: list[int] | np.ndarray
) -> None:
    options = TAKES_MINIBATCHES[method]
    n_chosen = len(np.arange(150)[chosen])
    assert as_array(getattr(trained, method)(adata, indices=chosen, **options)).shape[0] == n_chosen
    latent = trained.get_latent_representation(adata)
    np.testing.assert_allclose(trained.get_latent_representation(adata, indices=chosen), latent[chosen], atol=1e-5)


@pytest.mark.parametrize("kind", ["new", "view", "copy"])
def test_new_data_views_and_copies_are_read(trained: SCDual, kind: str) -> None:
    if kind == "new":
        other = simulate(150, 36, n_regulators=6, n_batches=2)
    else:
        other = trained.adata[10:60] if kind == "view" else trained.adata[10:60].copy()
    expected = trained.get_latent_representation()
    expected = expected if kind == "new" else expected[10:60]
    np.testing.assert_allclose(trained.get_latent_representation(other), expected, atol=1e-5)
    assert other.uns["_scvi_uuid"] != trained.adata.uns["_scvi_uuid"]


def test_batches_the_model_does_not_know_are_errors(trained: SCDual, adata: AnnData) -> None:
    adata.obs["batch"] = adata.obs["batch"].cat.rename_categories({"batch_2": "unheard_of"})
    with pytest.raises(
        ValueError, match=r"1 categories in column 'batch' .* unknown to the model, e\.g\. \['unheard_of'\]"
    ):
        trained.get_latent_representation(adata)


def test_labels_the_model_does_not_know_do_not_matter(trained: SCDual, adata: AnnData) -> None:
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.rename_categories({"type_2": "unheard_of"})
    with pytest.warns(UserWarning, match=r"1 labels of the new data are unknown to the model, e\.g\. \['unheard_of'\]"):
        found = trained.get_latent_representation(adata)
    np.testing.assert_allclose(found, trained.get_latent_representation(), atol=1e-5)


def test_the_reconstruction_error_is_a_mean_or_one_value_per_cell(trained: SCDual) -> None:
    scvi.settings.seed = 1
    mean = trained.get_reconstruction_error()["reconstruction_loss"]
    scvi.settings.seed = 1
    each = trained.get_reconstruction_error(return_mean=False)["reconstruction_loss"]
    assert mean.ndim == 0
    assert each.shape == (150,)
    assert float(mean) == pytest.approx(float(each.mean()), rel=1e-5)


@pytest.mark.parametrize("method", TAKES_MINIBATCHES)
def test_minibatches_can_be_given_in_place_of_data(trained: SCDual, method: str) -> None:
    call, options = getattr(trained, method), TAKES_MINIBATCHES[method]
    results = []
    for source in ({"batch_size": 64}, {"dataloader": trained._make_data_loader(trained.adata, batch_size=64)}):
        scvi.settings.seed = 3
        results.append(as_array(call(**source, **options)))
    assert results[0].shape[0] == 150
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5)


@pytest.mark.parametrize("method", TAKES_MINIBATCHES)
def test_data_and_minibatches_together_are_an_error(trained: SCDual, method: str) -> None:
    loader = trained._make_data_loader(trained.adata)
    with pytest.raises(ValueError, match="dataloader"):
        getattr(trained, method)(trained.adata, dataloader=loader, **TAKES_MINIBATCHES[method])


def test_the_size_of_minibatches_does_not_change_the_embedding(trained: SCDual) -> None:
    expected = trained.get_latent_representation()
    for batch_size in (1, 7, 150):
        np.testing.assert_allclose(trained.get_latent_representation(batch_size=batch_size), expected, atol=1e-5)


def test_the_order_of_cells_does_not_change_their_embedding(trained: SCDual) -> None:
    expected, order = trained.get_latent_representation(), np.random.default_rng(0).permutation(150)
    np.testing.assert_allclose(trained.get_latent_representation(indices=order), expected[order], atol=1e-5)
    shuffled = trained.adata[order].copy()
    np.testing.assert_allclose(trained.get_latent_representation(shuffled), expected[order], atol=1e-5)


@pytest.mark.parametrize("method", [*TAKES_MINIBATCHES, "get_regulation", "get_feature_correlation_matrix"])
def test_reading_off_a_model_leaves_the_data_alone(trained: SCDual, adata: AnnData, method: str) -> None:
    before = adata.copy()
    getattr(trained, method)(adata, **TAKES_MINIBATCHES.get(method, {}))
    assert (adata.X != before.X).nnz == 0
    pd.testing.assert_frame_equal(adata.obs[before.obs.columns], before.obs)
    pd.testing.assert_frame_equal(adata.var, before.var)
    for name in ("obs", "uns", "obsm", "varm", "varp", "obsp", "layers"):
        new = set(getattr(adata, name).keys()) - set(getattr(before, name).keys())
        assert all(key.startswith("_scvi") for key in new), (name, new)


@pytest.mark.parametrize("method", NEEDS_TRAINING)
def test_an_untrained_model_says_so(model: SCDual, method: str) -> None:
    with pytest.raises(
        RuntimeError, match="untrained model. Please train the model first|has no regulatory map; call `train`"
    ):
        getattr(model, method)()


def test_empty_cells_give_finite_results(adata: AnnData) -> None:
    counts = adata.X.toarray()
    counts[[3, 70]] = 0
    assert is_finite(trained_on(counts, adata))


def test_silent_genes_give_finite_results(adata: AnnData) -> None:
    counts = adata.X.toarray()
    counts[:, [0, 20]] = 0
    assert is_finite(trained_on(counts, adata))


@pytest.mark.filterwarnings("ignore:Category . in adata.obs.* has fewer than 3 cells")
def test_a_single_cell_gives_finite_results(trained: SCDual, adata: AnnData) -> None:
    cell = adata[5].copy()
    assert np.isfinite(trained.get_latent_representation(cell)).all()
    assert np.isfinite(trained.get_regulation(cell).weight).all()
    assert np.isfinite(trained.get_normalized_expression(cell)).all(axis=None)


def test_a_group_of_one_cell_has_no_network(trained: SCDual, adata: AnnData) -> None:
    adata.obs["kind"] = np.where(np.arange(150) == 4, "alone", "others")
    with pytest.warns(UserWarning, match="1 of 2 groups have no map and are left out, because a single cell"):
        networks = trained.get_regulation(adata, groupby="kind")
    assert set(networks) == {"others"}
    assert np.isfinite(networks["others"].weight).all()


def test_elbo_lies_below_the_marginal_likelihood(trained: SCDual) -> None:
    assert float(trained.get_elbo()) < trained.get_marginal_ll(n_mc_samples=100)


def test_normalised_expression_is_a_table_of_shares(trained: SCDual) -> None:
    found = trained.get_normalized_expression()
    assert list(found.index) == list(trained.adata.obs_names)
    assert list(found.columns) == list(trained.adata.var_names)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-4)


def test_differential_expression_has_a_row_per_gene_and_comparison(trained: SCDual) -> None:
    found = trained.differential_expression(groupby="cell_type", group1="type_1", group2="type_2", silent=True)
    assert set(found.index) == set(trained.gene_names)
    assert set(found["comparison"]) == {"type_1 vs type_2"}
    assert found["bayes_factor"].is_monotonic_decreasing


def test_likelihood_parameters_are_positive(trained: SCDual) -> None:
    found = trained.get_likelihood_parameters()
    assert set(found) == {"mean", "dispersions"}
    assert all(values.shape == (150, 36) and (values > 0).all() for values in found.values())


@pytest.mark.parametrize("correlation", ["spearman", "pearson"])
def test_correlations_of_genes_are_symmetric(trained: SCDual, correlation: str) -> None:
    found = trained.get_feature_correlation_matrix(correlation_type=correlation, n_samples=2)
    assert list(found.index) == list(found.columns) == trained.gene_names
    np.testing.assert_allclose(found, found.T, atol=1e-6)
    np.testing.assert_allclose(np.diag(found), 1, atol=1e-6)


def test_the_library_size_is_that_of_the_counts(trained: SCDual) -> None:
    counts = np.asarray(trained.adata.X.sum(axis=1)).ravel()
    np.testing.assert_allclose(trained.get_latent_library_size(give_mean=False).ravel(), counts, rtol=1e-4)
    with pytest.raises(RuntimeError, match="library"):
        trained.get_latent_library_size(give_mean=True)


def test_cells_of_a_batch_share_a_vector(adata: AnnData) -> None:
    SCDual.setup_anndata(adata, batch_key="batch")
    model = SCDual(adata, regulators="regulator", batch_representation="embedding")
    model.train(1)
    found = model.get_batch_representation()
    first = (adata.obs["batch"] == "batch_1").to_numpy()
    assert len(np.unique(found, axis=0)) == 2
    assert len(np.unique(found[first], axis=0)) == 1


@pytest.mark.parametrize(("check", "least_agreement"), [("coefficient_of_variation", 0.4), ("zero_fraction", 0.8)])
def test_a_posterior_predictive_check_compares_model_and_counts(
    trained: SCDual, check: str, least_agreement: float
) -> None:
    counts = trained.adata.copy()
    counts.X = counts.X.astype(int)  # scvi-tools cannot check sparse floats
    ppc = PosteriorPredictiveCheck(counts, {"scdual": trained}, n_samples=3)
    assert dict(ppc.samples_dataset["scdual"].sizes) == {"cells": 150, "features": 36, "samples": 3}
    getattr(ppc, check)()
    (table,) = ppc.metrics.values()
    assert len(table) == 36
    assert spearmanr(table["scdual"], table["Raw"]).statistic > least_agreement
