"""Covariates are coded column by column."""

import pytest
import torch
from scvi import REGISTRY_KEYS

from scdual.module._covariates import covariate_columns, move_to_batch

TENSORS = {
    REGISTRY_KEYS.BATCH_KEY: torch.tensor([[1], [0]]),
    REGISTRY_KEYS.CAT_COVS_KEY: torch.tensor([[2, 0], [0, 1]]),
    REGISTRY_KEYS.CONT_COVS_KEY: torch.tensor([[0.5], [-2.0]]),
}


def test_columns_are_batch_then_categories_then_continuous() -> None:
    found = covariate_columns(TENSORS, n_batch=2, n_cats_per_cov=[3, 2], n_continuous=1)
    assert found.tolist() == [[0, 1, 0, 0, 1, 1, 0, 0.5], [1, 0, 1, 0, 0, 0, 1, -2.0]]


def test_only_the_batch_moves() -> None:
    before = covariate_columns(TENSORS, n_batch=2, n_cats_per_cov=[3, 2], n_continuous=1)
    found = move_to_batch(before, 0, n_batch=2)
    assert found[:, :2].tolist() == [[1, 0], [1, 0]]
    assert torch.equal(found[:, 2:], before[:, 2:])
    assert before[0, 1] == 1


def test_a_minibatch_without_batches_is_of_one() -> None:
    counts = torch.ones(3, 4)
    for tensors in ({REGISTRY_KEYS.X_KEY: counts}, {REGISTRY_KEYS.X_KEY: counts, REGISTRY_KEYS.BATCH_KEY: None}):
        found = covariate_columns(tensors, n_batch=1, n_cats_per_cov=[], n_continuous=0)
        assert torch.equal(found, torch.ones(3, 1))


def test_covariates_and_codes_that_the_model_does_not_know() -> None:
    sizes = {"n_batch": 2, "n_cats_per_cov": [3, 2], "n_continuous": 1}
    with pytest.raises(ValueError, match="codes of batches beyond the 1 of the model"):
        covariate_columns(TENSORS, **(sizes | {"n_batch": 1}))
    with pytest.raises(ValueError, match="codes of categories beyond the 2"):
        covariate_columns(TENSORS, **(sizes | {"n_cats_per_cov": [2, 2]}))
    for other in ({"n_cats_per_cov": [3]}, {"n_continuous": 0}):
        with pytest.raises(ValueError, match="has 2 categorical and 1 continuous covariates, but the model"):
            covariate_columns(TENSORS, **(sizes | other))
