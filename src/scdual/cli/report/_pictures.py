"""The pictures of a report, as data URLs. Names stand beside them in the page, in any script, and not in them.

Dimension key
    C  cells
"""

import base64
import io
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import pandas as pd
from anndata import AnnData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_CELLS_DRAWN = 20_000  # UMAP of more takes minutes, and points hide each other
_LEAST_FOR_UMAP = 30  # cells; it looks at 15 neighbours of each
_MOST_COLOURS = 20
_MOST_NUMBERS = 20  # different numbers that are still names, such as of clusters
_OTHER = "#c8c8c8"
_DPI = 150


class Picture(NamedTuple):
    """A picture with its title and its legend; a legend has a colour and a text for each entry."""

    title: str
    source: str
    legend: list[tuple[str, str]]


def two_dimensions(latent: np.ndarray) -> tuple[np.ndarray, str]:
    """Return a UMAP of cells ``(C, 2)``, or their first two dimensions where they are few, and which of them it is."""
    if len(latent) < _LEAST_FOR_UMAP:
        return np.pad(latent, ((0, 0), (0, 2)))[:, :2], "the first two dimensions of the embedding"
    import scanpy as sc

    cells = AnnData(obsm={"X_cells": latent})
    sc.pp.neighbors(cells, use_rep="X_cells", random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Graph is not fully connected")  # types may lie far apart
        sc.tl.umap(cells, random_state=0)
    return cells.obsm["X_umap"], "a UMAP of the embedding"


def draw_column(xy: np.ndarray, column: pd.Series, title: str) -> Picture:
    """Return the cells, coloured by a column of ``obs``; the commonest names have colours of their own."""
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if is_number and column.nunique() > _MOST_NUMBERS:
        return draw_values(xy, column.to_numpy(float), title)
    names = column.astype(object).where(column.notna(), None)
    sizes = names.value_counts()
    shown = sorted(sizes.index[:_MOST_COLOURS], key=str)
    colour_of = dict(zip(shown, _palette(len(shown)), strict=True))
    legend = [(colour, str(name)) for name, colour in colour_of.items()]
    if len(sizes) > len(shown):
        legend.append((_OTHER, f"{len(sizes) - len(shown)} rarer ones"))
    if column.isna().any():
        legend.append((_OTHER, "no value"))
    return Picture(title, _points(xy, [colour_of.get(name, _OTHER) for name in names]), legend)


def draw_values(xy: np.ndarray, values: np.ndarray, title: str, *, is_signed: bool = False) -> Picture:
    """Return the cells, coloured by a number; signed numbers are white at 0, and both ends are the 2nd and 98th percentile."""
    from matplotlib import colormaps
    from matplotlib.colors import Normalize, to_hex

    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, (0.02, 0.98)) if len(finite) else (0.0, 0.0)
    if is_signed:
        high = max(abs(low), abs(high))
        low = -high
    scale, colours = Normalize(low, high, clip=True), colormaps["RdBu_r" if is_signed else "viridis"]
    inks = colours(scale(np.nan_to_num(values, nan=low)))
    inks[~np.isfinite(values)] = colormaps["Greys"](0.25)
    ends = [(to_hex(colours(share)), f"{value:.3g}") for share, value in ((0.0, low), (1.0, high))]
    return Picture(title, _points(xy, inks), ends)


def draw_losses(history: Mapping[str, np.ndarray]) -> str:
    """Return the picture of :func:`scdual.pl.training_curves`."""
    from scdual.pl import training_curves

    axes = training_curves({name: pd.DataFrame({name: values}).dropna() for name, values in history.items()})
    return _as_url(cast("Figure", axes[0].figure))


def heat_colour(value: float, limit: float) -> str:
    """Return the colour of a number between -limit and limit, pale enough for black text."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    share = 0.5 if not np.isfinite(value) or limit == 0 else 0.5 + 0.3 * float(np.clip(value / limit, -1, 1))
    return to_hex(colormaps["RdBu_r"](share))


def _palette(n: int) -> list[str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    colours = colormaps["tab10" if n <= 10 else "tab20"]
    return [to_hex(colours(i)) for i in range(n)]


def _points(xy: np.ndarray, colours: "list[str] | np.ndarray") -> str:
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(4, 4), layout="constrained")
    order = np.random.default_rng(0).permutation(len(xy))  # so that no type hides another
    size = float(np.clip(6000 / max(len(xy), 1), 1, 20))
    ax.scatter(xy[order, 0], xy[order, 1], s=size, linewidth=0, color=np.asarray(colours)[order])
    ax.axis("off")
    return _as_url(figure)


def _as_url(figure: "Figure") -> str:
    import matplotlib.pyplot as plt

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    plt.close(figure)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
