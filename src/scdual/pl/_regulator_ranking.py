"""Draw the strongest regulators as bars."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scdual._checks import check_whole
from scdual._installed import check_installed
from scdual.grn import RegulatoryNetwork
from scdual.grn._network import check_network
from scdual.grn._strength import regulator_strength
from scdual.grn._symbols import GeneSymbols
from scdual.pl._axes import check_axes
from scdual.pl._colours import ACTIVATION_COLOUR, REPRESSION_COLOUR
from scdual.pl._edges import check_any_edge
from scdual.pl._labels import labelled
from scdual.pl._legend import add_legend
from scdual.pl._text import FONT_SIZE, fit_text, widest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAR_INCHES = 0.22
_WIDTH = 4.0  # inches, names not counted
_MARGIN_INCHES = 1.3  # title, axis and legend


def regulator_ranking(
    network: RegulatoryNetwork, *, n: int = 20, gene_symbols: GeneSymbols | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Return axes with one bar per regulator, the strongest on top; its length is the sum of its absolute weights.

    The solid part is the sum over activating edges, the hatched part that over repressing ones. In a map of all pairs
    many weak edges add up; ``network.top(2000)`` ranks by the strong ones.

    Parameters
    ----------
    network
        The network to draw.
    n
        Largest number of regulators to show.
    gene_symbols
        Where genes are ids: their symbols to show, as in :meth:`~scdual.grn.RegulatoryNetwork.with_symbols`.
    ax
        Axes to draw on; by default a new figure, sized so that the gene names can be read.

    Raises
    ------
    ValueError
        If the network has no edges or ``n`` is below 1.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    check_installed("matplotlib")
    check_network(network, name="network")
    check_whole("n", n, at_least=1)
    check_axes(ax)
    check_any_edge(network)
    strength = regulator_strength(labelled(network, gene_symbols)).query("strength > 0")[:n]
    is_new = ax is None
    ax = _new_axes(strength.index) if ax is None else ax
    _draw_bars(ax, strength)
    _label(ax, strength.index)
    ax.set_title("Strongest regulators" if network.group is None else f"Strongest regulators in {network.group}")
    fit_text(ax, is_new=is_new)
    return ax


def _new_axes(names: pd.Index) -> "Axes":
    import matplotlib.pyplot as plt

    size = (_WIDTH + widest(names), len(names) * _BAR_INCHES + _MARGIN_INCHES)
    return plt.subplots(figsize=size, layout="constrained")[1]


def _draw_bars(ax: "Axes", strength: pd.DataFrame) -> None:
    place, activation = np.arange(len(strength)), strength["activation"]
    ax.barh(place, activation, height=0.7, color=ACTIVATION_COLOUR, label="activation")
    ax.barh(
        place,
        strength["repression"],
        left=activation,
        height=0.7,
        linewidth=0,
        facecolor="white",
        edgecolor=REPRESSION_COLOUR,
        hatch="/////",
        label="repression",
    )


def _label(ax: "Axes", regulators: pd.Index) -> None:
    ax.set_yticks(np.arange(len(regulators)), regulators, fontsize=FONT_SIZE)
    ax.set_ylim(len(regulators) - 0.5, -0.5)  # the first on top
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("sum of absolute weights")
    ax.spines[["top", "right"]].set_visible(False)
    add_legend(ax, ncols=2, borderaxespad=4.4)  # below the label of the axis
