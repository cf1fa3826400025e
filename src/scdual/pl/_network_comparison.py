"""Draw the weights of one network against those of another.

Dimension key
    R  regulators      T  targets      L  labelled edges
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from scdual._checks import check_whole
from scdual._installed import check_installed
from scdual.grn import RegulatoryNetwork, align_networks
from scdual.grn._network import check_network
from scdual.pl._axes import check_axes
from scdual.pl._edges import check_any_edge

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE_HEIGHT = 11.0  # of a name, in points
_FONT_SIZE = 8


def network_comparison(
    first: RegulatoryNetwork, second: RegulatoryNetwork, *, n_labels: int = 12, ax: "Axes | None" = None
) -> "Axes":
    """Return axes with a point per edge: its weight in the first network (x) and in the second (y).

    On the dashed line both weights are the same. The most different edges are black and named at the side. Genes are
    aligned by name, see :func:`scdual.grn.align_networks`; an edge that one network lacks has the weight 0 there.

    Parameters
    ----------
    first, second
        The networks to compare.
    n_labels
        Number of edges to name.
    ax
        Axes to draw on; by default a new figure.

    Raises
    ------
    ValueError
        If the networks share no regulator or no target, have no edges there, or ``n_labels`` is negative.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    check_installed("matplotlib")
    check_network(first, name="first")
    check_network(second, name="second")
    check_whole("n_labels", n_labels, at_least=0)
    check_axes(ax)
    first, second = align_networks(first, second)
    check_any_edge(first, second)
    is_edge = (first.weight != 0) | (second.weight != 0)  # (R, T)
    ax = _new_axes() if ax is None else ax
    x, y = first.weight[is_edge], second.weight[is_edge]
    _draw_frame(ax, min(0, x.min(), y.min()), max(0, x.max(), y.max()))
    ax.plot(x, y, ".", color="0.5", alpha=0.4, markersize=4, markeredgewidth=0, rasterized=True)
    _name_edges(ax, _most_different(first, second, n_labels))
    ax.set_xlabel(f"weight in {first.group or 'the first network'}")
    ax.set_ylabel(f"weight in {second.group or 'the second network'}")
    return ax


def _most_different(first: RegulatoryNetwork, second: RegulatoryNetwork, n: int) -> pd.DataFrame:
    """Return ``source, target, weight`` and the coordinates ``x, y`` of the edges; the weight is the difference."""
    change = RegulatoryNetwork(second.weight - first.weight, first.regulators, first.targets)
    edges = change.to_frame(n)  # (L, 3)
    row, column = first.regulators.get_indexer(edges["source"]), first.targets.get_indexer(edges["target"])
    return edges.assign(x=first.weight[row, column], y=second.weight[row, column])


def _new_axes() -> "Axes":
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(6.4, 4.6), layout="constrained")[1]


def _draw_frame(ax: "Axes", low: float, high: float) -> None:
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.plot([low, high], [low, high], color="0.4", linewidth=0.8, linestyle="--", zorder=1)
    ax.annotate(
        "same weight",
        (high, high),
        (-12, -10),
        textcoords="offset points",
        rotation=45,
        rotation_mode="anchor",
        ha="right",
        va="bottom",
        fontsize=_FONT_SIZE,
        color="0.4",
    )
    ax.axhline(0, color="0.85", linewidth=0.8, zorder=0)
    ax.axvline(0, color="0.85", linewidth=0.8, zorder=0)
    ax.locator_params(nbins=6)
    ax.spines[["top", "right"]].set_visible(False)


def _name_edges(ax: "Axes", edges: pd.DataFrame) -> None:
    """Mark the edges and write their names in a column at the right, each as near to its point as there is room."""
    ax.plot(edges["x"], edges["y"], "o", color="black", markersize=4, markeredgewidth=0)
    edges = edges.sort_values("y", kind="stable")
    low, high = ax.get_ylim()
    place = _spread((edges["y"].to_numpy() - low) / (high - low), _LINE_HEIGHT / _side(ax))  # (L,)
    line = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "relpos": (0, 0.5), "shrinkA": 2, "shrinkB": 2}
    for edge, at in zip(edges.itertuples(), place, strict=True):
        ax.annotate(
            f"{edge.source} \N{RIGHTWARDS ARROW} {edge.target}",
            (edge.x, edge.y),
            (1.04, at),
            textcoords="axes fraction",
            va="center",
            fontsize=_FONT_SIZE,
            arrowprops=line,
        )


def _side(ax: "Axes") -> float:
    """Return the height of square axes in points."""
    box = ax.get_window_extent()
    return 72 * min(box.width, box.height) / ax.figure.dpi


def _spread(place: np.ndarray, gap: float) -> np.ndarray:
    """Return sorted places between 0 and 1, ``(L,)``, moved as little as needed to be a gap apart."""
    offset = gap * np.arange(len(place))
    moved = isotonic_regression(place - offset).x if len(place) else place
    last = 1 - gap * len(place)  # where the lowest is at most
    return np.clip(moved, 0, max(0, last)) + offset
