"""A sample holds the same cells, whatever the order in which they come and the minibatches they come in.

Dimension key
    N  cells      G  genes      U  covariates
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scdual.module.map import MapCells, RegulationMap
from scdual.module.map._sample import CellSample, row_hashes
from scdual.module.map._settings import MapSettings

N, G, U = 600, 15, 3


@pytest.fixture
def cells() -> MapCells:
    """Cells that lie in a file one batch after the other, and differ between the batches."""
    batch = torch.arange(N) * U // N
    rate = torch.rand(U, G)[batch] * 5 + torch.rand(N, 1) * 3
    rate = (
        rate * (torch.randn(N, 1) * torch.randn(G)).exp()
    )  # what regulators share, in different cells to another degree
    return MapCells(torch.poisson(rate), F.one_hot(batch, U).float(), rate.sum(1, keepdim=True))


def split(cells: MapCells, n_per_batch: int, order: torch.Tensor | None = None) -> list[MapCells]:
    order = torch.arange(N) if order is None else order
    return [MapCells(*(part[rows] for part in cells)) for rows in order.split(n_per_batch)]


def sample_of(batches: list[MapCells], n_cells: int) -> MapCells:
    sample = CellSample(n_cells)
    for _ in sample.filled_by(batches):
        pass
    return MapCells(*(None if part[0] is None else torch.cat(part) for part in zip(*sample, strict=True)))


@pytest.mark.parametrize("n_cells", [37, N])
def test_the_order_of_genes_does_not_matter(cells: MapCells, n_cells: int) -> None:
    genes = torch.randperm(G)
    found = sample_of(split(cells._replace(counts=cells.counts[:, genes]), 64), n_cells)
    expected = sample_of(split(cells, 64), n_cells)
    assert torch.equal(found.counts, expected.counts[:, genes])
    assert torch.equal(found.size_factor, expected.size_factor)


@pytest.mark.parametrize("n_cells", [1, 37, N, 2 * N])
@pytest.mark.parametrize("n_per_batch", [1, 64, N])
def test_order_and_minibatches_do_not_matter(cells: MapCells, n_cells: int, n_per_batch: int) -> None:
    expected = sample_of(split(cells, 50), n_cells)
    found = sample_of(split(cells, n_per_batch, torch.randperm(N)), n_cells)
    assert len(found.counts) == min(n_cells, N)
    for part, of_expected in zip(found, expected, strict=True):
        assert torch.equal(part, of_expected)


def test_a_sample_is_of_cells_that_were_seen_and_represents_them(cells: MapCells) -> None:
    found = sample_of(split(cells, 50), 300)
    rows = {row.numpy().tobytes() for row in torch.cat(list(cells), dim=1)}
    assert {row.numpy().tobytes() for row in torch.cat(list(found), dim=1)} <= rows
    share = found.covariates.mean(0).numpy()
    np.testing.assert_allclose(share, 1 / U, atol=0.09)  # three standard errors
    np.testing.assert_allclose(found.counts.log1p().mean(0), cells.counts.log1p().mean(0), atol=0.2)


def test_hashes_of_like_cells_differ_and_spread(cells: MapCells) -> None:
    other = cells._replace(counts=cells.counts.clone())
    other.counts[:, 4] += 1
    both = torch.cat([row_hashes(cells), row_hashes(other), row_hashes(MapCells(*(part + 1 for part in cells)))])
    for hashes in both.T:
        assert len(hashes.unique()) == 3 * N
        assert abs(float((hashes > 0).double().mean()) - 0.5) < 0.06  # three standard errors
    moved = cells._replace(covariates=cells.covariates.flip(1))
    assert (row_hashes(moved) != row_hashes(cells))[: N // U].all()


def test_the_first_hash_does_not_know_the_genes_and_the_second_does(cells: MapCells) -> None:
    cells.counts[7] = torch.arange(G)
    moved = row_hashes(cells._replace(counts=cells.counts[:, torch.randperm(G)]))
    assert torch.equal(moved[:, 0], row_hashes(cells)[:, 0])
    assert moved[7, 1] != row_hashes(cells)[7, 1]


def test_cells_with_the_same_counts_in_other_genes_have_an_order_too(cells: MapCells) -> None:
    cells.counts[:] = torch.eye(G)[torch.randint(G, (N,))]
    size = cells._replace(size_factor=None)
    expected = sample_of([MapCells(size.counts, size.covariates)], 50)
    order = torch.randperm(N)
    found = sample_of([MapCells(size.counts[rows], size.covariates[rows]) for rows in order.split(64)], 50)
    for part, of_expected in zip(found[:2], expected[:2], strict=True):
        assert torch.equal(part, of_expected)


def test_cells_are_kept_only_while_they_are_read_for_the_first_time(cells: MapCells) -> None:
    sample = CellSample(10)
    batches = sample.filled_by(split(cells, 100))
    assert [len(each.counts) for each in batches] == [100] * 6
    first = [each.counts for each in sample]
    assert len(list(batches)) == 6
    assert sample.n_seen == N
    torch.testing.assert_close(first, [each.counts for each in sample])


@pytest.mark.parametrize("n_per_batch", [1, 17, 150, N])
def test_what_a_map_learns_from_a_part_of_the_cells_does_not_depend_on_their_order(
    cells: MapCells, n_per_batch: int
) -> None:
    few = MapSettings(moment_cells=200, pca_cells=100, pca_chunk=50, n_knot_cells=150, n_components=4)
    maps = []
    for batches in (split(cells, 100), split(cells, n_per_batch, torch.randperm(N))):
        torch.manual_seed(0)
        maps.append(RegulationMap(G, regulators=range(5), n_categories=[U], n_embed=8, settings=few))
        maps[-1].fit(batches)
    for (name, expected), found in zip(maps[0].state_dict().items(), maps[1].state_dict().values(), strict=True):
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-7), name


def test_what_a_map_learns_from_a_part_of_the_cells_does_not_depend_on_the_order_of_genes(cells: MapCells) -> None:
    few = MapSettings(moment_cells=200, pca_cells=100, pca_chunk=50, n_knot_cells=150, n_components=4)
    genes = torch.randperm(G)
    moved = cells._replace(counts=cells.counts[:, genes])
    found = []
    for given, regulators in ((cells, range(5)), (moved, [int((genes == i).nonzero()) for i in range(5)])):
        found.append(RegulationMap(G, regulators=regulators, n_categories=[U], n_embed=8, settings=few))
        found[-1].fit(split(given, 100))
    torch.testing.assert_close(found[1].known.weight, found[0].known.weight[genes], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found[1].known.sd, found[0].known.sd[genes], rtol=1e-3, atol=1e-4)
