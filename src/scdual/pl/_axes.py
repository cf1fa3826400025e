"""Check the axes that a caller brings."""

from typing import Any

from scdual._checks import check_type


def check_axes(ax: Any, *, name: str = "ax") -> None:
    """Raise ``TypeError`` unless these are axes of matplotlib, or None."""
    from matplotlib.axes import Axes

    check_type(name, ax, Axes, optional=True)
