"""Tell whether data are still those that were registered.

Dimension key
    C  cells      G  genes
"""

from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from scdual.data._rows import chunks, is_in_memory, read_rows

_CHUNK_VALUES = 250_000  # hashed at a time: what fits a cache
_N_COLUMNS = 256
_N_SAMPLED = 256  # cells that are read from data on disk
_MAX_VALUES = 50_000_000  # in memory; of more, evenly spaced cells are read


def fingerprint(counts: Any, cells: pd.Index | None = None, genes: pd.Index | None = None) -> str:
    """Return a short text that differs for other counts, other names, or another order of cells or genes.

    Equal counts give equal texts, dense or sparse, in any number type: only the 32-bit value that the model sees counts.
    Of data on disk or of dask, 256 evenly spaced cells are read, and of more than 50 million values in memory evenly
    spaced cells with about as many, so what changes between those cells goes unseen.

    Parameters
    ----------
    counts
        Counts, shape ``(C, G)``.
    cells, genes
        Their names, if they matter.
    """
    digest = blake2b(repr(tuple(counts.shape)).encode(), digest_size=16)
    digest.update(row_hashes(counts).tobytes())
    for names in (cells, genes):
        if names is not None:
            digest.update(column_hashes(names).tobytes())
    return digest.hexdigest()


def row_hashes(matrix: Any) -> np.ndarray:
    r"""Return a hash of the values of each cell, shape ``(C,)``, or of those that are sampled, unsigned.

    .. math:: h_c = \sum_g w_g \, \mathrm{bits}(x_{cg}) \mod 2^{64}

    with the bits of the 32-bit value and a random odd number for each gene. Two cells with other values have the same
    hash with a probability of about :math:`2^{-32}` or less.

    Parameters
    ----------
    matrix
        Values, shape ``(C, G)``.
    """
    n_rows, n_read = matrix.shape[0], _n_read(matrix)
    if n_read < n_rows or not is_in_memory(matrix):
        matrix = read_rows(matrix, sampled_rows(n_rows, n_read))
    weight = _random_odd(matrix.shape[1])
    if sparse.issparse(matrix):
        return _hash_sparse(matrix, weight)
    hashes = [_bits(part) @ weight for part in chunks(matrix)]
    return np.concatenate(hashes) if hashes else np.zeros(0, np.uint64)


def column_hashes(column: "pd.Series | pd.Index") -> np.ndarray:
    """Return a hash of each value of a column or index, shape ``(C,)``, whatever type holds it."""
    values = column.to_numpy()
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(dtype=float, na_value=np.nan)
    elif not isinstance(values, np.ndarray) or values.dtype != object:
        values = np.asarray(values, dtype=object)
    return pd.util.hash_array(values)


def sampled_rows(n_rows: int, n_read: int) -> np.ndarray:
    """Return positions of evenly spaced rows, shape ``(n_read,)``."""
    return np.linspace(0, n_rows - 1, n_read).astype(int)


def _n_read(matrix: Any) -> int:
    n_rows = matrix.shape[0]
    if not is_in_memory(matrix):
        return min(n_rows, _N_SAMPLED)
    n_values = matrix.nnz if sparse.issparse(matrix) else matrix.size
    return n_rows if n_values <= _MAX_VALUES else max(1, int(n_rows * _MAX_VALUES / n_values))


def _hash_sparse(matrix: Any, weight: np.ndarray) -> np.ndarray:
    if matrix.format != "csc":
        return _hash_rows(sparse.csr_matrix(matrix), weight)
    hashes = np.zeros(matrix.shape[0], np.uint64)  # column by column, for sorting into rows takes ten times as long
    for start in range(0, matrix.shape[1], _N_COLUMNS):
        part, own = sparse.csc_matrix(matrix[:, start : start + _N_COLUMNS]), weight[start : start + _N_COLUMNS]
        hashes += sparse.csc_matrix((_bits(part.data), part.indices, part.indptr), shape=part.shape) @ own
    return hashes


def _hash_rows(matrix: sparse.csr_matrix, weight: np.ndarray) -> np.ndarray:
    """Do not copy the counts, as slices of the matrix would."""
    n_rows, n_columns = matrix.shape
    hashes = np.zeros(n_rows, np.uint64)
    step = max(1, n_rows * _CHUNK_VALUES // max(matrix.nnz, 1))
    for start in range(0, n_rows, step):
        ends = matrix.indptr[start : start + step + 1]
        inside = slice(ends[0], ends[-1])
        part = (_bits(matrix.data[inside]), matrix.indices[inside], ends - ends[0])
        hashes[start : start + step] = sparse.csr_matrix(part, shape=(len(ends) - 1, n_columns)) @ weight
    return hashes


def _bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).astype(np.uint64)


def _random_odd(n: int) -> np.ndarray:
    """Return the same random odd numbers on every machine, shape ``(n,)`` (splitmix64)."""
    state = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state ^ (state >> np.uint64(31))) | np.uint64(1)
