"""Covariates are coded column by column."""

import torch
from scvi import REGISTRY_KEYS

from scdual.module._covariates import covariate_columns, move_to_batch

TENSORS = {
    REGISTRY_KEYS.BATCH_KEY: torch.tensor([[1], [0]]),
    REGISTRY_KEYS.CAT_COVS_KEY: torch.tensor([[2, 0], [0, 1]]),
    REGISTRY_KEYS.CONT_COVS_KEY: torch.tensor([[0.5], [-2.0]]),
}


def test_columns_are_batch_then_categories_then_continuous() -> None:
    found = covariate_columns(TENSORS, n_batch=2, n_cats_per_cov=[3, 2])
    assert found.tolist() == [[0, 1, 0, 0, 1, 1, 0, 0.5], [1, 0, 1, 0, 0, 0, 1, -2.0]]


def test_only_the_batch_moves() -> None:
    before = covariate_columns(TENSORS, n_batch=2, n_cats_per_cov=[3, 2])
    found = move_to_batch(before, 0, n_batch=2)
    assert found[:, :2].tolist() == [[1, 0], [1, 0]]
    assert torch.equal(found[:, 2:], before[:, 2:])
    assert before[0, 1] == 1
