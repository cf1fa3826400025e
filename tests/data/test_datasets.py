import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from scipy.sparse import csr_matrix

from scdual import datasets


@pytest.fixture(scope="module")
def pbmc() -> AnnData:
    return datasets.pbmc68k()


@pytest.fixture(scope="module")
def packaged() -> AnnData:
    return sc.datasets.pbmc68k_reduced()


def test_pbmc68k_holds_integer_counts_with_names_and_labels(pbmc: AnnData, packaged: AnnData) -> None:
    assert pbmc.shape == (700, 765)
    assert isinstance(pbmc.X, csr_matrix)
    assert pbmc.X.dtype == np.float32
    assert pbmc.X.data.min() == 1
    np.testing.assert_array_equal(pbmc.X.data, np.rint(pbmc.X.data))
    assert list(pbmc.var_names) == list(packaged.raw.var_names)
    assert list(pbmc.obs_names) == list(packaged.obs_names)
    assert pbmc.obs["bulk_labels"].cat.categories.size == 10
    assert {"bulk_labels", "louvain", "phase", "n_counts"} <= set(pbmc.obs)
    assert (pbmc.obs["n_counts"] > pbmc.X.sum(axis=1).A1).all()


def test_normalising_the_counts_gives_the_packaged_values(pbmc: AnnData, packaged: AnnData) -> None:
    library_size = pbmc.obs["n_counts"].to_numpy(np.float64)[:, None]
    normalised = np.log1p(1e4 * pbmc.X.toarray().astype(np.float64) / library_size)
    np.testing.assert_allclose(normalised, packaged.raw.X.toarray(), rtol=0, atol=5.1e-4)


def test_one_molecule_is_the_smallest_value_of_each_cell(pbmc: AnnData, packaged: AnnData) -> None:
    value = np.expm1(packaged.raw.X.toarray().astype(np.float64))
    molecule = np.array([row[row > 0].min() for row in value])
    np.testing.assert_array_equal(pbmc.X.toarray(), np.rint(value / molecule[:, None]))


def test_rounding_to_integers_changes_little(pbmc: AnnData, packaged: AnnData) -> None:
    library_size = pbmc.obs["n_counts"].to_numpy(np.float64)[:, None]
    solution = np.expm1(packaged.raw.X.toarray().astype(np.float64)) * library_size / 1e4
    counts = pbmc.X.toarray()
    residual = np.abs(solution - counts)
    assert residual[counts < 10].max() < 0.005
    assert residual.max() < 0.082
    assert (residual / np.maximum(counts, 1)).max() < 8e-4


def test_each_call_returns_a_fresh_equal_object(pbmc: AnnData) -> None:
    again = datasets.pbmc68k()
    np.testing.assert_array_equal(again.X.toarray(), pbmc.X.toarray())
    again.X.data[:] = 0
    again.obs["bulk_labels"] = "changed"
    assert datasets.pbmc68k().X.sum() == pbmc.X.sum() > 0
    assert pbmc.obs["bulk_labels"].nunique() == 10
