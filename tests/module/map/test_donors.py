"""Tests of pooled donors agree with formulas and hold their rate where nothing differs."""

import numpy as np
import pytest
from scipy import stats

from scdual.module.map import cell_test, donor_test
from scdual.module.map._donors import _moderation


def test_cells_are_compared_by_their_errors() -> None:
    found = cell_test(np.array([[1.0, 2.0], [2.0, 2.0]]), np.array([[0.09, 1.0], [0.16, 1.0]]), np.array([50, 50]))
    np.testing.assert_allclose(found.difference, [1, 0])
    np.testing.assert_allclose(found.se, [0.5, np.sqrt(2)])


def test_means_of_cells_give_the_t_test_of_unequal_variances() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(20, 3)), rng.normal(1, 3, size=(45, 3))
    estimate = np.stack([first.mean(0), second.mean(0)])
    variance = np.stack([each.var(0, ddof=1) / len(each) for each in (first, second)])
    found = cell_test(estimate, variance, np.array([20, 45]))
    expected = stats.ttest_ind(second, first, equal_var=False)
    np.testing.assert_allclose(found.statistic, expected.statistic)
    np.testing.assert_allclose(found.p_value, expected.pvalue)


def test_donors_that_differ_alike_give_the_t_test_of_their_means() -> None:
    """One thing has nothing to borrow from; without errors of their own donors weigh the same."""
    x = np.array([[1.0], [3.0], [2.0], [6.0], [7.0], [9.0]])
    side = np.array([0, 0, 0, 1, 1, 1])
    found = donor_test(x, np.full(x.shape, 1e-9), side, most_borrowed=0)
    expected = stats.ttest_ind(x[3:, 0], x[:3, 0])
    np.testing.assert_allclose(found.statistic, expected.statistic, rtol=1e-6)
    np.testing.assert_allclose(found.p_value, expected.pvalue, rtol=1e-6)


def test_pairs_give_the_paired_t_test() -> None:
    change = np.array([[1.0], [2.0], [4.0], [1.5]])
    found = donor_test(change, np.full(change.shape, 1e-9), np.ones(4, dtype=int), most_borrowed=0)
    expected = stats.ttest_1samp(change[:, 0], 0)
    np.testing.assert_allclose(found.p_value, expected.pvalue, rtol=1e-6)


def test_donors_of_which_more_is_known_weigh_more() -> None:
    found = donor_test(np.array([[0.0], [3.0]]), np.array([[200.0], [100.0]]), np.ones(2, dtype=int))
    np.testing.assert_allclose(found.difference, 2.0)
    np.testing.assert_allclose(found.se, np.sqrt(1 / (1 / 200 + 1 / 100)))  # never less than the errors say


@pytest.mark.parametrize("design", ["paired", "unpaired"])
@pytest.mark.parametrize("n_donors", [2, 3, 6])
def test_rate_of_false_alarms_is_held(design: str, n_donors: int) -> None:
    rng = np.random.default_rng(n_donors)
    n, n_things = (n_donors, 4000) if design == "paired" else (2 * n_donors, 4000)
    variance = rng.uniform(0.5, 2.0, (n, n_things))
    x = rng.normal(size=(n, n_things)) * np.sqrt(variance + 1.5)  # donors differ beyond their errors
    side = np.ones(n, dtype=int) if design == "paired" else np.repeat([0, 1], n_donors)
    p = donor_test(x, variance, side).p_value
    assert 0.02 < (p < 0.05).mean() < 0.06
    assert (p < 0.001).mean() < 0.002


def test_what_is_borrowed_is_bounded() -> None:
    rng = np.random.default_rng(0)
    x, variance = rng.normal(size=(2, 50)), np.ones((2, 50))
    many = donor_test(x, variance, np.ones(2, dtype=int)).p_value
    few = donor_test(x, variance, np.ones(2, dtype=int), most_borrowed=3.0).p_value
    assert (few >= many - 1e-12).all()
    assert (few > many).any()


def test_what_no_donor_shows_does_not_matter_to_the_rest() -> None:
    """A gene that no cell expresses is the same in all donors; that is not an agreement of donors."""
    rng = np.random.default_rng(0)
    variance = rng.uniform(0.5, 2.0, (2, 40))
    x = 3 + rng.normal(size=variance.shape) * np.sqrt(variance + 1.0)
    silent = np.zeros((2, 10)) + [[0.0], [1e-16]]  # rounding aside
    alone = donor_test(x, variance, np.ones(2, dtype=int))
    beside = donor_test(np.hstack([x, silent]), np.hstack([variance, np.ones((2, 10))]), np.ones(2, dtype=int))
    for one, other in zip(alone, beside, strict=True):
        np.testing.assert_allclose(other[:40], one)
    np.testing.assert_allclose(beside.p_value[40:], 1)
    assert np.isfinite(donor_test(silent, np.ones((2, 10)), np.ones(2, dtype=int)).p_value).all()


@pytest.mark.parametrize("n_free", [1, 2, 5])
def test_what_is_borrowed_is_what_variances_were_drawn_with(n_free: int) -> None:
    """Variances that differ as 3 over a chi-square variable of 8 degrees, seen through `n_free` degrees, follow 3 F."""
    spread = 3 * stats.f.rvs(n_free, 8, size=1_000_000, random_state=0)
    borrowed, typical = _moderation(spread, n_free)
    assert borrowed == pytest.approx(8, rel=0.1)
    assert typical == pytest.approx(3, rel=0.02)


def test_variances_that_are_the_same_are_borrowed_whole() -> None:
    borrowed, _ = _moderation(2.0 * stats.chi2.rvs(4, size=50, random_state=3) ** 0, 4)
    assert np.isinf(borrowed)


def test_donors_share_what_they_have_in_common_with_their_errors() -> None:
    """Errors of two donors that spread less than these errors say: the error is what they say, and z becomes the statistic."""
    x, variance = np.array([[1.0, 2.0], [1.1, 2.1]]), np.array([[0.5, 0.2], [0.25, 0.3]])
    found = donor_test(x, variance, np.array([1, 1]))
    weight = 1 / variance
    np.testing.assert_allclose(found.difference, (weight * x).sum(0) / weight.sum(0))
    np.testing.assert_allclose(found.se, 1 / np.sqrt(weight.sum(0)))
    np.testing.assert_allclose(found.statistic, found.difference / found.se)


def test_spread_is_moderated_towards_the_typical_one() -> None:
    """Donors' errors explain how they differ on average, so nothing is added to them; single things differ more or less."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 500)) * rng.gamma(0.5, size=500)
    x *= np.sqrt(0.9 / x.var(axis=0, ddof=1).mean())
    own = x.var(axis=0, ddof=1)
    borrowed, typical = _moderation(own, 3)
    found = donor_test(x, np.ones(x.shape), np.ones(4, dtype=int))
    spread = (borrowed * typical + 3 * own) / (borrowed + 3)
    assert (spread > 1).sum() > 20
    np.testing.assert_allclose(found.se, np.sqrt(np.maximum(spread, 1) / 4), rtol=1e-6)
    np.testing.assert_allclose(found.p_value, 2 * stats.t.sf(np.abs(x.mean(0) / found.se), borrowed + 3), rtol=1e-5)
