"""Draw what a perturbation is predicted to do.

Dimension key
    L  drawn genes
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scdual._checks import check_type, check_whole
from scdual._installed import check_installed
from scdual.grn._symbols import GeneSymbols, unique_symbols
from scdual.pl._axes import check_axes
from scdual.pl._colours import ACTIVATION_COLOUR, REPRESSION_COLOUR
from scdual.pl._legend import add_legend
from scdual.pl._text import FONT_SIZE, fit_text, widest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scdual.model import Perturbation

_ROW_INCHES = 0.22
_WIDTH = 4.3  # inches, names not counted
_MARGIN_INCHES = 1.4  # title, axis and legend
_FACES = {"direct": "full", "indirect": "none"}  # filled or hollow: told apart without colour
_LABELS = {"direct": "reached directly", "indirect": "by way of another regulator"}


def perturbation(
    result: "Perturbation", *, n: int = 20, gene_symbols: GeneSymbols | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Return axes with the genes that a perturbation reaches, the largest predicted change on top.

    A point is the expected change of log expression, its line the interval of the map. Filled points are reached directly,
    hollow ones by way of another regulator, which stands behind the name. Genes whose interval holds 0 are not drawn. What is
    drawn is predicted, not observed.

    Parameters
    ----------
    result
        What :meth:`scdual.model.SCDual.perturb` returned.
    n
        Largest number of genes to show.
    gene_symbols
        Where genes are ids: their symbols by name, to show in place of them.
    ax
        Axes to draw on; by default a new figure, sized so that the gene names can be read.

    Raises
    ------
    TypeError, ValueError
        If ``result`` is something else, it reaches no gene, ``n`` is below 1, or no gene has a symbol.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    from scdual.model import Perturbation  # late: it loads matplotlib

    check_installed("matplotlib")

    check_type("result", result, Perturbation, advice="Pass what `model.perturb` returns.")
    check_whole("n", n, at_least=1)
    check_axes(ax)
    table = result.to_frame()
    table = table[table["reach"].isin(_FACES)][:n]  # (L, columns)
    if table.empty:
        msg = f"Found no gene to draw in {result!r}, expected one whose interval leaves out 0. Perturb another regulator, or all cells."
        raise ValueError(msg)
    genes = result.effects.index
    shown = genes if gene_symbols is None else unique_symbols(genes, gene_symbols, None)
    label = dict(zip(genes, shown, strict=True))
    names = [
        f"{label[row.gene]} (via {label.get(row.via, row.via)})" if row.via else label[row.gene]
        for row in table.itertuples()
    ]
    is_new = ax is None
    ax = _new_axes(names) if ax is None else ax
    _draw(ax, table)
    _label(ax, names)
    done = ", ".join(f"{label.get(gene, gene)} set to {value}" for gene, value in result.genes.items())
    ax.set_title(done if result.group is None else f"{done}, {result.group}")
    fit_text(ax, is_new=is_new)
    return ax


def _new_axes(names: list[str]) -> "Axes":
    import matplotlib.pyplot as plt

    size = (_WIDTH + widest(names), len(names) * _ROW_INCHES + _MARGIN_INCHES)
    return plt.subplots(figsize=size, layout="constrained")[1]


def _draw(ax: "Axes", table: pd.DataFrame) -> None:
    place = np.arange(len(table))
    colour = np.where(table["log_change"] > 0, ACTIVATION_COLOUR, REPRESSION_COLOUR)
    ax.axvline(0, color="0.8", linewidth=0.8, zorder=0)
    ax.hlines(place, table["lower"], table["upper"], color=colour, linewidth=1.4, zorder=1)
    for reach, face in _FACES.items():
        is_drawn = (table["reach"] == reach).to_numpy()
        if is_drawn.any():
            inside = colour[is_drawn] if face == "full" else "white"
            ax.scatter(
                table["log_change"][is_drawn],
                place[is_drawn],
                s=28,
                facecolor=inside,
                edgecolor=colour[is_drawn],
                linewidth=1.4,
                zorder=2,
            )
            face_colour = "0.3" if face == "full" else "white"
            ax.plot([], [], "o", markerfacecolor=face_colour, markeredgecolor="0.3", label=_LABELS[reach])


def _label(ax: "Axes", names: list[str]) -> None:
    ax.set_yticks(np.arange(len(names)), names, fontsize=FONT_SIZE)
    ax.set_ylim(len(names) - 0.5, -0.5)  # the first on top
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("predicted change of log expression")
    ax.spines[["top", "right"]].set_visible(False)
    add_legend(ax, ncols=2, borderaxespad=4.4)  # below the label of the axis
