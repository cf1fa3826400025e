"""What data were when they were registered, and how they differ now.

Dimension key
    C  cells
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scdual.data._fingerprint import sampled_rows


@dataclass(frozen=True)
class DataState:
    """What was registered: names, hashes of the counts of each cell, and of each value of the columns in use."""

    cells: pd.Index
    rows: pd.Index  # cells of the matrix of counts, which in MuData may have an order of its own
    genes: pd.Index
    counts: np.ndarray | None
    columns: Mapping[str, np.ndarray]

    def difference(self, now: "DataState") -> str | None:
        """Return in words how the data differ now, None if they do not."""
        for what, before, after in (
            ("cells", self.cells, now.cells),
            ("cells", self.rows, now.rows),
            ("genes", self.genes, now.genes),
        ):
            if not before.equals(after):
                return _renamed(what, before, after)
        return self._other_counts(now) or self._other_columns(now)

    def _other_counts(self, now: "DataState") -> str | None:
        if self.counts is None or now.counts is None:
            return "the counts are gone"
        before, after = _at_the_same_cells(self.counts, now.counts, len(self.cells))
        if np.array_equal(before, after):
            return None
        if np.array_equal(np.sort(before), np.sort(after)):
            return "the counts of the cells stand in another order"
        return f"the counts changed in {np.sum(before != after)} of {len(before)} cells"

    def _other_columns(self, now: "DataState") -> str | None:
        for key, values in self.columns.items():
            if key not in now.columns:
                return f"column {key} is gone"
            n_changed = int(np.sum(values != now.columns[key]))
            if n_changed:
                return f"column {key} changed in {n_changed} of {len(values)} cells"
        return None


def _at_the_same_cells(before: np.ndarray, after: np.ndarray, n_cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Return hashes that can be compared: of data on disk only some cells are hashed, of the same in memory all."""
    n_shared = min(len(before), len(after))
    if len(before) == len(after) or max(len(before), len(after)) < n_cells:
        return before[:n_shared], after[:n_shared]
    rows = sampled_rows(n_cells, n_shared)
    return (before[rows], after) if len(before) == n_cells else (before, after[rows])


def _renamed(what: str, before: pd.Index, after: pd.Index) -> str:
    if len(before) != len(after):
        return f"there were {len(before)} {what} and now there are {len(after)}"
    n_other = len(after.difference(before))
    return f"{n_other} {what} have other names" if n_other else f"the {what} stand in another order"
