"""Whether values can be counts of molecules.

Dimension key
    C  cells      G  genes
"""

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from anndata.abc import CSCDataset, CSRDataset
from scipy import sparse

from scdual._warning import warn
from scdual.data._rows import chunks

LARGEST = 2**24
"""The model computes in 32-bit numbers, which hold no integer above this exactly."""

_READABLE = (np.ndarray, sparse.spmatrix, sparse.sparray, h5py.Dataset, CSRDataset, CSCDataset)


@dataclass
class _Summary:
    n_values: int = 0
    n_not_finite: int = 0
    n_fractions: int = 0
    n_empty_cells: int = 0
    lowest: float = 0.0
    largest: float = 0.0
    example: float = 0.0  # of a fraction

    def add(self, part: Any) -> None:
        """Take in some cells, ``(B, G)``."""
        values = part.data if sparse.issparse(part) else part
        finite = np.isfinite(values)
        self.n_values += values.size
        self.n_not_finite += int(values.size - finite.sum())
        if not values.size or self.n_not_finite:
            self.n_empty_cells += 0 if values.size else part.shape[0]
            return
        self.lowest, self.largest = min(self.lowest, float(values.min())), max(self.largest, float(values.max()))
        if values.dtype.kind == "f":
            broken = values != np.rint(values)
            if broken.any() and not self.n_fractions:
                self.example = values[broken][0]
            self.n_fractions += int(broken.sum())
        self.n_empty_cells += int(np.sum(np.asarray(abs(part).sum(1)) == 0))


def check_counts(counts: Any, where: str, *, layers: list[str], require_counts: bool) -> None:
    """Raise an error unless these are counts, of any layout; they may lie on disk, where they are read once.

    Parameters
    ----------
    counts
        Values, shape ``(C, G)``.
    where
        Where they lie, for the message.
    layers
        Names of the layers there are.
    require_counts
        Whether only integers will do.
    """
    if counts is None:
        msg = f"{where} is empty; name the layer that holds the counts with `layer=`, one of {layers}."
        raise ValueError(msg)
    _check_type(counts, where)
    if 0 in counts.shape:
        msg = f"{where} has {counts.shape[0]} cells and {counts.shape[1]} genes; there must be at least one of each."
        raise ValueError(msg)
    summary = _Summary()
    for part in chunks(counts):
        summary.add(part)
    _check_values(summary, where, require_counts=require_counts)
    if summary.n_empty_cells:
        warn(
            f"{summary.n_empty_cells} of {counts.shape[0]} cells have no counts in {where}, so nothing is known about "
            "them, and all get the same embedding; leave them out: `sc.pp.filter_cells(adata, min_counts=1)`."
        )


def _check_type(counts: Any, where: str) -> None:
    if not isinstance(counts, _READABLE):
        kind = f"{type(counts).__module__.partition('.')[0]} {type(counts).__name__}"
        cure = f"`{where} = {where}.compute()`" if hasattr(counts, "compute") else f"`{where} = numpy.asarray({where})`"
        msg = f"{where} is a {kind}, expected an array or a sparse matrix; convert it first: {cure}."
        raise TypeError(msg)
    if np.dtype(counts.dtype).kind not in "buif":
        msg = f"{where} holds values of type {counts.dtype}, expected counts; convert it first: `{where}.astype('float32')`."
        raise TypeError(msg)


def _check_values(found: _Summary, where: str, *, require_counts: bool) -> None:
    if found.n_not_finite:
        msg = f"{where} holds {found.n_not_finite} NaN or infinite values; raw counts are expected, so remove or refill them."
        raise ValueError(msg)
    if found.lowest < 0:
        msg = f"{where} holds negative values (down to {found.lowest:g}); give raw counts, not scaled data."
        raise ValueError(msg)
    if found.largest > LARGEST:
        msg = (
            f"{where} holds values up to {found.largest:g}, expected counts of at most {LARGEST:,}; "
            "check what it holds, and give counts of molecules."
        )
        raise ValueError(msg)
    if not found.largest:
        msg = f"All counts in {where} are 0, so there is nothing to learn; check which layer holds the counts."
        raise ValueError(msg)
    if found.n_fractions and require_counts:
        msg = (
            f"{where} holds {found.n_fractions} values that are no integers, e.g. {found.example:g}; it looks normalised. "
            "Name the layer with raw counts in `layer=`, or insist with `require_counts=False`."
        )
        raise ValueError(msg)


def n_cells_expressing(matrix: Any) -> np.ndarray:
    """Return in how many cells each gene has a count, shape ``(G,)``, of a matrix ``(C, G)`` in memory or on disk."""
    parts = (np.asarray((part > 0).sum(axis=0)).ravel() for part in chunks(matrix))
    return sum(parts, start=np.zeros(matrix.shape[1], dtype=np.int64))


def is_constant(matrix: Any) -> np.ndarray:
    """Return which genes have the same count in all cells, shape ``(G,)``, of a matrix ``(C, G)`` in memory or on disk."""
    low, high = np.full(matrix.shape[1], np.inf), np.full(matrix.shape[1], -np.inf)
    for part in chunks(matrix):
        for limit, pick in ((low, "min"), (high, "max")):
            found = getattr(part, pick)(axis=0)
            found = (found.toarray() if sparse.issparse(found) else np.asarray(found)).ravel()
            (np.minimum if pick == "min" else np.maximum)(limit, found, out=limit)
    return low == high
