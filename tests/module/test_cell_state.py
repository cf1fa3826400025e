"""How much a cell state is regularised follows the number of genes and whether there are batches."""

from typing import Any

import pytest

from scdual.module import SCDualModule, SCDualTrainingPlan

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
