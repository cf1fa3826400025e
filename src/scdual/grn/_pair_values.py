"""Matrices with one value per pair of a regulator and a target: their shape, their numbers, and genes that meet themselves.

Dimension key
    R  regulator genes (rows)      T  target genes (columns)
"""

from typing import Any

import numpy as np
import pandas as pd

from scdual._checks import listed, shown
from scdual.grn._names import self_pairs


def check_shape(name: str, values: Any, expected: tuple[int, ...], *, advice: str) -> None:
    """Raise ``ValueError`` unless the values have this shape, ``(R, T)``; the advice is a sentence on what to do."""
    if np.shape(values) != expected:
        msg = (
            f"`{name}` has shape {np.shape(values)}, expected {expected}: one row per regulator, one column per target. "
            f"{advice}"
        )
        raise ValueError(msg)


def as_numbers(name: str, values: Any) -> np.ndarray:
    """Return values as an array of their own type; raise ``TypeError`` unless they are numbers."""
    found = np.asarray(values)
    if found.dtype.kind not in "biuf":
        msg = f"`{name}` is {shown(values)}, expected an array of numbers. Convert it."
        raise TypeError(msg)
    return found


def as_weights(weight: Any, regulators: pd.Index, targets: pd.Index) -> np.ndarray:
    """Return the weights of a network as read-only float32, ``(R, T)``, in a copy unless nobody can write to them.

    Raises
    ------
    TypeError
        If they are no array of numbers.
    ValueError
        If the shape does not fit the names, a weight is not finite, or a gene regulates itself.
    """
    try:
        with np.errstate(over="ignore"):  # too large for float32 becomes inf, which is reported later
            kept = frozen(weight, dtype=np.float32)
    except (TypeError, ValueError) as error:
        msg = (
            f"`weight` of type {type(weight).__name__} makes no array of numbers ({error}); expected one row per regulator "
            "and one column per target. Pass a NumPy array; of a sparse matrix, its `toarray()`."
        )
        raise TypeError(msg) from error
    advice = "If the rows are targets, use `from_attention_layout`."
    check_shape("weight", kept, (len(regulators), len(targets)), advice=advice)
    _check_finite(kept)
    _check_self_edges(kept, regulators, targets)
    return kept


def frozen(values: Any, *, dtype: Any = None) -> np.ndarray:
    """Return values as a read-only array: themselves if nobody can write to them, else a copy."""
    is_right = type(values) is np.ndarray and (dtype is None or values.dtype == dtype)
    return values if is_right and _is_frozen(values) else sealed(np.array(values, dtype=dtype))


def sealed(values: np.ndarray) -> np.ndarray:
    """Return an array that nobody else has, read-only from now on."""
    values.setflags(write=False)
    return values


def _is_frozen(values: np.ndarray) -> bool:
    """Return whether neither an array nor the one whose memory it shows can be written to."""
    base: Any = values
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    return base is None  # else the memory is that of something that may write


def _check_finite(weight: np.ndarray) -> None:
    n_bad = weight.size - np.count_nonzero(np.isfinite(weight))
    if n_bad:
        msg = (
            f"{n_bad} of {weight.size} weights are not finite in float32, expected none. "
            "Replace missing weights by 0 (no edge); if they come from a model, its training has diverged."
        )
        raise ValueError(msg)


def _check_self_edges(weight: np.ndarray, regulators: pd.Index, targets: pd.Index) -> None:
    row, column = self_pairs(regulators, targets)
    looped = regulators[row[weight[row, column] != 0]]
    if len(looped):
        msg = (
            f"{len(looped)} genes regulate themselves: {listed(looped)}; expected weight 0 for these pairs. "
            "Set these weights to 0, or drop these rows from the table."
        )
        raise ValueError(msg)
