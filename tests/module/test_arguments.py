"""Arguments of module and plan that do not go together, or that one of them does not know."""

import inspect
from typing import Any

import pytest

from scdual.module import MODULE_CHECKS, PLAN_CHECKS, SCDualModule, SCDualTrainingPlan
from scdual.module._arguments import DATA_CHECKS


@pytest.mark.parametrize(("n_embed", "n_heads"), [(6, 2), (64, 3), (2, 2)])
def test_heads_share_the_embedding_and_its_half(n_embed: int, n_heads: int) -> None:
    with pytest.raises(ValueError, match=f"`n_embed` is {n_embed} with {n_heads} `n_heads`.*multiple of {2 * n_heads}"):
        SCDualModule(9, n_embed=n_embed, n_heads=n_heads)


def test_options_of_the_batch_embedding_need_one() -> None:
    options: dict[str, Any] = {"batch_embedding_kwargs": {"embedding_dim": 3}, "n_batch": 2}
    module = SCDualModule(9, batch_representation="embedding", **options)
    assert module.get_embedding("batch").embedding_dim == 3
    with pytest.raises(ValueError, match="no effect on a one-hot batch"):
        SCDualModule(9, **options)
    options["batch_embedding_kwargs"] = {"embedding_dims": 3}
    with pytest.raises(TypeError, match="no argument `embedding_dims`. Did you mean 'embedding_dim'"):
        SCDualModule(9, batch_representation="embedding", **options)


def test_checks_know_every_argument() -> None:
    of_module = set(inspect.signature(SCDualModule).parameters)
    assert of_module == {*MODULE_CHECKS, *DATA_CHECKS, "regulators", "prior_strength", "prior_sign", "n_cats_per_cov"}
    assert set(inspect.signature(SCDualTrainingPlan).parameters) == {*PLAN_CHECKS, "module"}


def test_defaults_pass() -> None:
    for kind, checks in ((SCDualModule, MODULE_CHECKS), (SCDualTrainingPlan, PLAN_CHECKS)):
        for name, check in checks.items():
            check(name, inspect.signature(kind).parameters[name].default)
