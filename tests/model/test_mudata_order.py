"""In MuData, cells are paired by name, whatever the order in which the modalities list them."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import scvi
from anndata import AnnData
from mudata import MuData

from scdual.datasets import simulate
from scdual.model import SCDual
from scdual.model._ensemble import _permutation_groups

N_CELLS = 60
SMALL = {"regulators": "regulator", "n_embed": 8, "n_hidden": 8, "n_latent": 3}
KEYS = {
    "batch_key": "batch",
    "labels_key": "cell_type",
    "size_factor_key": "size",
    "categorical_covariate_keys": ["site"],
    "continuous_covariate_keys": ["depth"],
}
# mudata 0.3 on what 0.4 will not do, and scvi-tools 1.4
pytestmark = pytest.mark.filterwarnings("ignore:From 0.4:FutureWarning", "ignore:The method mod_names:FutureWarning")


def make_rna() -> AnnData:
    rna = simulate(N_CELLS, 15, n_regulators=4, n_batches=2)
    rng = np.random.default_rng(0)
    rna.obs["size"], rna.obs["depth"] = rng.uniform(1, 2, N_CELLS) * 100, rng.normal(size=N_CELLS) * 1e4
    rna.obs["site"] = rng.choice(["a", "b", "c"], N_CELLS)
    return rna[rng.permutation(N_CELLS)].copy()


def make(first: str, level: str) -> MuData:
    """Return MuData with the RNA first or last, and the columns on one level."""
    rna = make_rna()
    names = np.random.default_rng(1).permutation(rna.obs_names)
    prot = AnnData(np.ones((N_CELLS, 2), np.float32))
    prot.obs_names, prot.var_names = names, ["P", "Q"]
    mdata = MuData({"rna": rna, "prot": prot} if first == "rna" else {"prot": prot, "rna": rna})
    if level == "top":
        for key in ("batch", "cell_type", "size", "site", "depth"):
            mdata.obs[key] = rna.obs[key].reindex(mdata.obs_names)
            del rna.obs[key]
    else:
        mdata.obs["cell_type"] = rna.obs["cell_type"].reindex(mdata.obs_names)
    return mdata


def fitted(data: AnnData | MuData, level: str = "top") -> SCDual:
    scvi.settings.seed = 0
    if isinstance(data, MuData):
        modalities = {"rna_layer": "rna"} | ({} if level == "top" else dict.fromkeys(KEYS, "rna"))
        SCDual.setup_mudata(data, **KEYS, modalities=modalities)
    else:
        SCDual.setup_anndata(data, **KEYS)
    model = SCDual(data, **SMALL)
    model.train(2)
    return model


@pytest.fixture(
    scope="module", params=product(["rna", "prot"], ["top", "rna"]), ids="{0[0]} first, columns {0[1]}".format
)
def models(request: pytest.FixtureRequest) -> tuple[SCDual, SCDual]:
    """Return a model of MuData and one of its RNA alone, with the same cells in the same steps."""
    mdata = make(*request.param)
    alone = make_rna()[mdata.obs_names].copy()
    return fitted(mdata, request.param[1]), fitted(alone)


def test_orders_do_differ(models: tuple[SCDual, SCDual]) -> None:
    orders = {name: list(models[0].adata[name].obs_names) for name in ("rna", "prot")}
    assert orders["rna"] != orders["prot"]


def test_training_and_embedding_are_those_of_the_rna_alone(models: tuple[SCDual, SCDual]) -> None:
    both, alone = models
    expected = alone.get_latent_representation()
    np.testing.assert_allclose(both.get_latent_representation(), expected, atol=1e-4)
    assert np.abs(expected - expected[::-1]).max() > 1e-2  # cells do differ


def test_a_cell_has_the_same_row_by_name_in_data_of_another_order(models: tuple[SCDual, SCDual]) -> None:
    both, alone = models
    other = make_rna()
    rows = other.obs_names.get_indexer(both.adata.obs_names)
    np.testing.assert_allclose(
        both.get_latent_representation(), alone.get_latent_representation(other)[rows], atol=1e-4
    )
    chosen = [7, 3, 30]
    np.testing.assert_allclose(
        both.get_latent_representation(indices=chosen), both.get_latent_representation()[chosen], atol=1e-5
    )


def test_maps_of_groups_are_those_of_their_cells(models: tuple[SCDual, SCDual]) -> None:
    found, expected = (model.get_regulation(groupby="cell_type") for model in models)
    assert set(found) == set(expected)
    for name, network in expected.items():
        np.testing.assert_allclose(found[name].weight, network.weight, atol=1e-3)


def test_predictions_and_expression_carry_the_right_names(models: tuple[SCDual, SCDual]) -> None:
    both, alone = models
    np.testing.assert_allclose(both.predict(soft=True), alone.predict(soft=True), atol=1e-4)
    assert list(both.predict(soft=True).index) == list(both.adata.obs_names)
    tables = []
    for model in models:
        scvi.settings.seed = 1
        tables.append(model.get_normalized_expression())
    assert list(tables[0].index) == list(both.adata.obs_names)
    np.testing.assert_allclose(tables[0], tables[1], atol=1e-4)


def test_groups_are_compared_as_in_the_rna_alone(models: tuple[SCDual, SCDual]) -> None:
    tables = []
    for model in models:
        scvi.settings.seed = 1
        tables.append(model.differential_expression(groupby="cell_type", group1="type_1", silent=True))
    for column in ("raw_mean1", "raw_mean2", "raw_normalized_mean1"):
        np.testing.assert_allclose(tables[0][column], tables[1].loc[tables[0].index, column], rtol=1e-4)


def test_results_are_written_to_the_right_cells(models: tuple[SCDual, SCDual]) -> None:
    both, alone = models
    both.annotate()
    np.testing.assert_allclose(both.adata.obsm["X_scdual"], alone.get_latent_representation(), atol=1e-4)


def test_an_ensemble_permutes_within_the_groups_of_the_right_cells(models: tuple[SCDual, SCDual]) -> None:
    both = models[0]
    permuted = both._permuted(np.random.default_rng(0), _permutation_groups("cell_type", both.adata.obs))
    before, after = (manager.get_from_registry("X").toarray() for manager in (both.adata_manager, permuted))
    groups = both.adata.obs["cell_type"].to_numpy()
    for group in np.unique(groups):
        np.testing.assert_array_equal(np.sort(before[groups == group], axis=0), np.sort(after[groups == group], axis=0))


def test_a_query_is_paired_as_well(models: tuple[SCDual, SCDual]) -> None:
    both, alone = models
    query = both.adata[both.adata.obs_names[:25]].copy()
    for part in (query, query["rna"]):
        if "batch" in part.obs:
            part.obs["batch"] = "new"
    single = alone.adata[query.obs_names].copy()
    single.obs["batch"] = "new"
    found, expected = SCDual.load_query_data(query, both), SCDual.load_query_data(single, alone)
    np.testing.assert_allclose(found.get_latent_representation(), expected.get_latent_representation(), atol=1e-4)


@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.parametrize("by_path", [True, False])
def test_prepared_queries_keep_cells_and_other_modalities(
    models: tuple[SCDual, SCDual], tmp_path: Path, inplace: bool, by_path: bool
) -> None:
    both = models[0]
    reference = both
    if by_path:
        both.save(tmp_path / "model")
        reference = tmp_path / "model"
    query = both.adata.copy()
    query.mod["rna"] = query["rna"][:, ::-1].copy()
    query.update_var()
    names = list(query.obs_names)
    prepared = SCDual.prepare_query_mudata(query, reference, inplace=inplace)
    prepared = query if inplace else prepared
    assert list(prepared.obs_names) == names
    assert list(prepared.mod) == list(both.adata.mod)
    assert list(prepared["rna"].var_names) == both.gene_names
    np.testing.assert_allclose(both.get_latent_representation(prepared), both.get_latent_representation(), atol=1e-5)
