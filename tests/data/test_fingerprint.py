from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scdual.data import _fingerprint
from scdual.data._fingerprint import column_hashes, fingerprint, row_hashes

CHANGES = {
    "logarithm": np.log1p,
    "genes in another order": lambda x: x[:, ::-1],
    "cells in another order": lambda x: x[::-1],
    "two genes exchanged": lambda x: x[:, [1, 0, *range(2, x.shape[1])]],
    "two cells exchanged": lambda x: x[[1, 0, *range(2, len(x))]],
    "one value": lambda x: x + np.eye(*x.shape) * (np.arange(len(x)) == 7)[:, None],
    "a molecule moved within a cell": lambda x: x + np.eye(*x.shape) - np.eye(*x.shape, k=1),
    "twice the counts": lambda x: 2 * x,
    "one cell less": lambda x: x[:-1],
    "one gene less": lambda x: x[:, :-1],
}


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(1.5, (40, 12)).astype(np.float32)


@pytest.mark.parametrize("layout", [np.array, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_the_counts_is_seen(counts: np.ndarray, change: str, layout: Callable) -> None:
    assert fingerprint(layout(CHANGES[change](counts))) != fingerprint(counts)


LAYOUTS = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "coo": sparse.coo_matrix,
    "sparse array": sparse.csr_array,
    "columns first": np.asfortranarray,
    "integers": lambda x: x.astype(np.int64),
    "doubles": lambda x: x.astype(np.float64),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_counts_are_the_same_in_every_layout(counts: np.ndarray, layout: str) -> None:
    assert fingerprint(LAYOUTS[layout](counts)) == fingerprint(counts)


def test_the_order_of_stored_values_and_stored_zeros_do_not_matter(counts: np.ndarray) -> None:
    stored = sparse.csr_matrix(counts)
    first = slice(*stored.indptr[:2])
    stored.indices[first], stored.data[first] = stored.indices[first][::-1].copy(), stored.data[first][::-1].copy()
    with_zeros = sparse.csr_matrix(np.ones_like(counts))
    with_zeros.data = counts.ravel().copy()
    assert fingerprint(stored) == fingerprint(with_zeros) == fingerprint(counts)


def test_looking_does_not_change_the_counts(counts: np.ndarray) -> None:
    for layout in (np.array, sparse.csr_matrix, sparse.csc_matrix):
        given = layout(counts)
        fingerprint(given)
        assert given.dtype == np.float32
        assert abs(given - layout(counts)).sum() == 0


def test_the_hash_of_a_cell_does_not_depend_on_the_others(counts: np.ndarray) -> None:
    np.testing.assert_array_equal(row_hashes(counts)[5:9], row_hashes(sparse.csr_matrix(counts[5:9])))


@pytest.mark.parametrize("n_cells", [1, 7, 40])
def test_chunks_do_not_matter(counts: np.ndarray, n_cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fingerprint(counts)
    monkeypatch.setattr(_fingerprint, "_CHUNK_VALUES", n_cells * 9)
    monkeypatch.setattr(_fingerprint, "_N_COLUMNS", 5)
    for layout in (sparse.csr_matrix, sparse.csc_matrix):
        assert fingerprint(layout(counts)) == expected


def test_it_is_the_same_on_every_machine() -> None:
    assert fingerprint(np.arange(6.0).reshape(2, 3)) == "37e0ef3a4a4588c7651938c53f1e9fd3"


def test_names_count_if_they_are_given(counts: np.ndarray) -> None:
    cells, genes = pd.Index([f"c{i}" for i in range(40)]), pd.Index([f"g{i}" for i in range(12)])
    texts = {fingerprint(counts), fingerprint(counts, cells), fingerprint(counts, cells, genes)}
    texts |= {fingerprint(counts, cells[::-1], genes), fingerprint(counts, cells, genes[::-1])}
    assert len(texts) == 5


def test_of_much_data_evenly_spaced_cells_are_read(counts: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fingerprint, "_MAX_VALUES", 12 * 14)
    assert len(row_hashes(counts)) == 14
    seen, unseen = counts.copy(), counts.copy()
    seen[3] += 1
    unseen[1] += 1
    assert fingerprint(seen) != fingerprint(counts)
    assert fingerprint(unseen) == fingerprint(counts)


@pytest.mark.parametrize("layout", [np.array, sparse.csr_matrix])
def test_of_data_on_disk_some_cells_are_read(tmp_path: Path, layout: Callable) -> None:
    counts = np.random.default_rng(0).poisson(1.5, (600, 5)).astype(np.float32)
    AnnData(layout(counts)).write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    hashes = row_hashes(backed.X)
    assert len(hashes) == 256
    np.testing.assert_array_equal(hashes, row_hashes(counts)[np.linspace(0, 599, 256).astype(int)])
    backed.file.close()


def test_values_of_columns_are_hashed_whatever_type_holds_them() -> None:
    text = pd.Series(["a", "b", "a"])
    for other in (text.astype("category"), text.astype(object), text.astype("string")):
        np.testing.assert_array_equal(column_hashes(other), column_hashes(text))
    number = pd.Series([1, 2, 1])
    for other in (number.astype(float), number.astype("Int64"), number.astype(np.int8)):
        np.testing.assert_array_equal(column_hashes(other), column_hashes(number))
    assert (column_hashes(text) != column_hashes(pd.Series(["a", "c", "b"]))).tolist() == [False, True, True]
