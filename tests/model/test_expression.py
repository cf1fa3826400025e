"""Decoded expression agrees with the module it is decoded by, for AnnData and MuData."""

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from anndata import AnnData
from packaging.version import Version
from scipy.stats import spearmanr
from scvi import REGISTRY_KEYS
from scvi.dataloaders import AnnDataLoader, DataSplitter

from scdual.datasets import simulate, simulate_mudata
from scdual.model import SCDual

GENES = ["GENE003", "REG01"]


def decoded(model: SCDual, kind: str = "scale", batch: int | None = None) -> np.ndarray:
    """Return what the decoder says at the mean of the latent state, cell by cell."""
    rows = []
    with torch.inference_mode():
        for tensors in model._make_data_loader(model.adata, batch_size=1):
            state = model.module.inference(**model.module._get_inference_input(tensors))
            given = model.module._get_generative_input(tensors, state | {"z": state["qz"].loc})
            px = model.module.generative(**given, transform_batch=batch)["px"]
            rows.append(px.get_normalized(kind).numpy())
    return np.concatenate(rows)


@pytest.fixture(scope="module")
def certain() -> SCDual:
    """A model whose latent states hardly vary, so that samples are means."""
    data = simulate(150, 36, n_regulators=6, n_batches=2)
    SCDual.setup_anndata(data, batch_key="batch")
    model = SCDual(data, regulators="regulator")
    model.train(1)
    posterior = model.module.cell_state.posterior
    posterior.min_var = 0.0
    torch.nn.init.zeros_(posterior.log_var_proj.weight)
    torch.nn.init.constant_(posterior.log_var_proj.bias, -50.0)
    return model


def test_normalised_expression_is_what_the_decoder_says(certain: SCDual) -> None:
    found = certain.get_normalized_expression()
    assert list(found.columns) == certain.gene_names
    assert list(found.index) == list(certain.adata.obs_names)
    np.testing.assert_allclose(found, decoded(certain), rtol=1e-2, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_genes_cells_and_library_size_can_be_chosen(certain: SCDual) -> None:
    whole, cells = certain.get_normalized_expression(), [7, 3]
    found = certain.get_normalized_expression(indices=cells, gene_list=GENES, library_size=1e4)
    assert list(found.columns) == ["REG01", "GENE003"]  # in the order of the data
    np.testing.assert_allclose(found, 1e4 * whole.iloc[cells][found.columns], rtol=1e-2, atol=0.5)
    mask = np.isin(np.arange(certain.adata.n_obs), cells)
    assert list(certain.get_normalized_expression(indices=mask).index) == list(certain.adata.obs_names[[3, 7]])


def test_latent_library_size_means_observed_counts(certain: SCDual) -> None:
    counts = np.asarray(certain.adata.X.sum(axis=1)).ravel()
    found = certain.get_normalized_expression(library_size="latent", return_numpy=True)
    np.testing.assert_allclose(found.sum(axis=1), counts, rtol=1e-4)


def test_cells_can_be_decoded_in_other_batches(certain: SCDual) -> None:
    both = [decoded(certain, batch=batch) for batch in (0, 1)]
    for batch, name in enumerate(("batch_1", "batch_2")):
        found = certain.get_normalized_expression(transform_batch=name)
        np.testing.assert_allclose(found, both[batch], rtol=1e-2, atol=1e-5)
    mean = certain.get_normalized_expression(transform_batch=["batch_1", "batch_2"])
    np.testing.assert_allclose(mean, (both[0] + both[1]) / 2, rtol=1e-2, atol=1e-5)
    with pytest.raises(ValueError, match="batch_9"):
        certain.get_normalized_expression(transform_batch="batch_9")


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"n_samples": 3}, (150, 36)),
        ({"n_samples": 3, "return_mean": False}, (3, 150, 36)),
        ({"n_samples_overall": 20}, (20, 36)),
        ({"n_samples_overall": 20, "weights": "importance", "n_mc_samples": 10}, (20, 36)),
        ({"n_samples": 2, "return_mean": False, "gene_list": GENES}, (2, 150, 2)),
    ],
)
def test_samples_have_the_shape_asked_for(trained: SCDual, arguments: dict[str, object], shape: tuple[int]) -> None:
    found = trained.get_normalized_expression(**arguments)
    assert found.shape == shape
    assert np.isfinite(np.asarray(found)).all()


def test_minibatches_can_be_given(trained: SCDual) -> None:
    loader = trained._make_data_loader(trained.adata, batch_size=64)
    found = trained.get_normalized_expression(dataloader=loader, gene_list=GENES)
    assert isinstance(found, np.ndarray)
    assert found.shape == (150, 2)
    with pytest.raises(ValueError, match="dataloader"):
        trained.get_normalized_expression(trained.adata, dataloader=loader)


@pytest.mark.parametrize("method", ["get_normalized_expression", "posterior_predictive_sample"])
def test_unknown_genes_are_listed(trained: SCDual, method: str) -> None:
    with pytest.raises(ValueError, match=r"1 of 2 genes in `gene_list` are unknown to the model, e\.g\. \['NOPE'\]"):
        getattr(trained, method)(gene_list=["REG01", "NOPE"])


@pytest.mark.parametrize(
    "method",
    [
        *("get_normalized_expression", "posterior_predictive_sample", "get_likelihood_parameters"),
        *("get_feature_correlation_matrix", "differential_expression", "predict", "get_batch_representation"),
    ],
)
def test_an_untrained_model_says_so(adata: AnnData, method: str) -> None:
    SCDual.setup_anndata(adata)
    with pytest.raises(RuntimeError, match="train"):
        getattr(SCDual(adata, regulators=None), method)()


# ---- differential expression ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_kinds() -> SCDual:
    """A model of cells of which half have five times as much of GENE001."""
    data = simulate(200, 24, n_regulators=4, n_cell_types=1)
    counts = data.X.toarray()
    gene = data.var_names.get_loc("GENE001")
    counts[:, gene] = np.random.default_rng(0).poisson(np.repeat([40, 4], 100))
    data.X = counts
    data.obs["kind"] = np.repeat(["much", "little"], 100)
    SCDual.setup_anndata(data)
    model = SCDual(data, regulators="regulator", dropout_rate=0.1)
    model.train(12, batch_size=32, plan_kwargs={"lr": 5e-3, "max_kl_weight": 0.1})
    return model


@pytest.mark.parametrize("mode", ["vanilla", "change"])
def test_the_gene_that_differs_comes_first(two_kinds: SCDual, mode: str) -> None:
    columns = list(two_kinds.adata.obs.columns)
    table = two_kinds.differential_expression(groupby="kind", group1="much", group2="little", mode=mode, silent=True)
    assert table.index[0] == "GENE001"
    assert set(table.index) == set(two_kinds.gene_names)
    assert set(table["comparison"]) == {"much vs little"}
    assert table.loc["GENE001", "raw_mean1"] > 5 * table.loc["GENE001", "raw_mean2"]
    if mode == "change":
        assert table.loc["GENE001", "lfc_mean"] > 1
    assert list(two_kinds.adata.obs.columns) == columns


def test_cells_can_be_compared_by_position_or_query(two_kinds: SCDual) -> None:
    much = np.arange(200) < 100
    for chosen in (much, np.flatnonzero(much), "kind == 'much'"):
        table = two_kinds.differential_expression(idx1=chosen, silent=True, batch_correction=True)
        assert table.index[0] == "GENE001"


def test_groups_that_do_not_exist_are_named(two_kinds: SCDual) -> None:
    with pytest.raises(
        ValueError, match=r"`group1` is 'nope', .* not among the groups of `obs\['kind'\]`: \['little', 'much'\]"
    ):
        two_kinds.differential_expression(groupby="kind", group1="nope")
    with pytest.raises(KeyError, match="nope"):
        two_kinds.differential_expression(groupby="nope")
    with pytest.raises(ValueError, match="Name the groups to compare with `groupby`"):
        two_kinds.differential_expression()


@pytest.mark.parametrize(
    ("column", "group"), [("number", 1), ("number", np.int64(1)), ("truth", True), ("truth", np.True_), ("text", "1")]
)
def test_groups_may_be_numbers_and_truth_values(two_kinds: SCDual, column: str, group: object) -> None:
    much = two_kinds.adata.obs["kind"] == "much"
    two_kinds.adata.obs = two_kinds.adata.obs.assign(number=much + 0, truth=much, text=(much + 0).astype(str))
    for chosen in (group, [group]):
        table = two_kinds.differential_expression(groupby=column, group1=chosen, silent=True)
        assert table.index[0] == "GENE001"
        assert table.loc["GENE001", "scale1"] > 2 * table.loc["GENE001", "scale2"]


@pytest.mark.parametrize(
    ("column", "group"), [("number", "1"), ("number", True), ("truth", 1), ("truth", "True"), ("text", 1)]
)
def test_a_group_is_of_the_type_of_its_column(two_kinds: SCDual, column: str, group: object) -> None:
    much = two_kinds.adata.obs["kind"] == "much"
    two_kinds.adata.obs = two_kinds.adata.obs.assign(number=much + 0, truth=much, text=(much + 0).astype(str))
    with pytest.raises(ValueError, match=f"`group1` is {group!r}, which is not among the groups"):
        two_kinds.differential_expression(groupby=column, group1=group)


def test_unused_categories_and_missing_labels_are_no_groups(two_kinds: SCDual) -> None:
    labels = two_kinds.adata.obs["kind"].where(np.arange(200) % 5 > 0)
    two_kinds.adata.obs["labels"] = pd.Categorical(labels, categories=["much", "little", "unused"])
    table = two_kinds.differential_expression(groupby="labels", silent=True)
    assert set(table["group1"]) == {"much", "little"}
    with pytest.raises(ValueError, match="'unused', which is not among"):
        two_kinds.differential_expression(groupby="labels", group1="unused")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"groupby": "kind", "group1": "much", "group2": "much"}, "`group1` and `group2` are both 'much'"),
        ({"groupby": "kind", "idx1": [0]}, "`idx1` names cells in place of `groupby`"),
        ({"groupby": "kind", "idx2": [0]}, "`idx2` needs `idx1`"),
        ({"idx1": [0, 1], "idx2": [1, 2]}, "1 cells are in both `idx1` and `idx2`"),
        ({"idx1": "kinds == 'much'"}, "`idx1` is .* no valid query of `obs`"),
        ({"idx1": "kind == 'none'"}, "`idx1` chooses none of the 200 cells"),
        ({"idx1": np.ones(3, dtype=bool)}, "`idx1` is a mask of 3 cells"),
        ({"groupby": "all"}, "`groupby='all'` has 1 groups, expected 2 or more"),
        ({"groupby": "kind", "batchid1": ["0"]}, "`batchid1`"),
    ],
)
def test_what_cannot_be_compared_is_said(two_kinds: SCDual, given: dict[str, object], said: str) -> None:
    two_kinds.adata.obs["all"] = "one"
    columns = list(two_kinds.adata.obs.columns)
    with pytest.raises(ValueError, match=said):
        two_kinds.differential_expression(**given)
    assert list(two_kinds.adata.obs.columns) == columns


def test_minibatches_are_compared_where_scvi_tools_can(adata: AnnData) -> None:
    SCDual.setup_anndata(adata, batch_key="batch")
    manager = SCDual._get_most_recent_anndata_manager(adata)
    model = SCDual(registry=manager.registry, regulators=list(adata.var_names[:5]), n_hidden=8)
    splitter = DataSplitter(manager, batch_size=64, train_size=1.0)
    model.train(1, datamodule=splitter, train_size=1.0, enable_progress_bar=False)
    splitter.setup()
    loader = AnnDataLoader(manager, batch_size=64)
    if Version(scvi.__version__) < Version("1.5"):
        with pytest.raises(NotImplementedError, match="`dataloader` needs scvi-tools 1.5"):
            model.differential_expression(dataloader=loader, groupby="batch")
        return
    table = model.differential_expression(dataloader=loader, groupby="batch", silent=True)
    assert set(table["group1"]) == {"batch_1", "batch_2"}
    assert len(table) == 2 * 36
    means = pd.DataFrame(adata.X.toarray(), columns=adata.var_names).groupby(adata.obs["batch"].to_numpy()).mean()
    first = table[table["group1"] == "batch_1"]
    np.testing.assert_allclose(first["raw_mean1"], means.loc["batch_1"][first.index], rtol=1e-4)


def test_minibatches_are_for_models_without_data(trained: SCDual) -> None:
    loader = trained._make_data_loader(trained.adata, batch_size=64)
    with pytest.raises((ValueError, NotImplementedError), match="`dataloader`"):
        trained.differential_expression(dataloader=loader, groupby="batch")


def test_minibatches_and_what_they_cannot_do(trained: SCDual) -> None:
    loader = trained._make_data_loader(trained.adata, batch_size=64)
    assert trained.get_normalized_expression(dataloader=loader, n_samples=2, return_mean=False).shape == (2, 150, 36)
    assert trained.get_likelihood_parameters(dataloader=loader, n_samples=2)["mean"].shape == (2, 150, 36)
    for method in (trained.get_normalized_expression, trained.posterior_predictive_sample):
        with pytest.raises(ValueError, match="`transform_batch` has no effect on minibatches"):
            method(dataloader=loader, transform_batch="batch_1")


# ---- distributions ----------------------------------------------------------------------------------------------------


def test_predictive_samples_are_counts_around_the_mean(certain: SCDual) -> None:
    samples = certain.posterior_predictive_sample(n_samples=40).todense()
    assert samples.shape == (150, 36, 40)
    assert (samples == np.round(samples)).all()
    mean = decoded(certain, "mu")
    np.testing.assert_allclose(samples.mean(axis=(0, 2)), mean.mean(axis=0), rtol=0.15, atol=0.05)
    chosen = certain.posterior_predictive_sample(gene_list=GENES, indices=[1, 2])
    assert chosen.shape == (2, 2)


@pytest.mark.parametrize(
    ("likelihood", "keys"),
    [("nb", {"mean", "dispersions"}), ("zinb", {"mean", "dispersions", "dropout"}), ("poisson", {"mean"})],
)
def test_likelihood_parameters_are_those_of_the_distribution(adata: AnnData, likelihood: str, keys: set[str]) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator", gene_likelihood=likelihood)
    model.train(1)
    found = model.get_likelihood_parameters(n_samples=3)
    assert found.keys() == keys
    assert {values.shape for values in found.values()} == {(3, 150, 36)}
    averaged = model.get_likelihood_parameters(n_samples=3, give_mean=True, indices=[0, 5])
    assert {values.shape for values in averaged.values()} == {(2, 36)}
    if "dispersions" in keys:
        theta = model.module.cell_state.decoder.log_inverse_dispersion[0].exp().detach()
        np.testing.assert_allclose(found["dispersions"][0, 0], theta, rtol=1e-5)


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_correlations_are_those_of_the_denoised_samples(
    trained: SCDual, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.random.default_rng(0).gamma(2.0, size=(150, 36, 2))
    monkeypatch.setattr(SCDual, "_get_denoised_samples", lambda *args, **kwargs: samples)
    found = trained.get_feature_correlation_matrix(n_samples=2, correlation_type=kind)
    flat = np.concatenate([samples[..., 0], samples[..., 1]])
    expected = np.corrcoef(flat, rowvar=False) if kind == "pearson" else spearmanr(flat).statistic
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert list(found.index) == list(found.columns) == trained.gene_names


def test_correlations_are_finite_and_symmetric(trained: SCDual) -> None:
    found = trained.get_feature_correlation_matrix(n_samples=1, transform_batch=["batch_1", "batch_2"])
    np.testing.assert_allclose(found, found.T)
    np.testing.assert_allclose(np.diag(found), 1)
    with pytest.raises(ValueError, match="`correlation_type` is 'kendall'"):
        trained.get_feature_correlation_matrix(correlation_type="kendall")


def test_what_the_poisson_distribution_lacks_is_refused(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator", gene_likelihood="poisson")
    model.train(1)
    with pytest.raises(NotImplementedError, match="Poisson distribution has no dispersion"):
        model.get_feature_correlation_matrix()
    with pytest.raises(NotImplementedError, match="Poisson distribution has no dispersion"):
        model.get_normalized_expression(n_samples_overall=5, weights="importance")


def test_importance_weights_are_refused_with_size_factors(adata: AnnData) -> None:
    adata.obs["size"] = np.asarray(adata.X.sum(axis=1)).ravel()
    SCDual.setup_anndata(adata, size_factor_key="size")
    model = SCDual(adata, regulators="regulator")
    model.train(1)
    with pytest.raises(NotImplementedError, match="size factors"):
        model.get_normalized_expression(n_samples_overall=5, weights="importance")


def test_observed_library_sizes_are_returned_and_latent_ones_refused(trained: SCDual) -> None:
    counts = np.asarray(trained.adata.X.sum(axis=1))
    np.testing.assert_allclose(trained.get_latent_library_size(give_mean=False), counts, rtol=1e-5)
    with pytest.raises(RuntimeError, match="Set `give_mean` to False"):
        trained.get_latent_library_size()


def test_batches_have_vectors_if_they_are_embedded(adata: AnnData, trained: SCDual) -> None:
    SCDual.setup_anndata(adata, batch_key="batch")
    model = SCDual(
        adata,
        regulators="regulator",
        batch_representation="embedding",
        batch_embedding_kwargs={"embedding_dim": 3},
    )
    model.train(1)
    found = model.get_batch_representation()
    table = model.module.get_embedding(REGISTRY_KEYS.BATCH_KEY).weight.detach().numpy()
    np.testing.assert_array_equal(found, table[adata.obs["batch"].cat.codes])
    with pytest.raises(ValueError, match="coded one-hot"):
        trained.get_batch_representation()


# ---- MuData -----------------------------------------------------------------------------------------------------------


def test_a_mudata_gives_what_its_rna_gives() -> None:
    mdata = simulate_mudata(120, 24, n_regulators=4, n_proteins=5)
    mdata.obs["kind"] = pd.Categorical(np.repeat(["a", "b"], 60))
    SCDual.setup_mudata(mdata, modalities={"rna_layer": "rna"})
    model = SCDual(mdata, regulators="regulator")
    model.train(1)
    genes = list(mdata.mod["rna"].var_names)
    assert list(model.get_normalized_expression().columns) == genes
    assert list(model.get_normalized_expression(gene_list=genes[:2]).columns) == genes[:2]
    assert model.posterior_predictive_sample(gene_list=genes[:2]).shape == (120, 2)
    assert list(model.get_feature_correlation_matrix(n_samples=1).index) == genes
    table = model.differential_expression(groupby="kind", group1="a", silent=True)
    assert sorted(table.index) == sorted(genes)
