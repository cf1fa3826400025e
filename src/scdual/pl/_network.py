"""Draw the strongest edges of a network as a graph of gene names.

Lengths are in points (1/72 inch) of the figure that is made when no axes are given.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scdual._checks import check_names, check_whole
from scdual._installed import check_installed
from scdual.grn import RegulatoryNetwork
from scdual.grn._network import check_network
from scdual.pl._axes import check_axes
from scdual.pl._colours import ACTIVATION_COLOUR, REPRESSION_COLOUR

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes

_FONT_SIZE = 8
_EDGE_LENGTH = 62.0
_STRETCH = (1.5, 1.0)  # names are wider than high
_PAD = 3.0  # between a name and its box
_GAP = 18.0  # around a box
_MARGIN = 40.0
_ROW_ASPECT = 1.5  # width of the picture over its height
_WIDTH_RANGE = (0.8, 3.0)  # of the lines, weakest to strongest
_HEAD_SIZE = 10.0  # of arrows
_BAR_LENGTH = 9.0


def network_graph(
    network: RegulatoryNetwork, *, top: int = 40, regulators: Iterable[str] | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Return axes with the strongest edges; the same network always gives the same picture.

    A solid line with an arrow activates, a dashed line with a bar represses; stronger edges are wider. Regulators are
    dark boxes, genes that are only targets are light.

    Parameters
    ----------
    network
        The network to draw.
    top
        Number of edges to draw, the strongest first.
    regulators
        Draw only edges that start at these genes.
    ax
        Axes to draw on; by default a new figure, sized so that the gene names can be read.

    Raises
    ------
    ValueError
        If there is no edge to draw, or a regulator is unknown.
    ModuleNotFoundError
        If matplotlib or networkx is not installed.
    """
    check_installed("matplotlib", "networkx")
    check_network(network, name="network")
    check_whole("top", top, at_least=1)
    regulators = None if regulators is None else check_names("regulators", regulators)
    check_axes(ax)
    edges = _edges(network, top, regulators)
    position = _positions(edges)
    ax = _new_axes(position) if ax is None else ax
    _draw_edges(ax, edges, position)
    _draw_genes(ax, position, is_regulator=set(edges["source"]))
    _frame(ax, position)
    _add_legend(ax)
    ax.set_title("Strongest edges" if network.group is None else f"Strongest edges in {network.group}")
    return ax


def _edges(network: RegulatoryNetwork, top: int, regulators: Iterable[str] | None) -> pd.DataFrame:
    chosen = network if regulators is None else network.subset(regulators)
    edges = chosen.to_frame(top)
    if edges.empty:
        msg = f"Found no edge to draw in {chosen!r} with `top={top}`, expected one or more. Pass more regulators or edges."
        raise ValueError(msg)
    return edges


def _positions(edges: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the centre of each gene; parts that share no edge are laid out alone and put side by side in rows."""
    import networkx as nx

    graph = nx.from_pandas_edgelist(edges)
    parts = sorted(nx.connected_components(graph), key=len, reverse=True)
    # A subgraph would list its genes in the order of a set, which differs from run to run.
    rectangles = [_part_positions(nx.from_pandas_edgelist(edges[edges["source"].isin(part)])) for part in parts]
    size = np.array([_extent(part) for part in rectangles])  # (parts, 2)
    row_width = max(size[:, 0].max(), math.sqrt(_ROW_ASPECT * size.prod(axis=1).sum()))
    left, top, row_height = 0.0, 0.0, 0.0
    position: dict[str, np.ndarray] = {}
    for part, (width, height) in zip(rectangles, size, strict=True):
        if left + width > row_width:
            left, top, row_height = 0.0, top - row_height, 0.0
        position |= {gene: xy + (left, top - height) for gene, xy in part.items()}
        left, row_height = left + width, max(row_height, height)
    return position


def _part_positions(graph: "nx.Graph") -> dict[str, np.ndarray]:
    """Return the centres of connected genes, from the lower left corner of the rectangle that holds their boxes."""
    import networkx as nx

    layout = nx.kamada_kawai_layout(graph)
    genes, xy = list(layout), np.array(list(layout.values()))
    length = [np.linalg.norm(layout[source] - layout[target]) for source, target in graph.edges]
    crowding = max(1.0, math.sqrt(max(degree for _, degree in graph.degree) / 8))  # a hub needs room around it
    box = np.array([_box(gene) for gene in genes]) + _GAP  # (genes, 2)
    xy = _longest_side_across(xy) * _STRETCH * _EDGE_LENGTH * crowding / np.median(length)
    xy = _pushed_apart(xy, box)
    xy = xy - (xy - box / 2).min(axis=0)
    return dict(zip(genes, xy, strict=True))


def _longest_side_across(xy: np.ndarray) -> np.ndarray:
    """Return the points turned so that they extend most from left to right."""
    centred = xy - xy.mean(axis=0)
    axes = np.linalg.svd(centred)[2]
    turned = centred @ axes.T
    return turned * np.where(turned[0] < 0, -1, 1)  # the decomposition leaves the direction open


def _pushed_apart(xy: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return centres moved until the boxes around them no longer overlap."""
    need = (box[:, None] + box[None, :]) / 2  # (genes, genes, 2)
    for _ in range(200):
        offset = xy[:, None] - xy[None, :]
        overlap = np.maximum(need - np.abs(offset), 0)
        overlap[np.diag_indices(len(xy))] = 0
        overlap[(overlap == 0).any(axis=2)] = 0
        if not overlap.any():
            break
        smaller = overlap == overlap.min(axis=2, keepdims=True)  # the axis along which less is to be moved
        xy = xy + (np.sign(offset) * overlap * smaller).sum(axis=1) / 4
    return xy


def _box(gene: str) -> tuple[float, float]:
    """Return width and height of the box around a name."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=_FONT_SIZE)
    text_width = text_to_path.get_text_width_height_descent(gene, font, ismath=False)[0]
    return text_width + 2 * _PAD, _FONT_SIZE + 2 * _PAD


def _extent(position: dict[str, np.ndarray]) -> np.ndarray:
    """Return width and height of a part that starts at the origin."""
    return np.max([xy + np.array(_box(gene)) / 2 + _GAP for gene, xy in position.items()], axis=0)


def _new_axes(position: dict[str, np.ndarray]) -> "Axes":
    import matplotlib.pyplot as plt

    width, height = np.ptp(list(position.values()), axis=0) + 2 * _MARGIN
    return plt.subplots(figsize=(max(width / 72, 4), max(height / 72 + 0.6, 3)), layout="constrained")[1]


def _draw_edges(ax: "Axes", edges: pd.DataFrame, position: dict[str, np.ndarray]) -> None:
    from matplotlib.patches import FancyArrowPatch

    pairs = set(zip(edges["source"], edges["target"], strict=True))
    relative = edges["weight"].abs() / edges["weight"].abs().max()
    line_width = np.interp(relative, (0, 1), _WIDTH_RANGE)
    columns = (edges[name] for name in ("source", "target", "weight"))
    for source, target, weight, width in zip(*columns, line_width, strict=True):
        start, end = position[source], position[target]
        bend = 0.12 if (target, source) in pairs else 0.0
        arrow = FancyArrowPatch(
            (start[0], start[1]),
            (end[0], end[1]),
            shrinkA=_to_border(source, end - start),
            shrinkB=_to_border(target, end - start) + 3,
            connectionstyle=f"arc3,rad={bend}",
            linewidth=width,
            mutation_scale=_HEAD_SIZE,
            **_style(weight, width),
        )
        ax.add_patch(arrow)


def _style(weight: float, width: float) -> dict[str, Any]:
    """Return how an edge is drawn: colour, line and end all tell the sign."""
    if weight > 0:
        return {"color": ACTIVATION_COLOUR, "linestyle": "-", "arrowstyle": "-|>"}
    dashes = (0, (_BAR_LENGTH / width, 4 / width))  # one dash is as long as the bar, so that the bar stays whole
    end = f"|-|,widthA=0,widthB={_BAR_LENGTH / 2 / _HEAD_SIZE}"
    return {"color": REPRESSION_COLOUR, "linestyle": dashes, "arrowstyle": end}


def _to_border(gene: str, direction: np.ndarray) -> float:
    """Return the distance from the centre of a box to its border."""
    half = np.array(_box(gene)) / 2
    cosine = np.abs(direction) / np.linalg.norm(direction)
    return float(np.min(half / np.maximum(cosine, 1e-9)))


def _draw_genes(ax: "Axes", position: dict[str, np.ndarray], *, is_regulator: set[str]) -> None:
    for gene, (x, y) in position.items():
        ink, paper = ("white", "0.25") if gene in is_regulator else ("black", "white")
        box = {"boxstyle": f"round,pad={_PAD / _FONT_SIZE}", "facecolor": paper, "edgecolor": "0.25", "linewidth": 0.8}
        ax.text(x, y, gene, ha="center", va="center", fontsize=_FONT_SIZE, color=ink, bbox=box)


def _frame(ax: "Axes", position: dict[str, np.ndarray]) -> None:
    low, high = (bound(list(position.values()), axis=0) for bound in (np.min, np.max))
    low, high = low - _MARGIN, high + _MARGIN
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    ax.axis("off")


def _add_legend(ax: "Axes") -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=ACTIVATION_COLOUR, linewidth=2, label="activates \N{RIGHTWARDS ARROW}"),
        Line2D([], [], color=REPRESSION_COLOUR, linewidth=2, linestyle="--", label="represses \N{LEFT TACK}"),
    ]
    ax.legend(handles=handles, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 0.0))
