"""A knock-out moves targets as their edges say, and writes nothing unless asked."""

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from anndata import AnnData
from scipy.sparse import csr_matrix

from scdual.datasets import simulate, simulate_mudata
from scdual.model import SCDual

CHAIN = pd.DataFrame({"source": ["A", "B", "A"], "target": ["B", "C", "D"], "weight": [4.0, -4.0, 4.0]})


def chain() -> AnnData:
    """Return deep counts in which A raises B and D, and B lowers C."""
    return simulate(600, 30, network=CHAIN, n_cell_types=2, library_size=1_500, seed=1)


@pytest.fixture(scope="module")
def model() -> SCDual:
    """Do not change this model or its data."""
    scvi.settings.seed = 0
    adata = chain()
    counts = adata.X.toarray()
    counts[:40, adata.var_names.get_loc("A")] = 0
    adata.X = csr_matrix(counts)
    adata.obs["silent"] = np.where(np.arange(600) < 40, "off", "on")
    SCDual.setup_anndata(adata, labels_key="cell_type")
    model = SCDual(adata, regulators=["A", "B", "GENE001"])
    model.train(1, enable_progress_bar=False)
    return model


def test_targets_move_as_the_chain_says(model: SCDual) -> None:
    change = model.perturb({"A": 0}, rounds=2).effects["log_change"]
    assert change["B"] < -0.05
    assert change["D"] < -0.05
    assert change["C"] > 0.01
    assert change[["B", "C", "D"]].abs().min() > change[change.index.str.startswith("GENE")].abs().max()
    assert (np.sign(model.perturb({"A": "3x"}, rounds=2).effects["log_change"]) == -np.sign(change))[
        ["B", "C", "D"]
    ].all()


def test_a_target_of_a_target_is_reached_by_way_of_it(model: SCDual) -> None:
    knockout = model.perturb({"A": 0})
    assert knockout.effects.loc[["A", "B", "D"], "reach"].tolist() == ["perturbed", "direct", "direct"]
    direct_only = model.perturb({"A": 0}, rounds=0)
    assert not direct_only.effects["indirect"].any()
    np.testing.assert_allclose(direct_only.effects["direct"], knockout.effects["direct"])
    assert not (direct_only.effects["reach"] == "indirect").any()
    by_way = knockout.to_frame(reach="indirect")
    assert by_way["via"].isin(["B", "GENE001"]).all()
    assert (knockout.to_frame(reach="direct")["via"] == "").all()


def test_parts_add_up_within_the_limit_and_intervals_hold_the_mean(model: SCDual) -> None:
    effects = model.perturb({"A": 0, "B": "2x"}).to_frame()
    assert not effects["gene"].isin(["A", "B"]).any()
    np.testing.assert_allclose(effects["log_change"], effects["direct"] + effects["indirect"], rtol=1e-6)
    assert ((effects["lower"] <= effects["log_change"]) & (effects["log_change"] <= effects["upper"])).mean() > 0.9
    assert (effects["log_change"].abs().diff().dropna() <= 0).all()
    assert (np.sign(effects["count_change"]) == np.sign(effects["log_change"])).all()
    assert (effects["count_lower"] >= -effects["mean_count"]).all()


def test_the_perturbed_gene_changes_as_it_was_set(model: SCDual) -> None:
    scale = model.module.map.values.scale
    counts = torch.from_numpy(model.adata.X.toarray())
    log = scale.log_expr(counts)[:, model.gene_names.index("A")].double().numpy()
    own = model.perturb({"A": 0}).effects.loc["A"]
    assert own["log_change"] == own["lower"] == own["upper"] == pytest.approx(-log.mean(), rel=1e-5)
    assert own["count_change"] == pytest.approx(-np.expm1(log).mean(), rel=1e-5)
    doubled = model.perturb({"A": "2x"}).effects.loc["A"]
    assert doubled["count_change"] == pytest.approx(np.expm1(log).mean(), rel=1e-5)
    set_to = model.perturb({"A": 3}).effects.loc["A"]
    assert set_to["log_change"] == pytest.approx(np.log(4) - log.mean(), rel=1e-5)


def test_once_as_much_changes_nothing(model: SCDual) -> None:
    same = model.perturb({"A": "1x"})
    assert not same.effects[["log_change", "count_change"]].to_numpy().any()
    assert same.shift.abs().to_numpy().max() < 1e-4
    assert model.perturb({"A": 0}).shift.abs().to_numpy().max() > 1e-3


def test_values_stay_within_what_cells_show(model: SCDual) -> None:
    value = model.module.map.values.of_regulators(
        model.module.map.values.log_expr(next(iter(model._batches(model.adata, None, 1_000))))
    )[:, model.regulators.index("A")]
    knockout, flood = model.perturb({"A": 0}), model.perturb({"A": "1000x"})
    assert knockout.regulators.at["A", "value_change"] >= float(value.min() - value.mean()) - 1e-4
    assert flood.regulators.at["A", "value_change"] <= float(value.max() - value.mean()) + 1e-4


def test_a_group_follows_its_own_map(model: SCDual) -> None:
    network = model.get_regulation(groupby="cell_type")["type_2"]
    knockout = model.perturb({"A": 0}, group="type_2", rounds=0)
    assert (knockout.n_cells, knockout.group) == (300, "type_2")
    weight = pd.Series(network.subset(["A"]).weight[0], network.targets)
    moved = knockout.to_frame().set_index("gene")["direct"]
    assert (np.sign(moved) == -np.sign(weight[moved.index])).all()
    named = model.perturb({"A": 0}, group="type_2", groupby="cell_type", rounds=0)
    pd.testing.assert_frame_equal(named.effects, knockout.effects)
    of_all = model.perturb({"A": 0}, rounds=0)
    assert not np.allclose(of_all.effects["log_change"], knockout.effects["log_change"])
    assert list(knockout.shift.index) == list(model.adata.obs_names[model.adata.obs["cell_type"] == "type_2"])


def test_a_group_in_which_the_gene_is_silent_warns_and_stays(model: SCDual) -> None:
    with pytest.warns(UserWarning, match=r"\['A'\] have no edges in the group 'off', where they are silent"):
        knockout = model.perturb({"A": 0}, group="off", groupby="silent", shift=False)
    assert not knockout.effects["log_change"].any()
    assert knockout.shift is None


def test_minibatches_do_not_matter(model: SCDual) -> None:
    one, many = (model.perturb({"A": 0, "B": "2x"}, batch_size=size) for size in (600, 70))
    pd.testing.assert_frame_equal(one.effects, many.effects, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(one.shift, many.shift, rtol=1e-2, atol=1e-4)


def test_the_shift_is_that_of_encoding_the_changed_counts(model: SCDual) -> None:
    found = model.perturb({"A": 0}, rounds=0)
    counts = torch.from_numpy(model.adata.X.toarray())
    size = counts.sum(1, keepdim=True)
    only_a = counts.clone()
    only_a[:, model.gene_names.index("A")] = 0
    covariates = torch.zeros(len(counts), 1) + 1
    with torch.inference_mode():
        before, after = (model.module.encode(each, covariates, size).loc for each in (counts, only_a))
    alone = ((after - before) @ model.module.cell_state.axes).numpy()
    has_a = counts[:, model.gene_names.index("A")].numpy() > 0
    alone, shift = alone[has_a], found.shift.to_numpy()[has_a]
    cosine = (alone * shift).sum(1) / np.linalg.norm(alone, axis=1) / np.linalg.norm(shift, axis=1)
    assert np.median(cosine) > 0.3  # the gene itself is a part of the shift


def test_nothing_is_written_unless_asked(model: SCDual, unchanged: Callable) -> None:
    with unchanged(model.adata):
        model.perturb({"A": 0})


def test_written_results_survive_a_file_and_are_replaced_as_a_whole(model: SCDual, tmp_path: Path) -> None:
    adata = chain()
    model.perturb({"A": 0, "B": "2x"}, adata=adata, key_added="ko")
    adata.write_h5ad(tmp_path / "ko.h5ad")
    back = anndata.read_h5ad(tmp_path / "ko.h5ad")
    assert back.obsm["ko"].shape == (600, 20)
    assert list(back.uns["ko"]["genes"]) == ["A", "B"]
    assert list(back.uns["ko"]["set_to"]) == ["0", "2x"]
    assert list(back.varm["ko"].index) == list(adata.var_names)
    np.testing.assert_allclose(back.varm["ko"]["log_change"], adata.varm["ko"]["log_change"])
    model.perturb({"B": 0}, adata=back, shift=False, key_added="ko")
    assert "ko" not in back.obsm
    assert list(back.uns["ko"]["genes"]) == ["B"]


@pytest.mark.parametrize("room", ["obsm", "varm", "uns"])
def test_what_is_not_ours_is_not_written_over(model: SCDual, room: str, unchanged: Callable) -> None:
    adata = chain()
    getattr(adata, room)["mine"] = {"a": 1} if room == "uns" else np.ones((adata.n_obs if room == "obsm" else 30, 2))
    model.get_latent_representation(adata)
    with unchanged(adata), pytest.raises(ValueError, match=f"'mine', which {room} has already, and not from `perturb`"):
        model.perturb({"A": 0}, adata=adata, key_added="mine")


def test_mudata_gets_the_shift_on_top_and_the_effects_at_the_rna() -> None:
    mdata = simulate_mudata(150, 36, n_regulators=6, n_proteins=4)
    SCDual.setup_mudata(mdata, modalities={"rna_layer": "rna"})
    model = SCDual(mdata, regulators="regulator")
    model.train(1, enable_progress_bar=False)
    found = model.perturb({model.regulators[0]: 0}, key_added="ko")
    np.testing.assert_allclose(mdata.obsm["ko"], found.shift, rtol=1e-6)
    assert list(mdata["rna"].varm["ko"].index) == list(mdata["rna"].var_names)


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ({"a": 0}, r"'a', which is unknown to the model with 30 genes\. Did you mean 'A'"),
        ({"C": 0}, "'C', which is no regulator of the model, so nothing is known about what it acts on"),
        ({"A": "half"}, r"`genes\['A'\]` is 'half', expected 0 to knock it out"),
    ],
)
def test_genes_that_cannot_be_perturbed_are_named(model: SCDual, genes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.perturb(genes)


def test_a_regulator_without_edges_is_an_error_that_counts_its_cells() -> None:
    adata = chain()
    counts = adata.X.toarray()
    counts[2:, adata.var_names.get_loc("A")] = 0
    counts[:2, adata.var_names.get_loc("A")] = 1
    adata.X = counts
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators=["A", "B"])
    with pytest.warns(UserWarning, match="get no edges"):
        model.train(1, enable_progress_bar=False)
    with pytest.raises(ValueError, match="'A' has no edges, .* 2 cells of the training express it"):
        model.perturb({"A": 0})


def test_a_group_needs_a_column(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    with pytest.raises(RuntimeError, match="has no regulatory map"):
        model.perturb({"REG01": 0})
    model.train(1, enable_progress_bar=False)
    with pytest.raises(ValueError, match="`group` needs `groupby`"):
        model.perturb({"REG01": 0}, group="type_1")
    with pytest.raises(ValueError, match="`group` is 'type_9', expected one of"):
        model.perturb({"REG01": 0}, group="type_9", groupby="cell_type")
    with pytest.raises(ValueError, match="`groupby` has no effect without `group`"):
        model.perturb({"REG01": 0}, groupby="cell_type")


def test_chance_is_seeded_and_the_printed_result_says_what_was_done(model: SCDual) -> None:
    first, second = (model.perturb({"A": 0}, shift=False) for _ in range(2))
    pd.testing.assert_frame_equal(first.effects, second.effects)
    assert repr(first).startswith("Perturbation(A: 0; 600 cells, ")
    assert "genes reached directly" in repr(first)
    assert len(first.to_frame(top=3)) == 3


def test_a_prior_does_not_change_how_far_targets_move(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    edges = adata.varp["true_regulation"].tocoo()
    names = adata.var_names
    prior = pd.DataFrame({"source": names[edges.row], "target": names[edges.col], "weight": edges.data})
    adata.obs["half"] = np.resize(["one", "two"], adata.n_obs)
    weights, changes = [], []
    for known in (None, prior):
        scvi.settings.seed = 0
        model = SCDual(adata, regulators="regulator", prior=known)
        model.train_map()
        weights.append(model.get_regulation().weight)
        groups: list[dict[str, str]] = [{}, {"group": "one", "groupby": "half"}]
        changes.append([model.perturb({"REG01": 0}, shift=False, **options).effects for options in groups])
    assert not np.allclose(*weights)
    for plain, told in zip(*changes, strict=True):
        pd.testing.assert_frame_equal(told, plain)


def test_a_gene_that_no_cell_expresses_cannot_be_knocked_out_or_multiplied(model: SCDual) -> None:
    adata = model.adata.copy()
    gene = next(name for name in model.regulators if model.get_regulation().subset([name]).n_edges)
    counts = adata.X.toarray()
    counts[:, adata.var_names.get_loc(gene)] = 0
    adata.X = csr_matrix(counts)
    for value in (0, "2x"):
        with pytest.raises(ValueError, match=f"None of the {adata.n_obs} cells expresses .'{gene}'."):
            model.perturb({gene: value}, adata=adata, shift=False, n_draws=2)


def test_what_lies_beyond_the_map_is_told(model: SCDual) -> None:
    gene = next(name for name in model.regulators if model.get_regulation().subset([name]).n_edges)
    with pytest.warns(UserWarning, match="lies beyond the values of the map in all cells"):
        model.perturb({gene: 1e6}, shift=False, n_draws=2)


@pytest.mark.parametrize("key", ["X_scdual", "scdual", "scdual_activity"])
def test_names_of_other_results_are_refused(model: SCDual, key: str, unchanged: Callable) -> None:
    with unchanged(model.adata), pytest.raises(ValueError, match="under which scdual keeps other results"):
        model.perturb({model.regulators[0]: 0}, key_added=key)
