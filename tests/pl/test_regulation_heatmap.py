"""The heat map shows the strongest genes, each weight in the cell of its names."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from scdual.grn import EdgeEvidence, RegulatoryNetwork
from scdual.pl import regulation_heatmap


@pytest.fixture
def network() -> RegulatoryNetwork:
    rng = np.random.default_rng(0)
    regulators, targets = [f"R{i}" for i in range(20)], [f"R{i}" for i in range(3)] + [f"T{i}" for i in range(47)]
    weight = rng.normal(size=(20, 50)) * np.linspace(0.1, 1, 20)[:, None]
    weight[np.arange(3), np.arange(3)] = 0  # no gene regulates itself
    return RegulatoryNetwork(weight, pd.Index(regulators), pd.Index(targets))


def names(labels: list) -> list[str]:
    return [label.get_text() for label in labels]


def test_shows_the_strongest_regulators_and_their_strongest_targets(network: RegulatoryNetwork) -> None:
    ax = regulation_heatmap(network, n_regulators=4, n_targets=6)
    strength = pd.DataFrame(np.abs(network.weight), network.regulators, network.targets)
    regulators = strength.sum(axis=1).nlargest(4).index
    assert set(names(ax.get_yticklabels())) == set(regulators)
    assert set(names(ax.get_xticklabels())) == set(strength.loc[regulators].sum(axis=0).nlargest(6).index)


def test_each_cell_holds_the_weight_of_its_names(network: RegulatoryNetwork) -> None:
    ax = regulation_heatmap(network, n_regulators=4, n_targets=6)
    expected = network.subset(names(ax.get_yticklabels()), names(ax.get_xticklabels())).weight
    np.testing.assert_array_equal(ax.images[0].get_array(), expected)


def test_evidence_does_not_change_the_picture(network: RegulatoryNetwork) -> None:
    sure = replace(network, evidence=EdgeEvidence(*np.ones((2, *network.weight.shape))))
    plain, drawn = (regulation_heatmap(each) for each in (network, sure))
    np.testing.assert_array_equal(drawn.images[0].get_array(), plain.images[0].get_array())
    assert names(drawn.get_yticklabels()) == names(plain.get_yticklabels())


def test_colours_are_centred_at_zero_and_the_bar_says_what_they_mean(network: RegulatoryNetwork) -> None:
    ax = regulation_heatmap(network)
    low, high = ax.images[0].get_clim()
    assert low == -high < 0
    bar = next(other for other in ax.figure.axes if other is not ax)
    assert "represses" in bar.get_ylabel()
    assert "activates" in bar.get_ylabel()


def test_a_gene_with_itself_is_masked() -> None:
    weight = np.array([[0.0, 1.0], [-2.0, 0.0]])
    ax = regulation_heatmap(RegulatoryNetwork(weight, pd.Index(["A", "B"]), pd.Index(["A", "B"])))
    rows, columns = names(ax.get_yticklabels()), names(ax.get_xticklabels())
    is_self = [[row == column for column in columns] for row in rows]
    np.testing.assert_array_equal(np.ma.getmaskarray(ax.images[0].get_array()), is_self)


def test_similar_rows_are_neighbours() -> None:
    profile = np.array([[1.0, 0, 1, 0], [0, 1, 0, -1], [1.0, 0, 0.9, 0], [0, 1, 0, -0.9]])
    ax = regulation_heatmap(RegulatoryNetwork(profile, pd.Index(list("abcd")), pd.Index(list("wxyz"))))
    assert "".join(names(ax.get_yticklabels())) in {"acbd", "acdb", "cabd", "cadb", "bdac", "bdca", "dbac", "dbca"}


def test_small_network_is_drawn_whole_without_genes_that_have_no_edge() -> None:
    weight = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    ax = regulation_heatmap(RegulatoryNetwork(weight, pd.Index(["A", "B"]), pd.Index(["x", "y", "z"]), group="NK"))
    assert names(ax.get_yticklabels()) == ["A"]
    assert names(ax.get_xticklabels()) == ["y"]
    assert ax.get_title() == "Regulation in NK"


def test_draws_on_given_axes(network: RegulatoryNetwork) -> None:
    ax = plt.figure().add_subplot()
    assert regulation_heatmap(network, ax=ax) is ax


@pytest.mark.parametrize("name", ["n_regulators", "n_targets"])
def test_number_below_one_is_an_error(network: RegulatoryNetwork, name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` is 0, expected a whole number of at least 1"):
        regulation_heatmap(network, **{name: 0})
