"""A network as a sparse matrix is that of its coordinates, in any order of genes and however it lies in memory."""

import numpy as np
import pytest
from scipy.sparse import coo_matrix

from scdual.grn import _sparse
from scdual.grn._sparse import edges_to_csr

R, T, V = 7, 20, 25


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("n_values", [1, 3 * T, 10**6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_it_is_that_of_the_coordinates(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, order: str, n_values: int, dtype: type
) -> None:
    monkeypatch.setattr(_sparse, "_BLOCK_VALUES", n_values)
    weight = np.asarray(rng.normal(size=(R, T)) * (rng.random((R, T)) < 0.6), dtype=np.float32, order=order)
    weight[3] = 0  # a regulator without edges
    values = (10 * rng.normal(size=(R, T))).astype(dtype)  # some integers are 0: the edge is stored all the same
    row_of, column_of = rng.permutation(V)[:R], rng.permutation(V)[:T]
    found = edges_to_csr(values, weight, row_of=row_of, column_of=column_of, n_genes=V)
    row, column = np.nonzero(weight)
    expected = coo_matrix((values[row, column], (row_of[row], column_of[column])), shape=(V, V)).tocsr()
    np.testing.assert_array_equal(found.indptr, expected.indptr)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.data, expected.data.astype(found.dtype))
    assert found.dtype == (np.int32 if dtype is np.int32 else np.float32)
    assert found.has_canonical_format
    assert found.indices.dtype == np.int32


def test_a_network_without_edges_or_genes_is_empty() -> None:
    nothing = np.zeros((R, T), dtype=np.float32)
    found = edges_to_csr(nothing, nothing, row_of=np.arange(R), column_of=np.arange(T), n_genes=V)
    assert (found.shape, found.nnz) == ((V, V), 0)
    none = np.zeros((0, T), dtype=np.float32)
    assert edges_to_csr(none, none, row_of=np.zeros(0, int), column_of=np.arange(T), n_genes=T).nnz == 0
