"""The comparison lists edges by their difference, aligned by name."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import false_discovery_control

from scdual.grn import EdgeEvidence, RegulatoryNetwork
from scdual.tl import compare_networks

REGULATORS, TARGETS = list("ABC"), list("wxyz")
WEIGHTS = hnp.arrays(np.int8, (3, 4), elements=st.integers(-3, 3))


def loop_edges(first: RegulatoryNetwork, second: RegulatoryNetwork) -> list[tuple]:
    """Return (source, target, weight, weight, difference) of all edges on shared genes, most different first."""
    found = []
    for source in set(first.regulators) & set(second.regulators):
        for target in set(first.targets) & set(second.targets):
            one, two = (float(net.subset([source], [target]).weight[0, 0]) for net in (first, second))
            if one or two:
                found.append((source, target, one, two, two - one))
    return sorted(found, key=lambda edge: (-abs(edge[4]), edge[0], edge[1]))


def rows(table: pd.DataFrame) -> list[tuple]:
    return list(table.itertuples(index=False, name=None))


@given(WEIGHTS, WEIGHTS, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_agrees_with_a_loop_in_any_order_of_genes(first: np.ndarray, second: np.ndarray, random: object) -> None:
    one, two = (RegulatoryNetwork(weight / 4, REGULATORS, TARGETS) for weight in (first, second))
    regulators, targets = list(REGULATORS), list(TARGETS)
    random.shuffle(regulators)
    random.shuffle(targets)
    table = compare_networks(one, two)
    assert rows(table) == loop_edges(one, two)
    pd.testing.assert_frame_equal(compare_networks(one, two.subset(regulators, targets)), table)
    pd.testing.assert_frame_equal(compare_networks(one.subset(regulators, targets), two, top=3), table.head(3))


@pytest.fixture
def other() -> RegulatoryNetwork:
    """Return a network with other genes in another order than the fixture `network`."""
    return RegulatoryNetwork(np.array([[0.5, -1.0, 2.0], [3.0, 4.0, 0.25]]), ["C", "Q"], ["v", "new", "w"], group="B")


def test_only_pairs_that_both_know_are_compared(network: RegulatoryNetwork, other: RegulatoryNetwork) -> None:
    table = compare_networks(network, other)
    assert list(table.columns) == ["source", "target", "weight_NK", "weight_B", "difference"]
    assert rows(table) == [("C", "w", -1.0, 2.0, 3.0), ("C", "v", 1.0, 0.5, -0.5)]


def test_swapping_the_networks_flips_the_difference(network: RegulatoryNetwork, other: RegulatoryNetwork) -> None:
    table, swapped = compare_networks(network, other), compare_networks(other, network)
    np.testing.assert_array_equal(table["difference"], -swapped["difference"])
    pd.testing.assert_frame_equal(table.drop(columns="difference"), swapped[table.columns].drop(columns="difference"))


def test_equal_edges_are_listed_with_no_difference(network: RegulatoryNetwork) -> None:
    table = compare_networks(network, network)
    assert len(table) == network.n_edges
    assert (table["difference"] == 0).all()


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        (("B", "NK"), ("B", "NK")),
        ((None, None), ("first", "second")),
        (("B", "B"), ("first", "second")),
        ((None, "NK"), ("first", "NK")),
        (("second", None), ("first", "second")),
    ],
    ids=str,
)
def test_columns_are_named_after_the_groups(groups: tuple, names: tuple) -> None:
    networks = [RegulatoryNetwork(np.ones((1, 1)), ["A"], ["x"], group) for group in groups]
    assert tuple(compare_networks(*networks).columns[2:4]) == tuple(f"weight_{name}" for name in names)


def test_networks_without_edges_give_an_empty_table(network: RegulatoryNetwork) -> None:
    assert compare_networks(network.top(0), network.top(0)).empty


def test_negative_number_is_an_error(network: RegulatoryNetwork) -> None:
    with pytest.raises(ValueError, match="`top` is -2, expected a whole number of at least 0"):
        compare_networks(network, network, top=-2)


@pytest.mark.parametrize("top", ["5", 2.5, True], ids=str)
def test_a_number_of_edges_that_is_no_whole_number_is_an_error(network: RegulatoryNetwork, top: object) -> None:
    with pytest.raises(TypeError, match="`top` is .*, expected a whole number"):
        compare_networks(network, network, top=top)


def test_a_table_is_an_error_that_names_the_remedy(network: RegulatoryNetwork) -> None:
    with pytest.raises(TypeError, match="from_frame"):
        compare_networks(network, network.to_frame())


def with_sd(weight: float, sd: float, group: str) -> RegulatoryNetwork:
    matrix = np.array([[weight, 0.5]])
    evidence = EdgeEvidence(np.array([[sd, 0.01]]), np.ones((1, 2)))
    return RegulatoryNetwork(matrix, ["A"], ["x", "y"], group, evidence)


def test_differences_are_tested_where_both_networks_know_their_errors() -> None:
    table = compare_networks(with_sd(0.1, 0.3, "a"), with_sd(1.1, 0.4, "b")).set_index("target")
    assert list(table.columns[-4:]) == ["se", "z", "p_value", "q_value"]
    assert table.loc["x", "se"] == pytest.approx(0.5)
    assert table.loc["x", "z"] == pytest.approx(2.0)
    assert table.loc["x", "p_value"] == pytest.approx(0.0455, abs=1e-4)
    assert table.loc["y", "p_value"] == 1
    p_values = table["p_value"].to_numpy()
    np.testing.assert_allclose(table["q_value"], false_discovery_control(p_values))
    assert table.loc["x", "q_value"] == pytest.approx(0.091, abs=1e-4)  # of two


def test_sure_differences_come_before_large_ones() -> None:
    first = RegulatoryNetwork(np.zeros((1, 2)), ["A"], ["x", "y"], "a", EdgeEvidence(np.ones((1, 2)), np.zeros((1, 2))))
    sd = np.array([[0.1, 9.0]])
    second = RegulatoryNetwork(np.array([[4.0, 8.0]]), ["A"], ["x", "y"], "b", EdgeEvidence(sd, np.ones((1, 2))))
    assert list(compare_networks(first, second)["target"]) == ["x", "y"]


def test_without_errors_nothing_is_tested(network: RegulatoryNetwork) -> None:
    assert "p_value" not in compare_networks(network, with_sd(1.0, 0.1, "b"))
