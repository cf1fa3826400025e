"""Every picture of a network says in the same words that it has no edge, and draws nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt

from scdual.grn import RegulatoryNetwork
from scdual.pl import network_comparison, network_graph, regulation_heatmap, regulator_ranking

EMPTY = RegulatoryNetwork(np.zeros((1, 2)), ["A"], ["x", "y"])
PICTURES: dict[str, Callable[[RegulatoryNetwork], Any]] = {
    "network_graph": network_graph,
    "network_comparison": lambda network: network_comparison(network, network),
    "regulation_heatmap": regulation_heatmap,
    "regulator_ranking": regulator_ranking,
}


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES)
def test_network_without_edges_is_an_error(draw: Callable[[RegulatoryNetwork], Any]) -> None:
    found = r"Found no edge to draw in RegulatoryNetwork\(1 regulators x 2 targets, 0 edges\).*, expected one or more\."
    with pytest.raises(ValueError, match=found):
        draw(EMPTY)
    assert not plt.get_fignums()


def test_regulators_without_edges_are_an_error() -> None:
    network = RegulatoryNetwork(np.array([[0.0, 0.0], [1.0, 0.0]]), ["A", "B"], ["x", "y"])
    with pytest.raises(ValueError, match="Found no edge to draw in"):
        network_graph(network, regulators=["A"])


def test_one_network_with_edges_is_enough_to_compare() -> None:
    other = RegulatoryNetwork(np.ones((1, 2)), ["A"], ["x", "y"])
    assert network_comparison(EMPTY, other, n_labels=0) is not None
