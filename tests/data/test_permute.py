"""Permuted genes keep their values and nothing else."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from scdual.data._permute import permute_genes


@pytest.mark.parametrize("layout", [np.asarray, csr_matrix])
def test_each_gene_keeps_its_values_and_genes_lose_each_other(layout: type) -> None:
    rng = np.random.default_rng(0)
    one = rng.poisson(1.0, 400)
    counts = np.stack([one, one, rng.poisson(3.0, 400), np.zeros(400, int)], axis=1)
    given = layout(counts)
    permuted = permute_genes(given, np.random.default_rng(1)).toarray()
    np.testing.assert_array_equal(np.sort(permuted, axis=0), np.sort(counts, axis=0))
    assert abs(np.corrcoef(permuted[:, 0], permuted[:, 1])[0, 1]) < 0.2  # it was 1
    assert not np.array_equal(permuted[:, 2], counts[:, 2])
    np.testing.assert_array_equal(given.toarray() if isinstance(given, csr_matrix) else given, counts)


def test_every_order_is_as_likely() -> None:
    counts = np.array([[0], [1], [2]])
    rng = np.random.default_rng(0)
    orders = [tuple(permute_genes(counts, rng).toarray()[:, 0]) for _ in range(1200)]
    shares = [orders.count(order) / 1200 for order in set(orders)]
    assert len(shares) == 6
    assert max(abs(share - 1 / 6) for share in shares) < 0.05


def test_values_stay_in_their_group() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(3, size=300)
    counts = rng.poisson(1.0, (300, 2)) + 10 * groups[:, None]
    permuted = permute_genes(counts, rng, groups).toarray()
    assert not np.array_equal(permuted, counts)
    for group in range(3):
        inside = groups == group
        np.testing.assert_array_equal(np.sort(permuted[inside], axis=0), np.sort(counts[inside], axis=0))
