"""Draw the weights of one network against those of another.

Dimension key
    R  regulators      T  targets      L  labelled edges
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scdual._checks import check_whole
from scdual._installed import check_installed
from scdual.grn import RegulatoryNetwork, align_networks, q_values
from scdual.grn._network import check_network
from scdual.grn._symbols import GeneSymbols
from scdual.pl._axes import check_axes
from scdual.pl._edges import check_any_edge
from scdual.pl._labels import labelled
from scdual.pl._side_names import axes_beside_names, axes_size, name_points
from scdual.pl._text import FONT_SIZE, fit_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 5.3, 4.6  # inches, names at the side not counted; so wide that the height limits the square
_FDR = 0.05  # at which a difference counts, where errors are known


def network_comparison(
    first: RegulatoryNetwork,
    second: RegulatoryNetwork,
    *,
    n_labels: int = 12,
    gene_symbols: GeneSymbols | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Return axes with a point per edge: its weight in the first network (x) and in the second (y).

    On the dashed line both weights are the same. The most different edges are black and named at the side; of networks
    that know the errors of their edges, only those that differ at a false discovery rate of 5 %. Genes are
    aligned by name, see :func:`scdual.grn.align_networks`; an edge that one network lacks has the weight 0 there.

    Parameters
    ----------
    first, second
        The networks to compare.
    n_labels
        Largest number of edges to name.
    gene_symbols
        Where genes are ids: their symbols to show, as in :meth:`~scdual.grn.RegulatoryNetwork.with_symbols`.
    ax
        Axes to draw on; by default a new figure, sized so that the names can be read.

    Raises
    ------
    ValueError
        If the networks share no regulator or no target, have no edges there, ``n_labels`` is negative, or no gene has a symbol.
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
    named = _most_different(first, second, n_labels, gene_symbols)
    is_new = ax is None
    ax = axes_beside_names(named["name"], width=_WIDTH, height=_HEIGHT) if ax is None else ax
    x, y = first.weight[is_edge], second.weight[is_edge]
    _draw_frame(ax, min(0, x.min(), y.min()), max(0, x.max(), y.max()))
    ax.plot(x, y, ".", color="0.5", alpha=0.4, markersize=4, markeredgewidth=0, rasterized=True)
    ax.plot(named["x"], named["y"], "o", color="black", markersize=4, markeredgewidth=0)
    ax.set_xlabel(f"weight in {first.group or 'the first network'}")
    ax.set_ylabel(f"weight in {second.group or 'the second network'}")
    name_points(ax, named, height=min(axes_size(ax)))  # the axes are square
    fit_text(ax, is_new=is_new)
    return ax


def _most_different(
    first: RegulatoryNetwork, second: RegulatoryNetwork, n: int, gene_symbols: GeneSymbols | None
) -> pd.DataFrame:
    """Return ``name, x, y`` of the edges: what they are called and their two weights."""
    difference = second.weight.astype(float) - first.weight
    if first.evidence is not None and second.evidence is not None:
        se = np.hypot(first.evidence.sd, second.evidence.sd)
        z = np.divide(difference, se, out=np.zeros(se.shape), where=se > 0)
        difference = np.where(q_values(z) <= _FDR, difference, 0)
    change = RegulatoryNetwork(difference, first.regulators, first.targets)
    edges = change.to_frame(n)  # (L, 3)
    row, column = first.regulators.get_indexer(edges["source"]), first.targets.get_indexer(edges["target"])
    shown = labelled(first, gene_symbols)
    name = shown.regulators[row] + " \N{RIGHTWARDS ARROW} " + shown.targets[column]
    return pd.DataFrame({"name": name, "x": first.weight[row, column], "y": second.weight[row, column]})


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
        fontsize=FONT_SIZE,
        color="0.4",
    )
    ax.axhline(0, color="0.85", linewidth=0.8, zorder=0)
    ax.axvline(0, color="0.85", linewidth=0.8, zorder=0)
    ax.locator_params(nbins=6)
    ax.spines[["top", "right"]].set_visible(False)
