"""Edges back and forth between two regulators, whose direction expression alone does not tell.

Dimension key
    E  edges
"""

import numpy as np
import pandas as pd


def one_line_per_mutual_pair(edges: pd.DataFrame) -> pd.DataFrame:
    """Return the edges with a column ``is_mutual``; of two back and forth with one sign, only the first.

    Parameters
    ----------
    edges
        Table ``source, target, weight``, ``(E, 3)`` or wider, the strongest edges first.
    """
    pair = _pairs(edges)
    lines = edges.assign(is_mutual=pair.duplicated(keep=False).to_numpy())
    return lines[~pair.duplicated().to_numpy()]


def is_mutual(edges: pd.DataFrame) -> np.ndarray:
    """Return which edges also run back with the same sign, ``(E,)``; the table is that of the function above."""
    return _pairs(edges).duplicated(keep=False).to_numpy()


def _pairs(edges: pd.DataFrame) -> pd.DataFrame:
    """Return the two genes of each edge, in the order of their names, and its sign."""
    names = np.sort(edges[["source", "target"]].to_numpy(dtype=object), axis=1)
    return pd.DataFrame({"one": names[:, 0], "other": names[:, 1], "sign": np.sign(edges["weight"].to_numpy())})
