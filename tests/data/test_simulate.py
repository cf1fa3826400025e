from pathlib import Path
from typing import Any

import anndata
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

from scdual.datasets import simulate

CHAIN = pd.DataFrame({"source": ["A", "B"], "target": ["B", "C"], "weight": [2.0, -1.5]})


@pytest.fixture(scope="module")
def default() -> AnnData:
    return simulate()


def table(*edges: tuple[Any, Any, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(edges), columns=["source", "target", "weight"])


def true_table(adata: AnnData) -> pd.DataFrame:
    edges = adata.varp["true_regulation"].tocoo()
    names = adata.var_names
    found = pd.DataFrame({"source": names[edges.row], "target": names[edges.col], "weight": edges.data})
    return found.sort_values(["source", "target"], ignore_index=True)


def log_normalised(adata: AnnData) -> pd.DataFrame:
    counts = adata.X.toarray()
    library_size = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return pd.DataFrame(np.log1p(np.median(library_size) * counts / library_size), columns=adata.var_names)


def test_counts_are_sparse_integers_at_the_depth_of_umis(default: AnnData) -> None:
    assert default.shape == (2000, 300)
    assert isinstance(default.X, csr_matrix)
    assert default.X.dtype == np.float32
    assert default.X.data.min() == 1
    np.testing.assert_array_equal(default.X.data, np.rint(default.X.data))
    assert 0.65 < 1 - default.X.nnz / np.prod(default.shape) < 0.85
    assert np.median(default.X.toarray().sum(axis=1)) == pytest.approx(150, rel=0.1)
    assert (default.X.sum(axis=0) > 0).all()


def test_counts_scatter_around_their_mean_as_poisson() -> None:
    adata = simulate(4000, 20, n_regulators=5, n_cell_types=1, library_size=200)
    counts = adata.X.toarray()
    mean, var = counts.mean(axis=0), counts.var(axis=0)
    assert (var > 0.95 * mean).all()  # expression and capture vary on top
    half = simulate(4000, 20, n_regulators=5, n_cell_types=1, library_size=100).X.toarray().mean(axis=0)
    np.testing.assert_allclose(half, mean / 2, rtol=0.2, atol=0.02)


def test_annotation_has_every_cell_type_and_the_regulators(default: AnnData) -> None:
    assert default.obs["cell_type"].value_counts().tolist() == [400] * 5
    assert "batch" not in default.obs
    assert default.var["regulator"].dtype == bool
    assert default.var["regulator"].sum() == 30
    assert not default.var["regulator"].iloc[:30].all()
    assert default.var_names[default.var["regulator"]].str.startswith("REG").all()
    assert default.var_names.is_unique


def test_network_is_acyclic_signed_and_starts_at_regulators(default: AnnData) -> None:
    weight = default.varp["true_regulation"]
    assert isinstance(weight, csr_matrix)
    assert weight.dtype == np.float32
    assert weight.diagonal().sum() == 0
    n_targets = np.diff(weight.indptr)
    assert (n_targets[~default.var["regulator"]] == 0).all()
    n_regulators = np.diff(weight.tocsc().indptr)
    assert set(n_regulators[~default.var["regulator"]]) == {1, 2, 3, 4}
    is_regulated = n_regulators[default.var["regulator"]] > 0
    assert is_regulated.sum() == 20
    assert nx.is_directed_acyclic_graph(nx.from_scipy_sparse_array(weight, create_using=nx.DiGraph))
    strength = np.abs(weight.data)
    assert 1 <= strength.min() < strength.max() <= 5
    assert (weight.data < 0).mean() == pytest.approx(0.35, abs=0.06)


@pytest.mark.parametrize(("fraction", "signs"), [(0.0, {1.0}), (1.0, {-1.0})])
def test_fraction_repressing_sets_the_signs(fraction: float, signs: set[float]) -> None:
    assert (
        set(np.sign(simulate(20, 40, n_regulators=8, fraction_repressing=fraction).varp["true_regulation"].data))
        == signs
    )


def test_edges_per_target_are_kept_where_there_are_enough_regulators() -> None:
    adata = simulate(20, 40, n_regulators=8, edges_per_target=(3, 3))
    n_regulators = np.diff(adata.varp["true_regulation"].tocsc().indptr)
    assert (n_regulators[~adata.var["regulator"]] == 3).all()


def test_expression_follows_the_documented_equation() -> None:
    adata = simulate(300, 30, n_regulators=6, n_cell_types=3)
    expression = adata.layers["true_expression"].astype(np.float64)
    weight = adata.varp["true_regulation"].toarray()
    for target in np.flatnonzero((weight != 0).any(axis=0)):
        production = np.full(adata.n_obs, 0.1)
        for regulator in np.flatnonzero(weight[:, target]):
            ratio = expression[:, regulator] / expression[:, regulator].mean()
            hill = ratio**2 / (1 + ratio**2)
            signed = weight[regulator, target]
            production += signed * hill if signed > 0 else -signed * (1 - hill)
        log_noise = np.log(expression[:, target] / production)
        assert log_noise.std() == pytest.approx(0.5, abs=0.08)
        assert np.exp(log_noise).mean() == pytest.approx(1, abs=0.15)
        assert abs(np.corrcoef(log_noise, np.log(production))[0, 1]) < 0.2


def test_masters_differ_between_cell_types_and_fillers_do_not() -> None:
    adata = simulate(2000, 10, n_cell_types=4, network=CHAIN)
    log_expression = pd.DataFrame(np.log(adata.layers["true_expression"]), columns=adata.var_names)
    means = log_expression.groupby(adata.obs["cell_type"].to_numpy()).mean()
    spread = means.max() - means.min()
    assert spread["A"] > 0.3
    assert spread.filter(like="GENE").max() < 0.2


@pytest.mark.parametrize("n_cell_types", [1, 5])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_chain_correlates_with_the_signs_of_its_edges(n_cell_types: int, seed: int) -> None:
    adata = simulate(2000, 50, n_cell_types=n_cell_types, library_size=2000, network=CHAIN, seed=seed)
    values = log_normalised(adata)
    assert values["A"].corr(values["B"]) > 0.15
    assert values["B"].corr(values["C"]) < -0.15


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_signs_of_a_random_network_can_be_told_from_the_data(seed: int) -> None:
    adata = simulate(seed=seed)
    correlation = np.corrcoef(log_normalised(adata).to_numpy().T)
    edges = adata.varp["true_regulation"].tocoo()
    agrees = np.sign(correlation[edges.row, edges.col]) == np.sign(edges.data)
    assert agrees.mean() > max((edges.data > 0).mean(), 0.7)


def test_given_network_comes_back_by_name() -> None:
    network = table(("SOX2", "NANOG", 1.5), ("NANOG", "GATA6", -2.0), ("SOX2", "GATA6", -0.5), ("KLF4", "SOX2", 3.0))
    before = network.copy()
    adata = simulate(50, 12, network=network, seed=3)
    expected = network.sort_values(["source", "target"], ignore_index=True)
    pd.testing.assert_frame_equal(true_table(adata), expected, check_dtype=False)
    pd.testing.assert_frame_equal(network, before)
    assert adata.n_vars == 12
    assert set(adata.var_names[adata.var["regulator"]]) == {"SOX2", "NANOG", "KLF4"}
    assert adata.uns["simulation"]["network"] == "given"


def test_order_of_the_rows_and_other_columns_do_not_matter_for_the_network() -> None:
    extra = CHAIN.iloc[::-1].assign(note="x").astype({"source": "category", "target": "category"})
    pd.testing.assert_frame_equal(
        true_table(simulate(20, 5, network=extra)), true_table(simulate(20, 5, network=CHAIN))
    )


def test_given_network_is_never_cut_and_fillers_have_new_names() -> None:
    assert sorted(simulate(20, 1, network=CHAIN).var_names) == ["A", "B", "C"]
    adata = simulate(20, 6, network=table(("GENE001", "GENE004", 1.0)))
    assert adata.n_vars == 6
    assert adata.var_names.is_unique


def test_same_seed_gives_the_same_data_and_another_seed_others() -> None:
    first, again, other = (simulate(100, 40, n_regulators=8, n_batches=2, dropout=0.3, seed=seed) for seed in (5, 5, 6))
    assert list(first.var_names) == list(again.var_names)
    np.testing.assert_array_equal(first.X.toarray(), again.X.toarray())
    pd.testing.assert_frame_equal(first.obs, again.obs)
    np.testing.assert_array_equal(first.varp["true_regulation"].toarray(), again.varp["true_regulation"].toarray())
    assert (first.X.toarray() != other.X.toarray()).any()


def test_global_random_state_is_neither_used_nor_changed() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the legacy state is what must not change
    simulate(20, 10, n_regulators=3)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_dropout_adds_zeros_first_to_low_genes() -> None:
    kept, dropped = (simulate(1000, 100, library_size=500, dropout=dropout, seed=4) for dropout in (0.0, 0.5))
    np.testing.assert_array_equal(kept.layers["true_expression"], dropped.layers["true_expression"])
    before, after = kept.X.toarray(), dropped.X.toarray()
    assert ((after == before) | (after == 0)).all()
    assert dropped.X.nnz < 0.9 * kept.X.nnz
    survival = after.sum(axis=0) / before.sum(axis=0)
    assert np.corrcoef(survival, np.log(before.mean(axis=0)))[0, 1] > 0.8


def test_batches_scale_genes_mildly() -> None:
    adata = simulate(4000, 20, n_regulators=5, n_batches=2, library_size=2000)
    assert adata.obs["batch"].value_counts().tolist() == [2000, 2000]
    is_second = (adata.obs["batch"] == "batch_2").to_numpy()
    counts = adata.X.toarray()
    log_ratio = np.log(counts[is_second].mean(axis=0) / counts[~is_second].mean(axis=0))
    assert 0.1 < log_ratio.std() < 0.6
    expression = adata.layers["true_expression"]
    assert np.log(expression[is_second].mean(axis=0) / expression[~is_second].mean(axis=0)).std() < 0.06


@pytest.mark.parametrize("network", [None, CHAIN], ids=["random", "given"])
def test_survives_h5ad(tmp_path: Path, network: pd.DataFrame | None) -> None:
    adata = simulate(30, 12, n_regulators=4, n_batches=2, network=network)
    adata.write_h5ad(tmp_path / "simulated.h5ad")
    back = anndata.read_h5ad(tmp_path / "simulated.h5ad")
    np.testing.assert_array_equal(back.X.toarray(), adata.X.toarray())
    pd.testing.assert_frame_equal(true_table(back), true_table(adata))
    pd.testing.assert_frame_equal(back.obs, adata.obs)
    assert back.uns["simulation"].keys() == adata.uns["simulation"].keys()
    assert back.uns["simulation"]["seed"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"n_obs": 0}, "`n_obs` is 0", id="no-cells"),
        pytest.param({"n_vars": 0}, "`n_vars` is 0", id="no-genes"),
        pytest.param({"n_regulators": 0}, "`n_regulators` is 0", id="no-regulators"),
        pytest.param({"n_regulators": 41}, "from 1 to 40", id="more-regulators-than-genes"),
        pytest.param({"n_cell_types": 21}, "from 1 to 20", id="more-types-than-cells"),
        pytest.param({"n_batches": 0}, "`n_batches` is 0", id="no-batches"),
        pytest.param({"edges_per_target": (0, 2)}, r"`edges_per_target\[0\]` is 0", id="no-edges"),
        pytest.param({"edges_per_target": (3, 2)}, r"`edges_per_target\[1\]` is 2", id="edges-reversed"),
        pytest.param({"fraction_repressing": 1.5}, "`fraction_repressing` is 1.5", id="fraction"),
        pytest.param({"library_size": float("inf")}, "`library_size` is inf", id="infinite-library"),
        pytest.param({"library_size": -1}, "`library_size` is -1", id="negative-library"),
        pytest.param({"dropout": float("nan")}, "`dropout` is nan", id="dropout-nan"),
        pytest.param({"dropout": 1.0}, "`dropout` is 1.0", id="dropout-all"),
    ],
)
def test_bad_numbers_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(**{"n_obs": 20, "n_vars": 40, "n_regulators": 5} | options)


def test_numbers_of_things_must_be_integers() -> None:
    with pytest.raises(TypeError, match="`n_obs` is 2.5"):
        simulate(2.5)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        pytest.param(table(("A", "B", 1), ("B", "C", 1), ("C", "A", -1)), "has the cycle .* -> .* -> ", id="cycle"),
        pytest.param(table(("A", "A", 1)), "1 edges from a gene to itself: .*A", id="self"),
        pytest.param(
            table(("A", "B", 1), ("A", "B", -1)),
            "1 of 2 edges of the network .* repeated, e.g. .*A -> B",
            id="repeated",
        ),
        pytest.param(table(("A", "B", 0)), "weight of zero", id="zero"),
        pytest.param(table(("A", "B", np.nan)), "have no weight", id="nan"),
        pytest.param(table(("A", "B", "strong")), "no number in the column `weight`", id="text"),
        pytest.param(table(("A", None, 1)), "lack a source or target name", id="no-name"),
        pytest.param(CHAIN.drop(columns="weight"), "have an unknown sign", id="no-weight"),
    ],
)
def test_bad_networks_are_refused(network: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(20, 10, network=network)


def test_a_knockout_leaves_the_same_cells_without_the_gene() -> None:
    with_a, without = (simulate(500, 12, network=CHAIN, knockout=lost) for lost in (None, "A"))
    before, after = (each.to_df("true_expression") for each in (with_a, without))
    assert (after["A"] == 0).all()
    assert without.to_df()["A"].sum() == 0
    others = [name for name in before if name not in "ABC"]
    pd.testing.assert_frame_equal(after[others], before[others])
    half = before["A"].mean() ** 2
    active = before["A"] ** 2 / (before["A"] ** 2 + half)
    np.testing.assert_allclose(after["B"] / before["B"], 0.1 / (0.1 + 2 * active), rtol=1e-4)
    assert (after["C"] > before["C"]).all()  # B, which represses it, is lower
    pd.testing.assert_frame_equal(true_table(without), true_table(with_a))
    pd.testing.assert_frame_equal(without.obs, with_a.obs)


def test_a_knockout_of_several_genes_is_told_with_the_parameters() -> None:
    adata = simulate(30, 12, network=CHAIN, knockout=["A", "B"])
    assert adata.uns["simulation"]["knockout"] == ["A", "B"]
    assert adata.to_df()[["A", "B"]].to_numpy().sum() == 0
    assert "knockout" not in simulate(30, 12, network=CHAIN).uns["simulation"]


@pytest.mark.parametrize(
    ("knockout", "error", "message"),
    [
        ("REG1", ValueError, r"`knockout` names \['REG1'\], expected genes .*Did you mean 'REG01'"),
        (["REG01", "REG01"], ValueError, "more than once"),
        ([], ValueError, "no names"),
        (3, TypeError, "expected a list of names"),
    ],
)
def test_a_knockout_needs_genes_of_the_simulation(knockout: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        simulate(20, 30, n_regulators=12, knockout=knockout)
