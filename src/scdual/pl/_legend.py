"""The legend of a picture."""

from typing import TYPE_CHECKING, Any

from scdual.pl._text import FONT_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BELOW = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0)}
# Spaces are matplotlib's own. Pictures leave room for a legend of this size, and packages change the defaults of the whole
# process when they are imported: decoupler does.
_SETTINGS: dict[str, Any] = {
    "frameon": False,
    "fontsize": FONT_SIZE,
    "title_fontsize": FONT_SIZE,
    "borderaxespad": 0.5,
    "borderpad": 0.4,
    "labelspacing": 0.5,
    "handlelength": 2.0,
    "handleheight": 0.7,
    "handletextpad": 0.8,
    "columnspacing": 2.0,
}


def add_legend(ax: "Axes", **given: Any) -> None:
    """Add a legend below the axes that looks the same whatever matplotlib's defaults are.

    Parameters
    ----------
    ax
        The axes.
    given
        What differs: arguments of :meth:`matplotlib.axes.Axes.legend`.
    """
    ax.legend(**(_BELOW | _SETTINGS | given))
