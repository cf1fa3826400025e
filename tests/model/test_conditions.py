"""Conditions are compared by cells or by donors; what differs is found, and what does not is not."""

import logging
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from anndata import AnnData
from scipy.sparse import csr_matrix
from scipy.stats import false_discovery_control, ttest_ind

from scdual.datasets import simulate
from scdual.model import SCDual
from scdual.module.map import MapCells, cell_test, donor_test, target_weights, unit_activity, unit_maps

EDGES = ["source", "target", "difference", "se", "z", "p_value", "q_value"]
REGULATORS = ["regulator", "activity_difference", "se", "p_value", "q_value", "n_changed_targets"]


def two_conditions(n_obs: int, *, rewired: bool, seed: int = 0) -> AnnData:
    """Return cells in which one strong regulator has, in the second condition, the opposite sign if it is rewired."""
    edges = pd.DataFrame({"source": ["A", "A", "B", "B"], "target": list("vwxy"), "weight": [5.0, 5.0, 5.0, -5.0]})
    signs = np.where((edges["source"] == "A") & rewired, -1, 1)
    options = {"n_vars": 60, "library_size": 600, "n_cell_types": 1}
    first = simulate(n_obs, network=edges, seed=seed, **options)  # one seed: genes are as abundant in both
    second = simulate(n_obs, network=edges.assign(weight=edges["weight"] * signs), seed=seed, **options)
    is_second = np.arange(n_obs) >= n_obs // 2
    counts = np.where(is_second[:, None], second.X.toarray(), first.X.toarray())
    names = [f"cell_{i}" for i in range(n_obs)]
    obs = pd.DataFrame({"condition": np.repeat(["ctrl", "stim"], n_obs // 2), "donor": np.arange(n_obs) % 4}, names)
    obs["donor"] = "donor " + obs["donor"].astype(str)
    obs["type"] = np.where(np.arange(n_obs) % 8 < 4, "T", "B")
    return AnnData(csr_matrix(counts), obs=obs, var=first.var)


def fitted(adata: AnnData) -> SCDual:
    scvi.settings.seed = 0
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train(max_epochs=1)
    return model


@pytest.fixture(scope="module")
def model() -> SCDual:
    """Do not change this model or its data."""
    return fitted(two_conditions(800, rewired=True))


@pytest.fixture(scope="module")
def unchanged_model() -> SCDual:
    return fitted(two_conditions(800, rewired=False))


def test_the_regulator_that_is_rewired_is_found(model: SCDual) -> None:
    found = model.compare_conditions("condition")
    assert list(found.edges.columns) == EDGES
    assert list(found.regulators.columns[: len(REGULATORS)]) == REGULATORS
    called = found.edges[found.edges["q_value"] < 0.05]
    assert {("A", "v"), ("A", "w")} <= set(zip(called["source"], called["target"], strict=True))
    of_a = called[(called["source"] == "A") & called["target"].isin(["v", "w"])]
    assert (of_a["difference"] < 0).all()  # both were activated in the reference
    assert not ((called["source"] == "B") & called["target"].isin(["x", "y"])).any()
    assert found.edges["p_value"].is_monotonic_increasing
    assert (found.edges["source"] != found.edges["target"]).all()
    changed = found.regulators.set_index("regulator")["n_changed_targets"]
    assert changed["A"] == (called["source"] == "A").sum()


def test_donors_are_compared_with_themselves(model: SCDual) -> None:
    found = model.compare_conditions("condition", donor_key="donor")
    assert len(found.units) == 8
    assert found.units["n_cells"].sum() == 800
    assert "compared with themselves" in found.notes[0]
    assert len(found.notes) == 1
    called = found.edges[found.edges["q_value"] < 0.05].set_index(["source", "target"])["difference"]
    assert (called[[("A", "v"), ("A", "w")]] < 0).all()  # both were activated in the reference


def test_donors_of_one_condition_are_compared_with_those_of_the_other(model: SCDual) -> None:
    adata = model.adata.copy()
    adata.obs["donor"] = adata.obs["donor"] + " of " + adata.obs["condition"]
    found = model.compare_conditions("condition", donor_key="donor", adata=adata)
    assert "each in one condition" in found.notes[0]
    assert found.edges.loc[0, "source"] == "A"
    assert found.edges.loc[0, "q_value"] < 0.05
    by_cells = model.compare_conditions("condition").edges.set_index(["source", "target"])["difference"]
    by_donors = found.edges.set_index(["source", "target"])["difference"]
    assert np.corrcoef(by_cells, by_donors.reindex(by_cells.index))[0, 1] > 0.9


def test_cells_and_what_their_p_values_say(model: SCDual) -> None:
    found = model.compare_conditions("condition")
    assert "The unit is the cell" in found.notes[0]
    assert "donor_key" in found.notes[0]
    assert "The unit is the cell" in repr(found)
    assert found.units["donor"].isna().all()


def test_two_donors_come_with_a_sentence_on_what_cannot_be_said(model: SCDual) -> None:
    adata = model.adata[model.adata.obs["donor"].isin(["donor 0", "donor 1"])].copy()
    with pytest.warns(UserWarning, match="Two donors cannot tell how much donors differ"):
        found = model.compare_conditions("condition", donor_key="donor", adata=adata)
    assert "Two donors cannot tell" in repr(found)


def test_one_donor_of_each_condition_cannot_be_compared(model: SCDual) -> None:
    adata = model.adata.copy()
    adata.obs["donor"] = adata.obs["condition"].map({"ctrl": "one", "stim": "other"})
    with pytest.raises(ValueError, match="one donor does not tell how donors differ.*leave out `donor_key`"):
        model.compare_conditions("condition", donor_key="donor", adata=adata)


def test_where_nothing_differs_little_is_called(unchanged_model: SCDual) -> None:
    rng = np.random.default_rng(0)
    adata = unchanged_model.adata.copy()
    shares = []
    for _ in range(10):
        adata.obs["half"] = rng.permutation(np.repeat(["one", "two"], adata.n_obs // 2))
        found = unchanged_model.compare_conditions("half", adata=adata)
        shares.append([(table["p_value"] < 0.05).mean() for table in (found.edges, found.regulators)])
    edges, regulators = np.mean(shares, axis=0)
    assert edges < 0.08  # of 10 x 118 pairs
    assert regulators < 0.2  # of 10 x 2, the two of them correlated


def test_a_mean_that_shifts_is_no_change_of_edges(unchanged_model: SCDual) -> None:
    """A regulator and a target are seen four times less often in one condition."""
    adata = unchanged_model.adata.copy()
    rng, counts = np.random.default_rng(0), adata.X.toarray().astype(int)
    control = (adata.obs["condition"] == "ctrl").to_numpy()
    for gene in ("B", "x"):
        column = adata.var_names.get_loc(gene)
        counts[control, column] = rng.binomial(counts[control, column], 0.25)
    adata.X = csr_matrix(counts.astype(np.float32))
    found = fitted(adata).compare_conditions("condition", batch_size=300)
    assert found.edges["q_value"].min() > 0.05
    expression = found.regulators.set_index("regulator")["expression_q_value"]
    assert expression["B"] < 1e-3


def test_groups_have_their_own_tables_and_q_values(model: SCDual) -> None:
    found = model.compare_conditions("condition", groupby="type")
    assert found.groups == ["B", "T"]
    assert found.edges.columns[0] == found.regulators.columns[0] == "group"
    assert found.edges.index.is_unique
    assert found.regulators.index.tolist() == [0, 1, 2, 3]
    adata = model.adata[model.adata.obs["type"] == "T"].copy()
    alone = model.compare_conditions("condition", adata=adata)
    pd.testing.assert_frame_equal(found.select("T").edges.drop(columns="group"), alone.edges, rtol=1e-4)


def test_several_conditions_are_compared_with_the_reference(model: SCDual) -> None:
    adata = model.adata.copy()
    adata.obs["dose"] = np.resize(["none", "low", "high"], adata.n_obs)
    with pytest.raises(ValueError, match="3 conditions.*pass `reference=`"):
        model.compare_conditions("dose", adata=adata)
    found = model.compare_conditions("dose", reference="none", adata=adata)
    assert found.conditions == ["high", "low"]
    assert set(found.edges["condition"]) == {"high", "low"}
    with pytest.raises(ValueError, match="`condition` is None, but the comparison has several"):
        found.select()
    assert "condition" in found.select(condition="low").edges


def cells_of(model: SCDual, *, by_donor: bool) -> list[list[MapCells]]:
    """Return the cells of control and stimulated, or of each donor in both."""
    obs, counts = model.adata.obs, torch.as_tensor(model.adata.X.toarray())
    donors = sorted(obs["donor"].unique()) if by_donor else [None]
    units = [
        ((obs["condition"] == condition) & (obs["donor"].eq(donor) if donor else True)).to_numpy(copy=True)
        for donor in donors
        for condition in ("ctrl", "stim")
    ]
    return [[MapCells(counts[is_here], torch.ones(is_here.sum(), 1))] for is_here in units]


def test_edges_are_departures_from_the_map_of_all_with_its_penalty(model: SCDual) -> None:
    """How far each condition departs is tested beside the function; here, that it is asked the right question."""
    regulation_map = model.module.map
    weight, penalty = regulation_map.known.weight, regulation_map.hiding.penalty
    maps = unit_maps(regulation_map.values, cells_of(model, by_donor=False), weight, penalty=penalty)
    edges = model.compare_conditions("condition").edges
    row, column = (
        pd.Index(names).get_indexer(edges[key])
        for names, key in ((model.regulators, "source"), (model.gene_names, "target"))
    )
    before, after = maps.departure.numpy()[:, column, row]
    np.testing.assert_allclose(edges["difference"], after - before, atol=1e-5)
    np.testing.assert_allclose(edges["se"], np.sqrt(maps.variance.numpy()[:, column, row].sum(0)), rtol=1e-3)
    np.testing.assert_allclose(edges["z"], edges["difference"] / edges["se"], rtol=1e-5)
    n_cells = model.adata.obs["condition"].value_counts()[["ctrl", "stim"]].to_numpy()
    tests = cell_test(*(part.numpy()[:, column, row].astype(float) for part in maps[:2]), n_cells)
    np.testing.assert_allclose(edges["p_value"], tests.p_value, rtol=1e-3)
    np.testing.assert_allclose(edges["q_value"], false_discovery_control(edges["p_value"]))


def test_regulators_borrow_no_more_than_they_differ(model: SCDual) -> None:
    """Activities of regulators that share targets are no independent witnesses of how donors differ."""
    regulation_map = model.module.map
    targets = target_weights(regulation_map.known.weight, n_targets=50)
    means = unit_activity(regulation_map.values, cells_of(model, by_donor=True), targets)[0]
    mean, variance = means.mean.numpy(), means.variance.numpy()
    change, error = mean[1::2] - mean[::2], variance[1::2] + variance[::2]
    bounded, free = (
        donor_test(change, error, np.ones(4, dtype=int), most_borrowed=most) for most in (means.n_independent, np.inf)
    )
    found = model.compare_conditions("condition", donor_key="donor").regulators.set_index("regulator")
    np.testing.assert_allclose(found.loc[model.regulators, "activity_difference"], bounded.difference, rtol=1e-3)
    np.testing.assert_allclose(found.loc[model.regulators, "p_value"], bounded.p_value, rtol=1e-3)
    assert not np.allclose(bounded.p_value, free.p_value, rtol=0.01)


def test_swapping_the_reference_flips_the_signs(model: SCDual) -> None:
    one, two = (model.compare_conditions("condition", reference=name) for name in ("ctrl", "stim"))
    merged = one.edges.merge(two.edges, on=["source", "target"])
    np.testing.assert_allclose(merged["difference_x"], -merged["difference_y"], atol=1e-6)
    np.testing.assert_allclose(merged["p_value_x"], merged["p_value_y"], atol=1e-6)


def test_a_network_of_what_passes(model: SCDual) -> None:
    found = model.compare_conditions("condition")
    network = found.network(0.05)
    assert network.n_edges == (found.edges["q_value"] <= 0.05).sum()
    first = found.edges.iloc[0]
    assert network.subset([first["source"]], [first["target"]]).weight[0, 0] == pytest.approx(first["difference"])


def test_own_expression_is_a_t_test_of_the_log_values(model: SCDual) -> None:
    values = model.module.map.values
    found = model.compare_conditions("condition").regulators.set_index("regulator")
    counts = torch.as_tensor(model.adata.X.toarray())
    z = values.scale.standardise(values.log_expr(MapCells(counts, torch.ones(len(counts), 1)))).numpy()
    column = model.adata.var_names.get_loc("A")
    control = (model.adata.obs["condition"] == "ctrl").to_numpy()
    parts = z[~control, column], z[control, column]
    expected = ttest_ind(*parts)
    se = np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts))
    pooled = np.sqrt(sum(part.var(ddof=1) * (len(part) - 1) for part in parts) / (len(z) - 2))
    assert expected.statistic == pytest.approx(found.loc["A", "expression_difference"] / (se / pooled), rel=1e-3)
    p_values = []
    for name in found.index:
        parts = [z[side, model.adata.var_names.get_loc(name)] for side in (control, ~control)]
        p_values.append(ttest_ind(*parts, equal_var=False).pvalue)
    np.testing.assert_allclose(found["expression_q_value"], false_discovery_control(p_values), rtol=1e-3)


def test_regulators_that_a_condition_does_not_express_have_no_edges(model: SCDual) -> None:
    adata = model.adata.copy()
    counts = adata.X.toarray()
    counts[(adata.obs["condition"] == "stim").to_numpy(), adata.var_names.get_loc("A")] = 0
    adata.X = csr_matrix(counts)
    found = model.compare_conditions("condition", adata=adata)
    assert "A" not in set(found.edges["source"])
    assert "A" in set(found.regulators["regulator"])
    assert found.edges["p_value"].notna().all()


def test_donors_together_have_enough_cells(model: SCDual) -> None:
    """In the second condition one cell of each donor expresses the regulator; ``min_cells`` counts those of all donors."""
    regulation_map = model.module.map
    assert 1 < regulation_map.min_cells <= 4
    adata = model.adata.copy()
    counts, column = adata.X.toarray(), adata.var_names.get_loc("A")
    stimulated = np.flatnonzero(adata.obs["condition"] == "stim")
    counts[stimulated, column] = 0
    counts[stimulated[:4], column] = 5  # of four donors
    adata.X = csr_matrix(counts)
    assert "A" in set(model.compare_conditions("condition", donor_key="donor", adata=adata).edges["source"])
    counts[stimulated[regulation_map.min_cells - 1 : 4], column] = 0
    adata.X = csr_matrix(counts)
    assert "A" not in set(model.compare_conditions("condition", donor_key="donor", adata=adata).edges["source"])


def test_regulators_without_an_edge_have_no_activity() -> None:
    adata = two_conditions(200, rewired=False)
    counts = adata.X.toarray()
    counts[:, adata.var_names.get_loc("B")] = 0
    adata.X = csr_matrix(counts)
    found = fitted(adata).compare_conditions("condition")
    assert found.regulators["regulator"].tolist() == ["A"]
    assert found.regulators.notna().all(axis=None)


def test_too_few_cells_are_left_out_with_a_reason(model: SCDual) -> None:
    adata = model.adata.copy()
    adata.obs["type"] = np.where(np.arange(adata.n_obs) % 400 < 10, "rare", "common")
    with pytest.warns(
        UserWarning, match="1 of 2 comparisons are left out, because a condition has fewer than 20 cells"
    ):
        found = model.compare_conditions("condition", groupby="type", adata=adata)
    assert found.groups == ["common"]
    assert "left out" in repr(found)
    assert "['rare (stim)']" in repr(found)


def test_cells_that_take_no_part_are_told(model: SCDual) -> None:
    adata = model.adata.copy()
    adata.obs["missing"] = adata.obs["condition"].astype(object).mask(np.arange(adata.n_obs) < 7)
    with pytest.warns(UserWarning, match="take no part in the comparison: .'7 cells have no value for condition'"):
        found = model.compare_conditions("missing", adata=adata)
    assert found.units["n_cells"].sum() == adata.n_obs - 7
    assert "7 cells" in repr(found)
    rows = np.arange(adata.n_obs)
    adata.obs["person"] = adata.obs["donor"].astype(object).mask(rows < 5)
    adata.obs.loc[adata.obs_names[(rows > 400) & (rows % 8 == 0)], "person"] = "new"
    adata.obs.loc[adata.obs_names[100:110], "person"] = "small"
    told = ".*".join(
        [
            "take no part in the comparison: .'5 cells have no value for condition or donor'",
            "donor small in ctrl has fewer than 20 cells there",
            "donor new in stim has no partner in the other condition",
        ]
    )
    with pytest.warns(UserWarning, match=told):
        found = model.compare_conditions("condition", donor_key="person", adata=adata)
    assert set(found.units["donor"]) == {"donor 0", "donor 1", "donor 2", "donor 3"}


@pytest.mark.parametrize(("value", "said"), [("one", "['one']"), (np.nan, "[]")], ids=str)
def test_one_condition_is_nothing_to_compare(model: SCDual, value: object, said: str) -> None:
    adata = model.adata.copy()
    adata.obs["same"] = pd.Series(value, index=adata.obs_names, dtype=object)
    with pytest.raises(ValueError, match=re.escape(f"which has the conditions {said}, expected two or more")):
        model.compare_conditions("same", adata=adata)


@pytest.mark.parametrize("key", [None, 3, ["condition"]], ids=repr)
def test_a_condition_is_a_column(model: SCDual, key: object) -> None:
    with pytest.raises(KeyError, match="`condition_key=.*` is not a column of `obs`"):
        model.compare_conditions(key)


def test_nothing_changes(model: SCDual, contents: Callable) -> None:
    before = contents(model.adata)
    model.compare_conditions("condition", groupby="type", donor_key="donor")
    assert contents(model.adata) == before


def test_a_condition_cannot_be_its_own_donor_or_group(model: SCDual) -> None:
    with pytest.raises(ValueError, match="`condition_key` and `donor_key` both name 'condition'"):
        model.compare_conditions("condition", donor_key="condition")
    with pytest.raises(ValueError, match="`condition_key` and `groupby` both name 'condition'"):
        model.compare_conditions("condition", groupby=["type", "condition"])


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
