"""Draw activities of regulators in groups of cells, as dots and as a heat map.

Dimension key
    C  cells      N  groups      R  regulators that are shown
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.cluster.hierarchy import leaves_list, linkage

from scdual._checks import check_names, check_type, check_whole, did_you_mean, listed
from scdual._constants import ACTIVITY_KEY
from scdual._installed import check_installed
from scdual.grn._symbols import GeneSymbols, unique_symbols
from scdual.pl._axes import check_axes
from scdual.pl._legend import add_legend
from scdual.pl._text import FONT_SIZE, fit_text, widest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorizer import ColorizingArtist

_CELL_INCHES = 0.27
_LEAST_WIDTH = 2.2  # of the axes, for the legend above them
_LEAST_HEIGHT = 1.4  # of the axes, for the label of the colour bar
_BAR_INCHES = 1.0
_LARGEST_DOT = 150.0  # area in square points
_USUAL = 0.95  # share of the means that have colours of their own
_SHOWN_SHARES = (0.25, 0.5, 1.0)


class _ByGroup(NamedTuple):
    mean: pd.DataFrame  # of activities in standard deviations over all cells, (N, R)
    share: pd.DataFrame  # of the cells whose activity is above its mean over all cells, (N, R)


def activity_dotplot(
    adata: AnnData,
    groupby: str | Sequence[str],
    regulators: Sequence[str] | None = None,
    *,
    n_regulators: int = 15,
    key: str = ACTIVITY_KEY,
    gene_symbols: GeneSymbols | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Return axes with a dot per group (row) and regulator (column).

    The colour is the mean activity in the group, in standard deviations among all cells from their mean; the size is the
    share of the group's cells above that mean.

    Parameters
    ----------
    adata
        Cells with activities, as ``scdual.tl.regulator_activity(adata, network, key_added="scdual_activity")`` writes them.
    groupby
        Column of ``obs``, or several, with the groups.
    regulators
        Regulators to show; None takes those whose means differ most between the groups.
    n_regulators
        Number of them if none are named.
    key
        Key of ``obsm`` with the activities.
    gene_symbols
        Where genes are ids: column of ``var`` with their symbols, or the symbols by name, to show in place of them.
        ``regulators`` may name either.
    ax
        Axes to draw on; by default a new figure, sized so that the names can be read.

    Raises
    ------
    KeyError
        If there are no activities under the key, or a column, of symbols or of groups, or a regulator is not there.
    ValueError
        If a number is below 1, there is no group, or no regulator has a symbol.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    by_group = _by_group(adata, groupby, regulators, n_regulators, key, gene_symbols, ax)
    is_new = ax is None
    ax = _new_axes(by_group.mean, extra=1.2) if ax is None else ax
    column, row = np.meshgrid(np.arange(by_group.mean.shape[1]), np.arange(len(by_group.mean)))
    limit = _limit(by_group.mean)
    dots = ax.scatter(
        column.ravel(),
        row.ravel(),
        s=_LARGEST_DOT * by_group.share.to_numpy().ravel(),
        c=by_group.mean.to_numpy().ravel(),
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        edgecolor="0.4",
        linewidth=0.4,
    )
    _label(ax, by_group.mean)
    ax.set(xlim=(-0.7, by_group.mean.shape[1] - 0.3), ylim=(len(by_group.mean) - 0.3, -0.7))
    _colour_bar(ax, dots)
    handles = [
        ax.scatter([], [], s=_LARGEST_DOT * share, color="0.7", edgecolor="0.4", linewidth=0.4, label=f"{share:.0%}")
        for share in _SHOWN_SHARES
    ]
    above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0}
    add_legend(ax, handles=handles, ncols=len(handles), title="cells above the mean", **above)
    fit_text(ax, is_new=is_new)
    return ax


def activity_heatmap(
    adata: AnnData,
    groupby: str | Sequence[str],
    regulators: Sequence[str] | None = None,
    *,
    n_regulators: int = 30,
    key: str = ACTIVITY_KEY,
    gene_symbols: GeneSymbols | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Return axes with the mean activity of each regulator (column) in each group (row), as a heat map.

    Means are in standard deviations among all cells from their mean. Regulators that are alike are neighbours.

    Parameters
    ----------
    adata, groupby, regulators, n_regulators, key, gene_symbols, ax
        As in :func:`activity_dotplot`.

    Raises
    ------
    KeyError, ValueError, ModuleNotFoundError
        As :func:`activity_dotplot`.
    """
    mean = _by_group(adata, groupby, regulators, n_regulators, key, gene_symbols, ax).mean
    if regulators is None and mean.shape[1] > 2:
        mean = mean.iloc[:, leaves_list(linkage(mean.T.to_numpy(), method="average", optimal_ordering=True))]
    is_new = ax is None
    ax = _new_axes(mean, extra=0.6) if ax is None else ax
    limit = _limit(mean)
    image = ax.imshow(mean, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    _label(ax, mean)
    _colour_bar(ax, image)
    fit_text(ax, is_new=is_new)
    return ax


def _by_group(
    adata: AnnData,
    groupby: str | Sequence[str],
    regulators: Sequence[str] | None,
    n_regulators: int,
    key: str,
    gene_symbols: GeneSymbols | None,
    ax: object,
) -> _ByGroup:
    check_installed("matplotlib")
    from scdual.model._groups import group_names  # here, for scvi-tools loads matplotlib

    check_type("adata", adata, AnnData)
    check_type("key", key, str)
    check_whole("n_regulators", n_regulators, at_least=1)
    check_axes(ax)
    activity = _activities(adata, key)
    names = group_names("groupby", groupby, adata.obs)
    if not len(names.cat.categories):
        msg = f"`groupby={groupby!r}` gives no group: no cell has a value there. Name a column of `obs` with groups."
        raise ValueError(msg)
    regulators = None if regulators is None else check_names("regulators", regulators)
    if gene_symbols is not None:
        symbol = dict(zip(activity.columns, unique_symbols(activity.columns, gene_symbols, adata.var), strict=True))
        activity = activity.rename(columns=symbol)
        regulators = None if regulators is None else [symbol.get(name, name) for name in regulators]
    chosen = list(activity.columns) if regulators is None else _known(regulators, activity)
    activity = activity[chosen]
    spread = activity.std(ddof=0)
    scaled = (activity - activity.mean()) / spread.where(spread > 0, 1.0)
    groups = names.to_numpy()
    mean = scaled.groupby(groups, sort=False).mean().reindex(names.cat.categories)
    share = (scaled > 0).groupby(groups, sort=False).mean().reindex(names.cat.categories)
    if regulators is None:
        order = (mean.max() - mean.min()).fillna(0).sort_values(ascending=False, kind="stable").index[:n_regulators]
        mean, share = mean[order], share[order]
    return _ByGroup(mean, share)


def _activities(adata: AnnData, key: str) -> pd.DataFrame:
    if key not in adata.obsm or not isinstance(adata.obsm[key], pd.DataFrame):
        msg = (
            f"`key={key!r}` is no table of activities in `adata.obsm`, which has {listed(list(adata.obsm))}. "
            f"Call `scdual.tl.regulator_activity(adata, network, key_added={key!r})` first."
        )
        raise KeyError(msg)
    return adata.obsm[key].reset_index(drop=True)


def _known(names: list[str], activity: pd.DataFrame) -> list[str]:
    missing = [name for name in names if name not in activity.columns]
    if missing:
        advice = did_you_mean(missing[0], activity.columns) or "Name regulators that have an activity."
        msg = f"{len(missing)} of {len(names)} regulators have no activity: {listed(missing)}. {advice}"
        raise KeyError(msg)
    return names


def _limit(mean: pd.DataFrame) -> float:
    """Return where the colours end: at the largest mean, or before it if a few would bleach all others."""
    size = np.abs(mean.to_numpy())
    largest, usual = np.nanmax(size), np.nanquantile(size, _USUAL)
    return float(usual if 0 < 2 * usual < largest else largest) or 1.0


def _new_axes(mean: pd.DataFrame, *, extra: float) -> "Axes":
    """Return new axes with room for the names, and for what else stands above and below."""
    import matplotlib.pyplot as plt

    n_rows, n_columns = mean.shape
    width = max(n_columns * _CELL_INCHES, _LEAST_WIDTH) + widest(mean.index) + _BAR_INCHES
    height = max(n_rows * _CELL_INCHES, _LEAST_HEIGHT) + widest(mean.columns)
    size = (width, height + extra)
    return plt.subplots(figsize=size, layout="constrained")[1]


def _label(ax: "Axes", mean: pd.DataFrame) -> None:
    ax.set_xticks(np.arange(mean.shape[1]), list(mean.columns), rotation=90, fontsize=FONT_SIZE)
    ax.set_yticks(np.arange(len(mean)), list(mean.index), fontsize=FONT_SIZE)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _colour_bar(ax: "Axes", drawn: "ColorizingArtist") -> None:
    goes_beyond = np.nanmax(np.abs(np.asarray(drawn.get_array(), dtype=float))) > (drawn.norm.vmax or 0)
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.8, pad=0.02, extend="both" if goes_beyond else "neither")
    bar.set_label("mean activity (SD)", fontsize=FONT_SIZE)
    bar.ax.tick_params(labelsize=FONT_SIZE)
