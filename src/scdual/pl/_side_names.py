"""Write the names of points in a column beside the axes, which are as wide as they need.

Dimension key
    L  named points
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from scdual.pl._text import FONT_SIZE, widest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GAP = 0.04  # between axes and names, as a share of the axes
_LINE_HEIGHT = 11.0  # of a name, in points


def axes_beside_names(names: Iterable[str], *, width: float, height: float) -> "Axes":
    """Return axes on a new figure with room for the names at the right.

    Parameters
    ----------
    names
        What will be named.
    width, height
        Size of the figure in inches without the names.
    """
    import matplotlib.pyplot as plt

    room = widest(names)
    size = (width + (room + _GAP * width if room else 0.0), height)
    return plt.subplots(figsize=size, layout="constrained")[1]


def name_points(ax: "Axes", points: pd.DataFrame, *, height: float, at_left: bool = False) -> None:
    """Write names in a column, each as near to its point as there is room.

    Parameters
    ----------
    ax
        Axes with their final limits.
    points
        Table ``name, x, y``.
    height
        Height of the axes in points.
    at_left
        Whether the column stands at the left within the axes, and not at the right of them.
    """
    points = points.sort_values("y", kind="stable")
    low, high = ax.get_ylim()
    place = spread((points["y"].to_numpy() - low) / (high - low), _LINE_HEIGHT / height)  # (L,)
    line = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "shrinkA": 2, "shrinkB": 2}
    line["relpos"] = (1, 0.5) if at_left else (0, 0.5)
    for point, at in zip(points.itertuples(), place, strict=True):
        ax.annotate(
            point.name,
            (point.x, point.y),
            (_GAP / 2 if at_left else 1 + _GAP, at),
            textcoords="axes fraction",
            va="center",
            fontsize=FONT_SIZE,
            arrowprops=line,
            parse_math=False,
        )


def room_at_left(names: Iterable[str], *, width: float) -> float:
    """Return which share of axes names take within them, 0 of none and at most half.

    Parameters
    ----------
    names
        Names at the left.
    width
        Width of the axes in points.
    """
    room = 72 * widest(names)
    return min(0.5, room / width + 2 * _GAP) if room else 0.0


def axes_size(ax: "Axes") -> tuple[float, float]:
    """Return width and height of axes in points."""
    box = ax.get_window_extent()
    return 72 * box.width / ax.figure.dpi, 72 * box.height / ax.figure.dpi


def spread(place: np.ndarray, gap: float) -> np.ndarray:
    """Return sorted places between 0 and 1, ``(L,)``, moved as little as needed to be a gap apart."""
    offset = gap * np.arange(len(place))
    moved = isotonic_regression(place - offset).x if len(place) else place
    last = 1 - gap * len(place)  # where the lowest is at most
    return np.clip(moved, 0, max(0, last)) + offset
