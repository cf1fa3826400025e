"""How much each gene varies beyond what the depth of the cells and the noise of counting explain.

Dimension key
    C  cells      G  genes
"""

from typing import Any

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from scdual.data._rows import read_rows

_MAX_CELLS = 20_000  # of data on disk or very many cells; a ranking of genes does not change with more


def variable_genes(counts: Any, *, n_top_genes: int, batch: np.ndarray | None = None) -> pd.DataFrame:
    """Return scanpy's table of the variance of Pearson residuals :cite:p:`Lause21`, one row per gene, ``G`` rows.

    Parameters
    ----------
    counts
        Counts in memory, shape ``(C, G)``; they are not changed.
    n_top_genes
        Number of genes to mark in ``highly_variable``.
    batch
        Batch of each cell, shape ``(C,)``, within which genes are ranked; None takes all cells at once.
    """
    n_counts = np.asarray(counts.sum(axis=1)).ravel()
    obs = None if batch is None else pd.DataFrame({"batch": pd.Categorical(batch)}, index=_names(len(batch)))
    cells = AnnData(counts, obs=obs)[n_counts > 0].copy()  # residuals of empty cells are no numbers
    return sc.experimental.pp.highly_variable_genes(
        cells, n_top_genes=n_top_genes, batch_key=None if batch is None else "batch", check_values=False, inplace=False
    )


def most_variable(counts: Any, n: int) -> np.ndarray:
    """Return the positions of the ``n`` genes that vary most, sorted int64 ``(n,)``; ties in order.

    Parameters
    ----------
    counts
        Counts in memory or on disk, shape ``(C, G)``. Of very many cells an even share is looked at.
    n
        Number of genes.
    """
    rows = np.unique(np.linspace(0, counts.shape[0] - 1, min(counts.shape[0], _MAX_CELLS)).astype(int))
    part = read_rows(counts, rows)
    part = part.astype(np.float64) if sparse.issparse(part) else np.asarray(part, dtype=np.float64)
    variance = variable_genes(part, n_top_genes=n)["residual_variances"].to_numpy()
    return np.sort(np.argsort(-variance, kind="stable")[:n]).astype(np.int64)


def _names(n: int) -> list[str]:
    return [str(number) for number in range(n)]
