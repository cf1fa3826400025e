"""Minibatches reach the map with dense counts, whatever their layout, as often as they are asked for."""

import pytest
import torch
from scvi import REGISTRY_KEYS

from scdual.module import SCDualModule
from scdual.module._minibatch import MapBatches, check_minibatch, dense


def test_counts_become_strided_row_by_row() -> None:
    counts = torch.poisson(torch.full((4, 3), 2.0))
    for found in (counts, counts.to_sparse(), counts.T.contiguous().T):
        assert torch.equal(dense(found), counts)
        assert dense(found).is_contiguous()
    for kind in (torch.int64, torch.float64, torch.uint8):
        assert dense(counts.to(kind)).dtype == torch.float32
        assert torch.equal(dense(counts.to(kind)), counts)


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


def test_what_is_no_minibatch_of_the_model() -> None:
    counts, batch = torch.ones(4, 3), torch.zeros(4, 1)
    check_minibatch({"X": counts}, n_genes=3, n_batch=1)
    check_minibatch({"X": counts.to_sparse(), "batch": batch}, n_genes=3, n_batch=2)
    for wrong, said in (
        ({"X": counts}, r"holds \['X'\], expected .* of a datamodule pass `datamodule.inference_dataloader\(\)`"),
        ({"X": counts, "batch": None}, r"holds \['X', 'batch'\]"),
        ({"X": counts.numpy(), "batch": batch}, r".* expected a dictionary with the tensors 'X' and 'batch'"),
        ((counts, batch), "is of type tuple"),
        ({"X": counts[:, 1:], "batch": batch}, "has 2 genes, but the model 3"),
    ):
        with pytest.raises(ValueError, match=f"A minibatch {said}"):
            check_minibatch(wrong, n_genes=3, n_batch=2)
