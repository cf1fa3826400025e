"""Place the genes of a graph by networkx and lead its edges round the boxes of other genes.

Lengths are in points (1/72 inch).

Dimension key
    G  genes      E  edges      S  points on a curve
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from scdual.pl._text import FONT_SIZE, widest

PAD = 3.0  # between a name and its box
_GAP = 14.0  # between boxes
_LINKED_GAP = 28.0  # between boxes with an edge, which needs room for its line and its end
_LINE_ROOM = 3.0  # between a line and the box of another gene
_STRETCH = np.array([1.5, 1.0])  # names are wider than high
_MOST_STARTS = 6  # of the layout, of which the best picture is kept
_GENES_TIMES_STARTS = 300  # at most, for a start of many genes takes long
_SPREADS = (1.0, 1.2, 1.4)  # more room, where edges would else run behind boxes
_BENDS = (0.0, 0.08, -0.08, 0.16, -0.16, 0.25, -0.25, 0.4, -0.4)  # best first; as in matplotlib's ``arc3``
_LEAST_BEND_APART = 0.16  # of two edges between the same genes, back and forth
_BEND_COST = 5.0  # a picture of edges bent by 0.2 is as bad as a straight one of twice the area
_FAR = 3  # steps between genes without a path; more leaves a third more of the picture empty
_ALONG = np.linspace(0.02, 0.98, 50)[:, None]  # (S, 1)


class Layout(NamedTuple):
    """Where the genes stand and how the edges bend.

    Attributes
    ----------
    genes
        Names, ``(G,)``, sorted.
    centre, box
        Centres of the boxes around the names, and their width and height, ``(G, 2)``.
    ends
        Positions of source and target of each edge among the genes, ``(E, 2)``.
    bend
        Height of each edge's curve over its length, as in matplotlib's ``arc3``, ``(E,)``.
    n_hidden
        Number of boxes behind which an edge of other genes runs all the same.
    """

    genes: pd.Index
    centre: np.ndarray
    box: np.ndarray
    ends: np.ndarray
    bend: np.ndarray
    n_hidden: int


def lay_out(edges: pd.DataFrame) -> Layout:
    """Return the layout, the same in whatever order the edges stand: boxes do not overlap, hardly any hides an edge.

    Parameters
    ----------
    edges
        Table ``source, target``.
    """
    genes = pd.Index(sorted({*edges["source"], *edges["target"]}))
    box = np.array([_box(gene) for gene in genes])
    ends = np.column_stack([genes.get_indexer(edges[name]) for name in ("source", "target")])
    centres = [centre * spread for centre in _starts(ends, box) for spread in _SPREADS]
    return min((Layout(genes, centre, box, ends, *_route(centre, box, ends)) for centre in centres), key=_cost)


def control_point(start: np.ndarray, end: np.ndarray, bend: float) -> np.ndarray:
    """Return the middle point of the quadratic curve that matplotlib's ``arc3`` draws."""
    step = end - start
    return (start + end) / 2 + bend * np.array([step[1], -step[0]])


def _cost(layout: Layout) -> tuple[int, float]:
    area = np.ptp(layout.centre, axis=0).prod()
    return layout.n_hidden, area * (1 + _BEND_COST * np.abs(layout.bend).mean())


def _box(gene: str) -> tuple[float, float]:
    """Return width and height of the box around a name."""
    return 72 * widest([gene]) + 2 * PAD, FONT_SIZE + 2 * PAD


def _starts(ends: np.ndarray, box: np.ndarray) -> list[np.ndarray]:
    """Return centres from several starts, ``(G, 2)`` each, by path lengths, just so large that no boxes overlap."""
    import networkx as nx

    graph = nx.empty_graph(len(box))
    graph.add_edges_from(ends.tolist())
    steps = {gene: dict.fromkeys(graph, _FAR) | paths for gene, paths in nx.all_pairs_shortest_path_length(graph)}
    gap = np.where(nx.to_numpy_array(graph) > 0, _LINKED_GAP, _GAP)  # (G, G)
    need = (box[:, None] + box) / 2 + gap[..., None]  # (G, G, 2)
    pairs = np.triu_indices(len(box), k=1)
    starts = []
    for seed in range(min(max(1, _GENES_TIMES_STARTS // len(box)), _MOST_STARTS)):
        start = nx.random_layout(graph, seed=seed)
        centre = np.array(list(nx.kamada_kawai_layout(graph, dist=steps, pos=start).values())) * _STRETCH
        offset = np.abs(centre[:, None] - centre)[pairs]
        starts.append(centre * (need[pairs] / np.maximum(offset, 1e-9)).min(axis=1).max())
    return starts


def _route(centre: np.ndarray, box: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the bend of each edge, ``(E,)``, that meets fewest boxes of other genes, and how many are met in all."""
    pairs = [tuple(pair) for pair in ends.tolist()]
    bends, n_met = [], 0
    for source, target in pairs:
        # Two edges between the same genes each bend to their own right.
        least = _LEAST_BEND_APART if (target, source) in pairs else -np.inf
        others = np.delete(np.arange(len(box)), [source, target])
        bends_here = [bend for bend in _BENDS if bend >= least]
        n, bend = _best_bend(centre[source], centre[target], centre[others], box[others] / 2 + _LINE_ROOM, bends_here)
        bends.append(bend)
        n_met += n
    return np.array(bends), n_met


def _best_bend(
    start: np.ndarray, end: np.ndarray, centre: np.ndarray, half: np.ndarray, bends: Iterable[float]
) -> tuple[int, float]:
    """Return the fewest boxes that a curve meets and its bend, the first of those as good."""
    tried = []
    for bend in bends:
        middle = control_point(start, end, bend)
        curve = (1 - _ALONG) ** 2 * start + 2 * _ALONG * (1 - _ALONG) * middle + _ALONG**2 * end  # (S, 2)
        n_met = int((np.abs(curve[:, None] - centre) < half).all(axis=2).any(axis=0).sum())
        tried.append((n_met, bend))
        if n_met == 0:
            break
    return min(tried, key=lambda each: each[0])
