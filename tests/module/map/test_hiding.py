"""Hiding draws the shares it promises, and showing regulators with probability p is a ridge penalty.

Dimension key
    N  cells      G  genes      R  regulators
"""

import math
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, Ridge

from scdual.module.map import Hiding

G, R = 40, 12


def build_hiding(visible_share: float | None, *, target_share: float = 0.3) -> Hiding:
    return Hiding(G, R, target_share=target_share, visible_share=visible_share)


# ---- penalty ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_hiding_amounts_to_the_ridge_penalty(share: float) -> None:
    """Least squares over all masks, each as often as it is drawn, is the ridge solution divided by the share."""
    rng, n_cells, n_regulators = np.random.default_rng(0), 200, 5
    values = rng.normal(size=(n_cells, n_regulators)) + rng.normal(size=(n_cells, 1))
    values = (values - values.mean(0)) / values.std(0)
    truth = values @ rng.normal(size=n_regulators) + rng.normal(size=n_cells)
    masks = np.array(list(product((0, 1), repeat=n_regulators)))
    often = share ** masks.sum(1) * (1 - share) ** (1 - masks).sum(1)
    shown = (values[:, None] * masks).reshape(-1, n_regulators)  # every cell with every mask
    sample_weight = np.tile(often, n_cells)
    fit = LinearRegression(fit_intercept=False).fit(shown, truth.repeat(len(masks)), sample_weight)
    penalty = build_hiding(share).penalty
    expected = Ridge(alpha=n_cells * penalty, fit_intercept=False).fit(values, truth).coef_
    np.testing.assert_allclose(fit.coef_, expected / share, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("share", "expected"), [(1.0, 0.0), (0.5, 1.0), (0.2, 4.0)])
def test_penalty_follows_the_share(share: float, expected: float) -> None:
    assert build_hiding(share).penalty == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shared", [0.0, 0.7, 30.0])
@pytest.mark.parametrize("n_regulators", [1, 12, 500])
def test_penalty_grows_with_what_regulators_share_and_with_their_number(shared: float, n_regulators: int) -> None:
    hiding = Hiding(G, n_regulators, target_share=0.3, visible_share=None)
    hiding.adapt(shared)
    assert hiding.penalty == pytest.approx(0.3 + shared + n_regulators / 100, rel=1e-5)


@pytest.mark.parametrize("n_copies", [1, 10])
@pytest.mark.parametrize("n_signals", [1, 3000])
def test_about_one_of_those_that_tell_the_same_is_visible_and_at_most_a_hundred(n_copies: int, n_signals: int) -> None:
    hiding = Hiding(G, n_copies * n_signals, target_share=0.3, visible_share=None)
    hiding.adapt(n_copies - 1.0)
    if n_signals == 1:
        assert 0.7 < float(hiding.visible_share) * n_copies < 1
    else:
        assert 90 < float(hiding.visible_share) * n_copies * n_signals < 100


def test_a_given_share_is_not_adapted() -> None:
    hiding = build_hiding(0.3)
    hiding.adapt(5.0)
    assert float(hiding.visible_share) == pytest.approx(0.3)


def test_an_adapted_share_is_saved_and_loaded() -> None:
    hiding, other = build_hiding(None), build_hiding(None)
    hiding.adapt(2.0)
    other.load_state_dict(hiding.state_dict())
    assert other.penalty == hiding.penalty


# ---- choices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.6, 1.0])
def test_draws_show_the_share_of_regulators_in_each_cell_anew(share: float) -> None:
    mask = build_hiding(share).draw(4000).visible_mask.float()
    assert mask.shape == (4000, R)
    torch.testing.assert_close(mask.mean(0), torch.full((R,), share), rtol=0, atol=0.04)
    var = R * share * (1 - share)  # of a binomial: regulators are drawn independently
    torch.testing.assert_close(mask.sum(1).var().item(), var, rtol=0.1, atol=1e-6)


@pytest.mark.parametrize(("share", "n_targets"), [(0.001, 1), (0.3, 12), (1.0, G)])
def test_draws_take_the_share_of_targets_without_repeats(share: float, n_targets: int) -> None:
    hiding = build_hiding(0.5, target_share=share)
    targets = [hiding.draw(1).target.tolist() for _ in range(300)]
    assert all(len(target) == len(set(target)) == n_targets for target in targets)
    assert {gene for target in targets for gene in target} <= set(range(G))
    assert len({gene for target in targets for gene in target}) > 0.9 * G


def test_draws_differ_and_follow_the_seed() -> None:
    hiding, draws = build_hiding(0.5), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(hiding.draw(50))
    for part in range(2):
        assert torch.equal(draws[0][part], draws[1][part])
        assert not torch.equal(draws[0][part], draws[2][part])


@pytest.mark.parametrize("share", [0.01, 0.2, 0.3, 0.5, 0.7, 1.0])
def test_fixed_choice_shows_the_trained_shares_evenly_spaced(share: float) -> None:
    target, visible = build_hiding(share, target_share=share).fixed()
    assert visible.shape == (1, R)
    for places, n in ((target, G), (visible[0].nonzero()[:, 0], R)):
        assert places[0] == 0
        assert len(places) == math.ceil(n * share - 1e-3)
        assert all(math.floor(1 / share) <= gap <= math.ceil(1 / share) for gap in places.diff().tolist())


def test_fixed_choice_is_always_the_same_and_follows_an_adapted_share() -> None:
    hiding = build_hiding(None)
    hiding.adapt(0.0)
    first, second = hiding.fixed(), hiding.fixed()
    assert torch.equal(first.target, second.target)
    assert torch.equal(first.visible_mask, second.visible_mask)
    assert first.visible_mask.sum() == math.ceil(R * float(hiding.visible_share))
