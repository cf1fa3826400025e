"""Draw how the losses fell during training."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scdual._checks import check_type
from scdual._constants import LOSS_KEYS
from scdual._installed import check_installed
from scdual.pl._axes import check_axes
from scdual.pl._legend import add_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# One panel each: title, then the names of the columns for training and for validation.
_PANELS = {
    "loss": ("train_loss", "validation_loss"),
    "reconstruction": ("reconstruction_loss_train", "reconstruction_loss_validation"),
    "KL divergence": ("kl_local_train", "kl_local_validation"),
    "regulation": (f"{LOSS_KEYS.REGULATION}_train", f"{LOSS_KEYS.REGULATION}_validation"),
}
_UNITS = ("nats per cell", "nats per cell", "nats per cell", "mean squared error")
_STYLES = {"training": ("black", "-"), "validation": ("#E69F00", "--")}


def training_curves(history: Mapping[str, pd.DataFrame], *, axes: np.ndarray | None = None) -> np.ndarray:
    """Return four axes, ``(4,)``, with the loss and its parts per epoch, for training and validation cells.

    Parameters
    ----------
    history
        The ``history`` of a trained model: one table per quantity, with one row per epoch. A curve that is not in it
        is left out.
    axes
        Four axes to draw on; by default a new figure.

    Raises
    ------
    ValueError
        If nothing of the four panels is in ``history``, or ``axes`` are not four.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    check_installed("matplotlib")
    _check_history(history)
    axes = _new_axes() if axes is None else np.ravel(axes)
    for ax in axes:
        check_axes(ax, name="axes")
    if len(axes) != len(_PANELS):
        msg = f"Found {len(axes)} `axes`, expected {len(_PANELS)}: {list(_PANELS)}. Pass that many, or none."
        raise ValueError(msg)
    for ax, (title, names), unit in zip(axes, _PANELS.items(), _UNITS, strict=True):
        _draw_panel(ax, title, [history.get(name) for name in names])
        ax.set_ylabel(unit if ax.lines else "")
    first = next(ax for ax in axes if ax.lines)
    add_legend(first, loc="best", bbox_to_anchor=None)  # one for all: it would cover noisy curves
    return axes


def _check_history(history: Mapping[str, pd.DataFrame]) -> None:
    if history is None:  # of a model that knows its map alone, or nothing
        msg = "`history` is None, as of a model that is not trained. Train it first, with `train`."
        raise TypeError(msg)
    check_type("history", history, Mapping, advice="Pass `model.history`.")
    known = [name for names in _PANELS.values() for name in names]
    if not any(name in history for name in known):
        msg = f"`history` has {sorted(history)}, expected some of {known}. Pass the `history` of a trained model."
        raise ValueError(msg)


def _new_axes() -> np.ndarray:
    import matplotlib.pyplot as plt

    return plt.subplots(1, len(_PANELS), figsize=(3.4 * len(_PANELS), 2.8), layout="constrained")[1]


def _draw_panel(ax: "Axes", title: str, curves: list[pd.DataFrame | None]) -> None:
    from matplotlib.ticker import MaxNLocator

    for (label, (colour, line)), curve in zip(_STYLES.items(), curves, strict=True):
        if curve is None or curve.empty:
            continue
        value = curve.iloc[:, 0].astype(float)
        marker = "o" if len(value) == 1 else ""  # a line needs two points
        ax.plot(
            value.index, value, label=label, color=colour, linestyle=line, linewidth=1.2, marker=marker, markersize=4
        )
    ax.set_title(title)
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    ax.spines[["top", "right"]].set_visible(False)
    if not ax.lines:
        ax.text(0.5, 0.5, "not recorded", transform=ax.transAxes, ha="center", va="center", color="0.5")
