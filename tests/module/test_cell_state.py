"""How much a cell state is regularised follows the number of genes and whether there are batches."""

from typing import Any

import pytest
import torch

from scdual.module import SCDualModule, SCDualTrainingPlan
from scdual.module._cell_state import mean_shares
from scdual.module.map import MapCells

# genes, weight of the KL divergence, hidden genes
ONE_BATCH = [(50, 0.2, 0.1), (500, 0.2, 0.1), (750, 0.354, 0.1), (1_200, 0.716, 0.41), (1_500, 1, 1), (30_000, 1, 1)]
BATCHES = [(50, 0.4, 0.4), (400, 0.4, 0.4), (600, 0.6, 0.6), (1_000, 1, 1), (30_000, 1, 1)]
COVARIATES: list[dict[str, Any]] = [{"n_batch": 2}, {"n_cats_per_cov": [3]}, {"n_continuous_cov": 1}]


def build(n_genes: int, **kwargs: Any) -> SCDualModule:
    return SCDualModule(n_genes, regulators=[0, 1], n_embed=4, n_hidden=4, n_pool=2, **kwargs)


@pytest.mark.parametrize(
    ("n_genes", "kl", "hidden", "covariates"),
    [(*case, {}) for case in ONE_BATCH] + [(*case, covariates) for case in BATCHES for covariates in COVARIATES],
)
def test_few_genes_are_hidden_less_and_kled_less(
    n_genes: int, kl: float, hidden: float, covariates: dict[str, Any]
) -> None:
    module = build(n_genes, **covariates)
    assert module.cell_state.pooling.dropout_rate == pytest.approx(0.5 * hidden, rel=1e-2)
    assert SCDualTrainingPlan(module).max_kl_weight == pytest.approx(2 * kl, rel=1e-2)


def test_what_is_given_is_taken() -> None:
    module = build(50, dropout_rate=0.0)
    assert module.cell_state.pooling.dropout_rate == 0
    assert SCDualTrainingPlan(module, max_kl_weight=0.0).max_kl_weight == 0


def test_shares_of_genes_are_means_over_cells_and_a_few_that_are_like_all() -> None:
    counts = torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    batch = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    whole = MapCells(counts, batch, None)
    share, of_batches = mean_shares([whole], n_batch=2)
    expected = torch.tensor([3 / 4 + 1 / 2 + 1 / 3, 1 / 4 + 1 / 2 + 1 / 3, 1 / 3]) / 4
    torch.testing.assert_close(share, expected.double())
    first = (torch.tensor([3 / 4, 1 / 4, 0]) + 20 * expected) / 22
    second = (torch.tensor([1 / 2, 1 / 2, 0]) + 20 * expected) / 21
    torch.testing.assert_close(of_batches, torch.stack([first, second]).double())
    parts = [MapCells(counts[k : k + 1], batch[k : k + 1], None) for k in (2, 0, 1)]
    for found, other in zip(mean_shares(parts, n_batch=2), (share, of_batches), strict=True):
        torch.testing.assert_close(found, other)
