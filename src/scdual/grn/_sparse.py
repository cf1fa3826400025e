"""Networks as sparse matrices of all genes.

Dimension key
    R  regulator genes (rows)      T  target genes (columns)      V  genes of the data      E  edges
"""

import numpy as np
from scipy.sparse import csr_matrix

_BLOCK_VALUES = 2**20  # pairs at a time, whose positions take 16 MB


def edges_to_csr(
    values: np.ndarray, weight: np.ndarray, *, row_of: np.ndarray, column_of: np.ndarray, n_genes: int
) -> csr_matrix:
    """Return what is known about edges, shape ``(V, V)``; of the result alone there is a copy, not of its coordinates.

    Parameters
    ----------
    values
        What to store, shape ``(R, T)``; floats become float32.
    weight
        Weights, of which those that are not zero are the edges, shape ``(R, T)``.
    row_of, column_of
        Positions of the regulators ``(R,)`` and of the targets ``(T,)`` among the genes.
    n_genes
        Number ``V`` of genes.
    """
    n_in_row = np.zeros(n_genes + 1, dtype=np.int64)
    n_in_row[row_of + 1] = np.count_nonzero(weight, axis=1)
    n_edges = int(n_in_row.sum())
    position = np.int32 if n_edges <= np.iinfo(np.int32).max else np.int64
    data = np.empty(n_edges, np.float32 if values.dtype.kind == "f" else values.dtype)
    indices, start = np.empty(n_edges, position), 0
    column_order = np.argsort(column_of)
    for rows in np.array_split(np.argsort(row_of), max(1, weight.size // _BLOCK_VALUES)):  # in the order of the genes
        block = weight[rows][:, column_order]
        row, column = np.nonzero(block)
        stored = block if values is weight else values[rows][:, column_order]
        end = start + len(row)
        data[start:end], indices[start:end] = stored[row, column], column_of[column_order[column]]
        start = end
    return csr_matrix((data, indices, n_in_row.cumsum().astype(position)), shape=(n_genes, n_genes))
