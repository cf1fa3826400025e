"""Draw the strongest part of a network as a matrix.

Dimension key
    R  regulators (rows)      T  targets (columns)
"""

from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage

from scdual._checks import check_whole
from scdual._installed import check_installed
from scdual.grn import RegulatoryNetwork
from scdual.grn._network import check_network
from scdual.grn._symbols import GeneSymbols
from scdual.pl._axes import check_axes
from scdual.pl._edges import check_any_edge
from scdual.pl._labels import labelled
from scdual.pl._text import FONT_SIZE, fit_text, widest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_CELL_INCHES = 0.24
_MARGIN_INCHES = (1.8, 1.0)  # colour bar, title and labels, without names of genes
_LEAST_WIDTH, _LEAST_HEIGHT = 1.5, 2.2  # of the axes; the colour bar has a long label


def regulation_heatmap(
    network: RegulatoryNetwork,
    *,
    n_regulators: int = 15,
    n_targets: int = 30,
    gene_symbols: GeneSymbols | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Return axes with the signed weights of the strongest regulators (rows) on their strongest targets (columns).

    Regulators are ranked by the sum of the strengths of all their edges, then targets by the sum over the regulators
    shown. Rows and columns are ordered so that similar ones are neighbours. Grey marks a gene with itself. Two regulators
    have nearly the same weight on each other in both directions: that is one association, whose direction is unknown.

    Parameters
    ----------
    network
        The network to draw.
    n_regulators, n_targets
        Largest number of rows and of columns.
    gene_symbols
        Where genes are ids: their symbols to show, as in :meth:`~scdual.grn.RegulatoryNetwork.with_symbols`.
    ax
        Axes to draw on; by default a new figure, sized so that the gene names can be read.

    Raises
    ------
    ValueError
        If the network has no edges or a number is below 1.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    check_installed("matplotlib")
    check_network(network, name="network")
    check_whole("n_regulators", n_regulators, at_least=1)
    check_whole("n_targets", n_targets, at_least=1)
    check_axes(ax)
    check_any_edge(network)
    shown = _strongest_part(labelled(network, gene_symbols), n_regulators, n_targets)
    is_new = ax is None
    ax = _new_axes(shown) if ax is None else ax
    image = _draw_weights(ax, shown)
    _label_genes(ax, shown)
    ax.set_title("Regulation" if network.group is None else f"Regulation in {network.group}")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.02)
    bar.set_label("weight of the edge\nrepresses (−)  |  activates (+)")
    fit_text(ax, is_new=is_new)
    return ax


def _strongest_part(network: RegulatoryNetwork, n_regulators: int, n_targets: int) -> RegulatoryNetwork:
    """Return the network of the strongest regulators and targets, in the order of the picture."""
    strength = np.abs(network.weight)  # (R, T)
    row = _largest(strength.sum(axis=1), n_regulators)
    column = _largest(strength[row].sum(axis=0), n_targets)
    weight = network.weight[np.ix_(row, column)]
    row, column = row[_similar_next(weight)], column[_similar_next(weight.T)]
    return network.subset(network.regulators[row], network.targets[column])


def _largest(total: np.ndarray, n: int) -> np.ndarray:
    """Return the positions of the ``n`` largest values above zero, ties in order."""
    order = np.argsort(-total, kind="stable")[:n]
    return order[total[order] > 0]


def _similar_next(profiles: np.ndarray) -> np.ndarray:
    """Return an order of the rows in which similar rows are neighbours."""
    if len(profiles) < 3:
        return np.arange(len(profiles))
    return leaves_list(linkage(profiles, method="average", optimal_ordering=True))


def _new_axes(shown: RegulatoryNetwork) -> "Axes":
    import matplotlib.pyplot as plt

    n_rows, n_columns = shown.weight.shape
    width = max(n_columns * _CELL_INCHES, _LEAST_WIDTH) + widest(shown.regulators)
    height = max(n_rows * _CELL_INCHES, _LEAST_HEIGHT) + widest(shown.targets)
    size = (width + _MARGIN_INCHES[0], height + _MARGIN_INCHES[1])
    return plt.subplots(figsize=size, layout="constrained")[1]


def _draw_weights(ax: "Axes", network: RegulatoryNetwork) -> "AxesImage":
    from matplotlib import colormaps

    is_self = network.regulators.to_numpy()[:, None] == network.targets.to_numpy()[None, :]  # (R, T)
    weight = np.ma.masked_array(network.weight, mask=is_self)
    limit = float(np.abs(network.weight).max())
    colours = colormaps["RdBu_r"].with_extremes(bad="0.8")
    return ax.imshow(weight, cmap=colours, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")


def _label_genes(ax: "Axes", network: RegulatoryNetwork) -> None:
    ax.set_xticks(np.arange(len(network.targets)), network.targets, rotation=90, fontsize=FONT_SIZE)
    ax.set_yticks(np.arange(len(network.regulators)), network.regulators, fontsize=FONT_SIZE)
    ax.set_xlabel("target")
    ax.set_ylabel("regulator")
    ax.tick_params(length=0)
    ax.set_xticks(np.arange(0.5, len(network.targets) - 1), minor=True)
    ax.set_yticks(np.arange(0.5, len(network.regulators) - 1), minor=True)
    ax.grid(which="minor", color="white", linewidth=0.6)  # lines between the cells
    ax.tick_params(which="minor", length=0)
    ax.spines[:].set_visible(False)
