"""The layout leaves room between boxes and leads edges round those of other genes, whatever the graph."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from scdual.pl._layout import Layout, control_point, lay_out


def graph(*pairs: str) -> pd.DataFrame:
    """Return the edges of pairs such as ``"A B"``."""
    return pd.DataFrame([pair.split() for pair in pairs], columns=["source", "target"])


def star(n_targets: int) -> pd.DataFrame:
    return graph(*(f"HUB TARGET{i}" for i in range(n_targets)))


def random_graph(n_edges: int, seed: int) -> pd.DataFrame:
    pairs = [f"REG{i} GENE{j}" for i, j in itertools.product(range(8), range(25))]
    return graph(*np.random.default_rng(seed).choice(pairs, n_edges, replace=False))


GRAPHS = {
    "one edge": graph("A B"),
    "parts without a path between them": graph("A B", "C D", "C E", "F G"),
    "a chain": graph("A B", "B C", "C D", "D E", "E F", "F A"),
    "a hub": star(35),
    "many edges": random_graph(60, seed=0),
}


@pytest.mark.parametrize("edges", GRAPHS.values(), ids=GRAPHS)
def test_boxes_lie_apart_and_those_with_an_edge_farther(edges: pd.DataFrame) -> None:
    layout = lay_out(edges)
    linked = {frozenset(pair) for pair in layout.ends.tolist()}
    for one, other in itertools.combinations(range(len(layout.genes)), 2):
        room = np.abs(layout.centre[one] - layout.centre[other]) - (layout.box[one] + layout.box[other]) / 2
        assert room.max() > (27 if {one, other} in linked else 13)  # points


@pytest.mark.parametrize("edges", GRAPHS.values(), ids=GRAPHS)
def test_no_edge_runs_behind_the_box_of_another_gene(edges: pd.DataFrame) -> None:
    layout = lay_out(edges)
    assert layout.n_hidden == n_behind(layout) == 0


def n_behind(layout: Layout) -> int:
    """Count boxes that the curves meet, by matplotlib."""
    n = 0
    for (source, target), bend in zip(layout.ends, layout.bend, strict=True):
        start, end = layout.centre[source], layout.centre[target]
        line = Path([start, control_point(start, end, bend), end], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
        others = np.delete(np.arange(len(layout.genes)), [source, target])
        boxes = [Bbox.from_bounds(*(layout.centre[i] - layout.box[i] / 2), *layout.box[i]) for i in others]
        n += sum(line.intersects_bbox(box, filled=False) for box in boxes)
    return n


def test_order_of_edges_does_not_matter() -> None:
    edges = random_graph(30, seed=1)
    turned = edges[::-1].reset_index(drop=True)
    first, second = lay_out(edges), lay_out(turned)
    assert list(first.genes) == list(second.genes) == sorted(first.genes)
    np.testing.assert_array_equal(first.centre, second.centre)
    np.testing.assert_array_equal(first.bend, second.bend[::-1])


def test_longer_names_get_wider_boxes() -> None:
    layout = lay_out(graph("A HLA-DRB5"))
    assert layout.box[1, 0] > 2 * layout.box[0, 0]
    assert layout.box[0, 1] == layout.box[1, 1]


def test_edge_is_straight_where_nothing_is_in_its_way() -> None:
    assert lay_out(graph("A B", "A C")).bend.tolist() == [0, 0]


def test_edges_back_and_forth_bend_to_their_own_right() -> None:
    assert (lay_out(graph("A B", "B A")).bend > 0).all()
