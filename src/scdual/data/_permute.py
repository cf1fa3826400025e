"""Take the regulation out of counts.

Dimension key
    C  cells      G  genes
"""

import numpy as np
from scipy.sparse import csr_matrix, spmatrix, vstack


def permute_genes(
    counts: "spmatrix | np.ndarray", rng: np.random.Generator, groups: np.ndarray | None = None
) -> csr_matrix:
    """Return counts ``(C, G)`` in which the values of each gene are permuted over the cells, gene by gene.

    Each gene keeps its values; within a group no gene tells anything about another.

    Parameters
    ----------
    counts
        Counts, shape ``(C, G)``, sparse or dense. They are not changed.
    rng
        Source of the permutations.
    groups
        Group of each cell, shape ``(C,)``; values stay within their group. None takes all cells as one.
    """
    rows = csr_matrix(counts)
    if groups is None:
        return _permuted(rows, rng)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    parts = [_permuted(rows[cells], rng) for cells in members]
    return vstack(parts, format="csr")[np.argsort(np.concatenate(members))]


def _permuted(counts: csr_matrix, rng: np.random.Generator) -> csr_matrix:
    permuted = counts.tocsc(copy=True)
    for start, stop in zip(permuted.indptr[:-1], permuted.indptr[1:], strict=True):
        permuted.indices[start:stop] = rng.choice(permuted.shape[0], stop - start, replace=False)
    permuted.has_sorted_indices = False
    return permuted.tocsr()
