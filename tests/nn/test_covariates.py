"""Effects of covariates equal a loop over categories and slopes."""

import torch
from torch import nn

from scdual.nn import CovariateEffects

B, N_OUT = 5, 4


def test_effects_equal_a_loop_over_covariates() -> None:
    effects = CovariateEffects(N_OUT, n_categories=[3, 2], n_continuous=2)
    for parameter in effects.parameters():
        nn.init.normal_(parameter)
    codes = torch.stack([torch.randint(3, (B,)), torch.randint(2, (B,))], dim=1)
    continuous = torch.randn(B, 2)
    columns = [nn.functional.one_hot(codes[:, k], n).float() for k, n in enumerate((3, 2))]
    found = effects(torch.cat([*columns, continuous], dim=1))
    assert effects.n_columns == 7
    for b in range(B):
        expected = effects.categorical[0][codes[b, 0]] + effects.categorical[1][codes[b, 1]]
        for m in range(2):
            expected = expected + continuous[b, m] * effects.continuous[m]
        torch.testing.assert_close(found[b], expected)


def test_effects_that_are_set_are_those_of_the_columns() -> None:
    effects, rows = CovariateEffects(N_OUT, n_categories=[3, 2], n_continuous=2), torch.randn(7, N_OUT)
    effects.set(rows)
    torch.testing.assert_close(effects(torch.eye(7)), rows)


def test_nothing_has_an_effect_at_the_start() -> None:
    effects = CovariateEffects(N_OUT, n_categories=[3], n_continuous=1)
    assert (effects(torch.randn(B, 4)) == 0).all()
