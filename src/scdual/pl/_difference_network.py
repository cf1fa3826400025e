"""Draw the edges that change between conditions, and only those."""

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from scdual.grn._comparison import FDR, ConditionComparison
from scdual.grn._symbols import GeneSymbols
from scdual.pl._colours import ACTIVATION_COLOUR, REPRESSION_COLOUR
from scdual.pl._compared import one_comparison
from scdual.pl._legend import add_legend
from scdual.pl._network import network_graph
from scdual.pl._text import FONT_SIZE, at_most, fit_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

_LONGEST_LINE = 60  # letters of the legend, which fit into the narrowest figure
_LINE_HEIGHT = 1.7  # of the legend, space between lines included, over the size of the font


def difference_network(
    comparison: ConditionComparison,
    group: str | None = None,
    *,
    condition: str | None = None,
    fdr: float = FDR,
    top: int = 40,
    gene_symbols: GeneSymbols | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Return axes with the edges that pass, as a graph.

    A solid line stands for a weight that is higher in the condition, a dashed line for one that is lower. Two genes with
    edges both ways have one line without an end, as in :func:`network_graph`.

    Parameters
    ----------
    comparison
        Result of :meth:`scdual.model.SCDual.compare_conditions`.
    group, condition
        Which comparison to draw; may be left out if there is one.
    fdr
        Largest q value of an edge that is drawn.
    top
        Largest number of edges, those with the largest differences.
    gene_symbols
        Where genes are ids: their symbols by name, to show in place of them.
    ax
        Axes to draw on; by default a new figure.

    Raises
    ------
    ValueError
        If no edge passes, or there are several groups or conditions and none is named.
    ModuleNotFoundError
        If matplotlib or networkx is not installed.
    """
    one = one_comparison(
        comparison,
        group,
        condition,
        fdr=fdr,
        n=("top", top, 1),
        gene_symbols=gene_symbols,
        ax=ax,
        packages=("matplotlib", "networkx"),
    )
    network = one.network(fdr)
    if not network.n_edges:
        least = f"the smallest q value is {one.edges['q_value'].min():.2g}" if len(one.edges) else "none was compared"
        msg = (
            f"None of {len(one.edges):,} edges has a q value of at most {fdr:g}, expected one or more; {least}. Compare more "
            "cells, or look at the regulators, which need fewer."
        )
        raise ValueError(msg)
    is_new = ax is None
    ax = network_graph(replace(network, group=None), top=top, ax=ax)
    has_mutual = len(cast("Legend", ax.get_legend()).get_texts()) > 2
    n_lines = _legend(ax, one.conditions[0], one.reference, has_mutual=has_mutual)
    if is_new:  # there is room for one line
        figure = cast("Figure", ax.figure)
        figure.set_figheight(figure.get_figheight() + (n_lines - 1) * _LINE_HEIGHT * FONT_SIZE / 72)
    where = f" in {one.groups[0]}" if one.groups else ""
    ax.set_title(f"Edges that change{where} ({at_most('q', fdr)})")
    fit_text(ax, is_new=is_new)
    return ax


def _legend(ax: "Axes", condition: str, reference: str, *, has_mutual: bool) -> int:
    """Name what lines mean, and return how many lines of text that takes."""
    from matplotlib.lines import Line2D

    higher = f"weight higher in {condition} than in {reference} \N{RIGHTWARDS ARROW}"
    handles = [
        Line2D([], [], color=ACTIVATION_COLOUR, linewidth=2, label=textwrap.fill(higher, _LONGEST_LINE)),
        Line2D([], [], color=REPRESSION_COLOUR, linewidth=2, linestyle="--", label="lower \N{LEFT TACK}"),
    ]
    if has_mutual:
        handles.append(Line2D([], [], color="0.25", linewidth=2, label="no end: direction unknown"))
    is_short = len(higher) <= _LONGEST_LINE
    add_legend(ax, handles=handles, ncols=3 if is_short else 1)
    return 1 if is_short else sum(str(handle.get_label()).count("\n") + 1 for handle in handles)
