"""Bars show the strongest regulators in order, and tell activation from repression without colour."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from scdual.grn import RegulatoryNetwork
from scdual.pl import regulator_ranking
from scdual.pl._colours import ACTIVATION_COLOUR, REPRESSION_COLOUR


@pytest.fixture
def network() -> RegulatoryNetwork:
    weight = np.random.default_rng(0).normal(size=(12, 40)) * np.linspace(0.1, 1, 12)[:, None]
    return RegulatoryNetwork(weight, [f"R{i}" for i in range(12)], [f"T{i}" for i in range(40)])


def names(ax: Axes) -> list[str]:
    """Return the regulators from top to bottom."""
    low, high = ax.get_ylim()
    labels = [label.get_text() for label in ax.get_yticklabels()]
    return labels if low > high else labels[::-1]


def test_shows_the_strongest_regulators_in_order(network: RegulatoryNetwork) -> None:
    strength = pd.Series(np.abs(network.weight).sum(axis=1), network.regulators)
    assert names(regulator_ranking(network, n=5)) == list(strength.nlargest(5).index)


def test_two_parts_of_a_bar_add_up_to_the_strength(network: RegulatoryNetwork) -> None:
    ax = regulator_ranking(network, n=5)
    activation, repression = ax.containers
    for name, left, right in zip(names(ax), activation, repression, strict=True):
        row = network.subset([name]).weight[0]
        assert left.get_x() == 0
        assert left.get_width() == pytest.approx(row[row > 0].sum())
        assert right.get_x() == pytest.approx(left.get_width())
        assert right.get_width() == pytest.approx(-row[row < 0].sum())


def test_parts_differ_in_colour_and_hatch(network: RegulatoryNetwork) -> None:
    activation, repression = regulator_ranking(network).containers
    assert to_hex(activation[0].get_facecolor()).upper() == ACTIVATION_COLOUR
    assert to_hex(repression[0].get_edgecolor()).upper() == REPRESSION_COLOUR
    assert not activation[0].get_hatch()
    assert repression[0].get_hatch()


def test_legend_explains_both_parts(network: RegulatoryNetwork) -> None:
    labels = [text.get_text() for text in regulator_ranking(network).get_legend().get_texts()]
    assert labels == ["activation", "repression"]


def test_legend_lies_outside_the_bars(network: RegulatoryNetwork) -> None:
    ax = regulator_ranking(network)
    ax.figure.canvas.draw()
    assert not ax.get_legend().get_window_extent().overlaps(ax.xaxis.label.get_window_extent())
    assert not ax.get_legend().get_window_extent().overlaps(ax.get_window_extent())


def test_order_of_genes_does_not_matter_and_ties_are_by_name() -> None:
    network = RegulatoryNetwork(np.array([[1.0, -1], [0, 2], [0, 0], [0, 3]]), list("DBAC"), list("xy"), group="NK")
    for regulators in ("ABCD", "DCBA", "BADC"):
        ax = regulator_ranking(network.subset(list(regulators), list("yx")))
        assert names(ax) == list("CBD")  # A has no edge
        assert ax.get_title() == "Strongest regulators in NK"


def test_draws_on_given_axes(network: RegulatoryNetwork) -> None:
    ax = plt.figure().add_subplot()
    assert regulator_ranking(network, ax=ax) is ax


def test_number_below_one_is_an_error(network: RegulatoryNetwork) -> None:
    with pytest.raises(ValueError, match="`n` is 0, expected a whole number of at least 1"):
        regulator_ranking(network, n=0)
