"""How much a cell state is regularised follows the number of genes."""

import pytest

from scdual.module import SCDualModule, SCDualTrainingPlan


@pytest.mark.parametrize(("n_genes", "share"), [(50, 0.4), (400, 0.4), (600, 0.6), (1_000, 1.0), (30_000, 1.0)])
def test_few_genes_are_hidden_less_and_pulled_less(n_genes: int, share: float) -> None:
    module = SCDualModule(n_genes, regulators=[0, 1], n_embed=4, n_hidden=4, n_pool=2)
    assert module.cell_state.pooling.dropout_rate == pytest.approx(0.5 * share)
    plan = SCDualTrainingPlan(module)
    assert plan.max_kl_weight == pytest.approx(2 * share)


def test_what_is_given_is_taken() -> None:
    module = SCDualModule(50, regulators=[0, 1], n_embed=4, n_hidden=4, n_pool=2, dropout_rate=0.0)
    assert module.cell_state.pooling.dropout_rate == 0
    assert SCDualTrainingPlan(module, max_kl_weight=0.0).max_kl_weight == 0
