"""Minibatches reach the map with dense counts, whatever their layout, as often as they are asked for."""

import torch
from scvi import REGISTRY_KEYS

from scdual.module import SCDualModule
from scdual.module._minibatch import MapBatches, dense


def test_counts_become_strided_row_by_row() -> None:
    counts = torch.poisson(torch.full((4, 3), 2.0))
    for found in (counts, counts.to_sparse(), counts.T.contiguous().T):
        assert torch.equal(dense(found), counts)
        assert dense(found).is_contiguous()


def test_sparse_counts_and_covariates_reach_the_map() -> None:
    module = SCDualModule(3, n_batch=2, n_embed=4, n_hidden=4, n_pool=2, use_size_factor_key=True)
    counts, size_factor = torch.poisson(torch.full((4, 3), 2.0)), torch.rand(4, 1)
    tensors = {
        REGISTRY_KEYS.X_KEY: counts.to_sparse(),
        REGISTRY_KEYS.BATCH_KEY: torch.tensor([[0], [1], [1], [0]]),
        REGISTRY_KEYS.SIZE_FACTOR_KEY: size_factor,
    }
    found = module.map_cells(tensors)
    assert torch.equal(found.counts, counts)
    assert found.covariates.tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]
    assert torch.equal(found.size_factor, size_factor)
    module.use_size_factor_key = False
    assert module.map_cells(tensors).size_factor is None


def test_minibatches_are_read_anew_each_time() -> None:
    batches = MapBatches(lambda tensors: tensors["k"], [{"k": 1}, {"k": 2}])
    assert list(batches) == list(batches) == [1, 2]
