"""Draw the strongest edges of a network as a graph of gene names.

Lengths are in points (1/72 inch) of the figure that is made when no axes are given.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scdual._checks import check_names, check_whole
from scdual._installed import check_installed
from scdual.grn import RegulatoryNetwork
from scdual.grn._mutual import one_line_per_mutual_pair
from scdual.grn._network import check_network
from scdual.grn._symbols import GeneSymbols
from scdual.pl._axes import check_axes
from scdual.pl._colours import ACTIVATION_COLOUR, REPRESSION_COLOUR
from scdual.pl._edges import check_any_edge
from scdual.pl._labels import labelled, labels_of
from scdual.pl._layout import PAD, Layout, control_point, lay_out
from scdual.pl._legend import add_legend
from scdual.pl._text import FONT_SIZE, fit_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARGIN = 10.0
_LEAST_WIDTH, _TITLE_AND_LEGEND = 5.0, 0.75  # inches
_WIDTH_RANGE = (0.8, 3.0)  # of the lines, weakest to strongest
_HEAD_SIZE = 10.0  # of arrows
_BAR_LENGTH = 9.0


def network_graph(
    network: RegulatoryNetwork,
    *,
    top: int = 40,
    regulators: Iterable[str] | None = None,
    gene_symbols: GeneSymbols | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Return axes with the strongest edges; the same network always gives the same picture.

    A solid line with an arrow activates, a dashed line with a bar represses; stronger edges are wider. Regulators are
    dark boxes, genes that are only targets are light.

    Two edges of one sign back and forth between the same genes are one line without an end. Expression alone hardly
    tells direction: of two regulators, the weights in both directions correlate at 0.94 to 0.98. Other arrows point
    away from regulators because only the regulators listed can act.

    Parameters
    ----------
    network
        The network to draw.
    top
        Number of edges to draw, the strongest first.
    regulators
        Draw only edges that start at these genes.
    gene_symbols
        Where genes are ids: their symbols, as in :meth:`~scdual.grn.RegulatoryNetwork.with_symbols`. The picture shows them,
        and ``regulators`` may name them.
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
    shown = labelled(network, gene_symbols)
    network = shown.subset(None if regulators is None else labels_of(regulators, network, shown))
    check_any_edge(network)
    edges = network.to_frame(top)
    lines = one_line_per_mutual_pair(edges)
    layout = lay_out(lines)
    is_new = ax is None
    ax = _new_axes(layout) if ax is None else ax
    _draw_lines(ax, lines, layout)
    _draw_genes(ax, layout, is_regulator=layout.genes.isin(edges["source"]))
    _name_signs(ax, has_mutual=lines["is_mutual"].any())
    ax.set_title("Strongest edges" if network.group is None else f"Strongest edges in {network.group}")
    fit_text(ax, is_new=is_new)
    return ax


def _new_axes(layout: Layout) -> "Axes":
    import matplotlib.pyplot as plt

    width, height = (np.ptp(layout.centre, axis=0) + layout.box.max(axis=0) + 2 * _MARGIN) / 72
    return plt.subplots(figsize=(max(width, _LEAST_WIDTH), height + _TITLE_AND_LEGEND), layout="constrained")[1]


def _draw_lines(ax: "Axes", lines: pd.DataFrame, layout: Layout) -> None:
    from matplotlib.patches import FancyArrowPatch

    relative = lines["weight"].abs() / lines["weight"].abs().max()
    widths = np.interp(relative, (0, 1), _WIDTH_RANGE)
    for line, ends, bend, width in zip(lines.itertuples(), layout.ends, layout.bend, widths, strict=True):
        (start, end), (source_box, target_box) = layout.centre[ends], layout.box[ends]
        middle = control_point(start, end, bend)
        arrow = FancyArrowPatch(
            tuple(start),
            tuple(end),
            shrinkA=_to_border(source_box, middle - start),
            shrinkB=_to_border(target_box, end - middle) + (0 if line.is_mutual else 3),
            connectionstyle=f"arc3,rad={bend}",
            linewidth=width,
            mutation_scale=_HEAD_SIZE,
            **_style(line.weight, width, has_head=not line.is_mutual),
        )
        ax.add_patch(arrow)


def _style(weight: float, width: float, *, has_head: bool) -> dict[str, Any]:
    """Return how an edge is drawn: colour, line and end all tell the sign."""
    if weight > 0:
        return {"color": ACTIVATION_COLOUR, "linestyle": "-", "arrowstyle": "-|>" if has_head else "-"}
    dashes = (0, (_BAR_LENGTH / width, 4 / width))  # one dash is as long as the bar, so that the bar stays whole
    bar = f"|-|,widthA=0,widthB={_BAR_LENGTH / 2 / _HEAD_SIZE}"
    return {"color": REPRESSION_COLOUR, "linestyle": dashes, "arrowstyle": bar if has_head else "-"}


def _to_border(box: np.ndarray, direction: np.ndarray) -> float:
    """Return the distance from the centre of a box to its border."""
    cosine = np.abs(direction) / np.linalg.norm(direction)
    return float(np.min(box / 2 / np.maximum(cosine, 1e-9)))


def _draw_genes(ax: "Axes", layout: Layout, *, is_regulator: np.ndarray) -> None:
    for gene, (x, y), dark in zip(layout.genes, layout.centre, is_regulator, strict=True):
        ink, paper = ("white", "0.25") if dark else ("black", "white")
        box = {"boxstyle": f"round,pad={PAD / FONT_SIZE}", "facecolor": paper, "edgecolor": "0.25", "linewidth": 0.8}
        ax.text(x, y, gene, ha="center", va="center", fontsize=FONT_SIZE, color=ink, bbox=box, parse_math=False)
    low, high = (layout.centre - layout.box / 2).min(axis=0), (layout.centre + layout.box / 2).max(axis=0)
    low, high = low - _MARGIN, high + _MARGIN
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    ax.axis("off")


def _name_signs(ax: "Axes", *, has_mutual: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=ACTIVATION_COLOUR, linewidth=2, label="activates \N{RIGHTWARDS ARROW}"),
        Line2D([], [], color=REPRESSION_COLOUR, linewidth=2, linestyle="--", label="represses \N{LEFT TACK}"),
    ]
    if has_mutual:
        handles.append(Line2D([], [], color="0.25", linewidth=2, label="no end: direction unknown"))
    add_legend(ax, handles=handles, ncols=3)
