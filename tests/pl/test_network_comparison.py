"""Each edge is a point at its two weights, and the most different edges are named legibly."""

import itertools

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.text import Text

from scdual.grn import RegulatoryNetwork
from scdual.pl import network_comparison
from scdual.pl._side_names import spread


@pytest.fixture
def networks() -> tuple[RegulatoryNetwork, RegulatoryNetwork]:
    """Return two noisy copies of a sparse network; the second has its genes in another order."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(6, 50)) * (rng.random((6, 50)) < 0.5)
    regulators, targets = [f"REG{i}" for i in range(6)], [f"GENE{i}" for i in range(50)]
    noisy = weight + rng.normal(size=weight.shape) * (rng.random(weight.shape) < 0.3)
    second = RegulatoryNetwork(noisy, regulators, targets, "NK").subset(regulators[::-1], targets[::-1])
    return RegulatoryNetwork(weight, regulators, targets, "B"), second


def points(ax: Axes, marker: str) -> set[tuple[float, float]]:
    lines = [line for line in ax.lines if line.get_marker() == marker]
    return {(float(x), float(y)) for line in lines for x, y in zip(*line.get_data(), strict=True)}


def labels(ax: Axes) -> dict[str, tuple[float, float]]:
    """Return what is named, and the point each name belongs to."""
    return {text.get_text(): tuple(map(float, text.xy)) for text in ax.texts if "→" in text.get_text()}


def loop_edges(first: RegulatoryNetwork, second: RegulatoryNetwork) -> dict[str, tuple[float, float]]:
    """Return the two weights of each edge that is in one of the networks."""
    edges = {}
    for source, target in itertools.product(first.regulators, first.targets):
        weights = tuple(float(net.subset([source], [target]).weight[0, 0]) for net in (first, second))
        if any(weights):
            edges[f"{source} → {target}"] = weights
    return edges


def test_each_edge_is_a_point_at_its_weights(networks: tuple[RegulatoryNetwork, RegulatoryNetwork]) -> None:
    assert points(network_comparison(*networks), ".") == set(loop_edges(*networks).values())


def test_the_most_different_edges_are_marked_and_named(networks: tuple[RegulatoryNetwork, RegulatoryNetwork]) -> None:
    ax = network_comparison(*networks, n_labels=5)
    edges = loop_edges(*networks)
    chosen = sorted(edges, key=lambda name: -abs(edges[name][1] - edges[name][0]))[:5]
    assert labels(ax) == {name: edges[name] for name in chosen}
    assert points(ax, "o") == {edges[name] for name in chosen}


def test_axes_are_named_after_the_groups_and_equal(networks: tuple[RegulatoryNetwork, RegulatoryNetwork]) -> None:
    ax = network_comparison(*networks)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("weight in B", "weight in NK")
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_aspect() == 1


def test_networks_without_groups_are_first_and_second() -> None:
    network = RegulatoryNetwork(np.ones((1, 1)), ["A"], ["x"])
    ax = network_comparison(network, network)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("weight in the first network", "weight in the second network")
    assert labels(ax) == {}  # nothing differs


@pytest.mark.parametrize("n_labels", [12, 25])
def test_names_do_not_overlap(networks: tuple[RegulatoryNetwork, RegulatoryNetwork], n_labels: int) -> None:
    ax = network_comparison(*networks, n_labels=n_labels)
    ax.figure.canvas.draw()
    texts = [text for text in ax.texts if "→" in text.get_text()]
    boxes = [Text.get_window_extent(text) for text in texts]  # without the lines to the points
    assert len(boxes) == n_labels
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert all(box.x0 > ax.get_window_extent().x1 for box in boxes)  # beside the points, not on them


def test_order_of_genes_does_not_matter(networks: tuple[RegulatoryNetwork, RegulatoryNetwork]) -> None:
    first, second = networks
    shuffled = network_comparison(first.subset(first.regulators[::-1], first.targets[::-1]), second)
    ax = network_comparison(first, second)
    assert labels(shuffled) == labels(ax)
    assert points(shuffled, ".") == points(ax, ".")


def test_places_are_apart_in_order_and_unmoved_where_there_is_room() -> None:
    place = np.array([0.0, 0.3, 0.31, 0.32, 0.8, 0.99, 1.0])
    moved = spread(place, 0.1)
    assert np.diff(moved).min() >= 0.1 - 1e-9
    assert moved[0] >= 0
    assert moved[-1] <= 1
    np.testing.assert_allclose(moved[1:4], [0.21, 0.31, 0.41])  # moved evenly to both sides
    np.testing.assert_allclose(spread(place[[0, 1, 4]], 0.1), place[[0, 1, 4]])


def test_draws_on_given_axes(networks: tuple[RegulatoryNetwork, RegulatoryNetwork]) -> None:
    ax = plt.figure().add_subplot()
    assert network_comparison(*networks, ax=ax) is ax


def test_no_labels_are_allowed_and_fewer_than_none_are_not(
    networks: tuple[RegulatoryNetwork, RegulatoryNetwork],
) -> None:
    assert labels(network_comparison(*networks, n_labels=0)) == {}
    with pytest.raises(ValueError, match="`n_labels` is -1, expected a whole number of at least 0"):
        network_comparison(*networks, n_labels=-1)


def test_networks_without_shared_genes_are_an_error(
    networks: tuple[RegulatoryNetwork, RegulatoryNetwork],
) -> None:
    with pytest.raises(ValueError, match="share 0 regulators"):
        network_comparison(networks[0], RegulatoryNetwork(np.ones((1, 1)), ["A"], ["GENE1"]))
