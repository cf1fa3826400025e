"""Read cells of a matrix, in memory or on disk.

Dimension key
    C  cells      G  genes
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

_CHUNK_VALUES = 4_000_000  # read at a time: 32 MB of doubles


def is_in_memory(matrix: Any) -> bool:
    """Return whether a matrix is held in memory, not on disk."""
    return isinstance(matrix, np.ndarray) or sparse.issparse(matrix)


def read_rows(matrix: Any, rows: slice | np.ndarray) -> "np.ndarray | sparse.csr_matrix":
    """Return rows of a matrix in the order asked for, dense or CSR.

    Parameters
    ----------
    matrix
        Matrix ``(C, G)``: an array, sparse, or on disk as anndata opens it.
    rows
        A slice, or positions of rows; they may repeat and need not rise.
    """
    if is_in_memory(matrix) or isinstance(rows, slice):
        part = matrix[rows]
    else:  # files are read in rising order, each row once
        rising, place = np.unique(rows, return_inverse=True)
        part = matrix[rising][place]
    return sparse.csr_matrix(part) if sparse.issparse(part) else np.asarray(part)


def chunks(matrix: Any) -> Iterator["np.ndarray | sparse.csr_matrix"]:
    """Return all rows of a matrix, some at a time, so that little memory is used."""
    n_rows, n_columns = matrix.shape
    if sparse.issparse(matrix):
        matrix = sparse.csr_matrix(matrix)
        n_columns = matrix.nnz // max(n_rows, 1)
    step = max(1, _CHUNK_VALUES // max(n_columns, 1))
    for start in range(0, n_rows, step):
        yield read_rows(matrix, slice(start, start + step))
