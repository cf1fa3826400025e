"""Draw what changes between conditions: size of the difference against how sure it is."""

from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
from scipy.stats import norm

from scdual.grn._comparison import FDR, ConditionComparison
from scdual.grn._symbols import GeneSymbols
from scdual.pl._colours import ACTIVATION_COLOUR, REPRESSION_COLOUR
from scdual.pl._compared import one_comparison
from scdual.pl._side_names import axes_beside_names, axes_size, name_points, room_at_left
from scdual.pl._text import at_most, fit_text, widest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 5.0, 4.2  # inches, names at the side not counted


def edge_volcano(
    comparison: ConditionComparison,
    group: str | None = None,
    *,
    condition: str | None = None,
    fdr: float = FDR,
    n_labels: int = 12,
    gene_symbols: GeneSymbols | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Return axes with a point per pair: how its weight differs (x), and how sure that is (y).

    Pairs that pass are coloured, and the surest of them named. If none passes, the title says so and none is named.

    Parameters
    ----------
    comparison
        Result of :meth:`scdual.model.SCDual.compare_conditions`.
    group, condition
        Which comparison to draw; may be left out if there is one.
    fdr
        Largest q value of what passes.
    n_labels
        Largest number of names.
    gene_symbols
        Where genes are ids: their symbols by name, to show in place of them.
    ax
        Axes to draw on; by default a new figure, sized so that the names can be read.

    Raises
    ------
    ValueError
        If there are several groups or conditions and none is named, nothing was compared, or a number is out of range.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    labels = ("n_labels", n_labels, 0)
    one = one_comparison(comparison, group, condition, fdr=fdr, n=labels, gene_symbols=gene_symbols, ax=ax)
    _check_any(one)
    table = one.edges
    names = table["source"] + " \N{RIGHTWARDS ARROW} " + table["target"]
    points = _points(table, names, table["difference"])
    is_new = ax is None
    ax = _draw(points, fdr, n_labels, ax)
    ax.set_xlabel(
        f"difference of the weight, {one.conditions[0]} \N{MINUS SIGN} {one.reference}\n(SD of the target per SD of the regulator)"
    )
    _title(ax, one, points, "edges", fdr)
    fit_text(ax, is_new=is_new)
    return ax


def regulator_volcano(
    comparison: ConditionComparison,
    group: str | None = None,
    *,
    condition: str | None = None,
    fdr: float = FDR,
    n_labels: int = 12,
    gene_symbols: GeneSymbols | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Return axes with a point per regulator: how its activity differs (x), and how sure that is (y).

    Parameters
    ----------
    comparison, group, condition, fdr, n_labels, gene_symbols, ax
        As in :func:`edge_volcano`.

    Raises
    ------
    ValueError, ModuleNotFoundError
        As :func:`edge_volcano`.
    """
    labels = ("n_labels", n_labels, 0)
    one = one_comparison(comparison, group, condition, fdr=fdr, n=labels, gene_symbols=gene_symbols, ax=ax)
    _check_any(one)
    table = one.regulators
    points = _points(table, table["regulator"], table["activity_difference"])
    is_new = ax is None
    ax = _draw(points, fdr, n_labels, ax)
    ax.set_xlabel(f"difference of the activity, {one.conditions[0]} \N{MINUS SIGN} {one.reference}\n(SD among cells)")
    _title(ax, one, points, "regulators", fdr)
    fit_text(ax, is_new=is_new)
    return ax


def _check_any(one: ConditionComparison) -> None:
    """Raise ``ValueError`` if nothing was compared."""
    if one.edges.empty or one.regulators.empty:
        msg = "The comparison has no pair of genes, expected one or more. Compare groups of more cells."
        raise ValueError(msg)


def _points(table: pd.DataFrame, names: pd.Series, difference: pd.Series) -> pd.DataFrame:
    """Return ``name, x, y, q_value``; p values too small for a number are read off the statistic."""
    log_p = np.log(table["p_value"].clip(lower=np.finfo(float).tiny))
    of_statistic = norm.logsf(np.abs(difference / table["se"])) + np.log(2)
    height = -np.where(table["p_value"] > 0, log_p, of_statistic) / np.log(10)
    return pd.DataFrame({"name": names, "x": difference, "y": height, "q_value": table["q_value"]})


def _draw(points: pd.DataFrame, fdr: float, n_labels: int, ax: "Axes | None") -> "Axes":
    passes = points["q_value"] <= fdr
    named = points[passes].head(n_labels)
    falls = named["x"] < 0
    if ax is None:
        width = _WIDTH + widest(named.loc[falls, "name"])
        ax = axes_beside_names(named.loc[~falls, "name"], width=width, height=_HEIGHT)
    for chosen, colour in (
        (~passes, "0.6"),
        (passes & (points["x"] > 0), ACTIVATION_COLOUR),
        (passes & (points["x"] <= 0), REPRESSION_COLOUR),
    ):
        part = points[chosen]
        ax.plot(part["x"], part["y"], ".", color=colour, alpha=0.7, markersize=6, markeredgewidth=0, rasterized=True)
    reach = 1.08 * points["x"].abs().max() or 1.0
    cast("Figure", ax.get_figure(root=True)).draw_without_rendering()  # for the layout of a figure of several
    width, height = axes_size(ax)
    room = room_at_left(named.loc[falls, "name"], width=width)
    ax.set(xlim=(-reach * (1 + room) / (1 - room), reach), ylim=(0, 1.05 * points["y"].max() or 1.0))
    ax.axvline(0, color="0.85", linewidth=0.8, zorder=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_ylabel("\N{MINUS SIGN}log10 p")
    name_points(ax, named[~falls], height=height)
    name_points(ax, named[falls], height=height, at_left=True)
    return ax


def _title(ax: "Axes", one: ConditionComparison, points: pd.DataFrame, what: str, fdr: float) -> None:
    n_passing = int((points["q_value"] <= fdr).sum())
    where = f"{one.groups[0]}: " if one.groups else ""
    count = f"{n_passing:,} of {len(points):,}" if n_passing else f"none of {len(points):,}"
    unit = "donors" if one.units["donor"].notna().any() else "cells"
    ax.set_title(f"{where}{count} {what} change ({at_most('q', fdr)}, unit:\N{NO-BREAK SPACE}{unit})", fontsize=10)
