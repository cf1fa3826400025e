"""A gene varies if two cells differ in its count, whatever minibatches they are in."""

import pytest
import torch

from scdual.module.map._count_range import CountRange
from scdual.module.map._values import MapCells

COUNTS = torch.tensor([[3.0, 0.0, 1.0, 2.0], [3.0, 0.0, 1.0, 2.0], [3.0, 0.0, 2.0, 0.0]])


@pytest.mark.parametrize("n_per_batch", [1, 2, 3])
def test_a_gene_varies_if_two_cells_differ_in_it(n_per_batch: int) -> None:
    batches = [MapCells(part, part[:, :0]) for part in COUNTS.split(n_per_batch)]
    counts = CountRange(torch.zeros(4))
    assert list(counts.passing(batches)) == batches
    assert counts.varies().tolist() == [False, False, True, True]


def test_nothing_varies_in_one_cell() -> None:
    counts = CountRange(torch.zeros(4))
    list(counts.passing([MapCells(COUNTS[:1], COUNTS[:1, :0])]))
    assert not counts.varies().any()
