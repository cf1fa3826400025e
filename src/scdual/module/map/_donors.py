r"""Is a difference the same in donor after donor? Estimates of several donors, pooled and tested.

Dimension key
    K  estimates, one for each donor, or for each pair of samples of one donor      M  things that are estimated
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma
from scipy.stats import t

_N_ENTRIES = 50_000  # that variances between donors are fitted to; more do not change them
_TINY = 1e-12


class Difference(NamedTuple):
    """Differences with their tests, each ``(M,)``."""

    difference: np.ndarray
    se: np.ndarray
    statistic: np.ndarray  # difference over standard error
    p_value: np.ndarray


class _Pooled(NamedTuple):
    difference: np.ndarray  # (M,)
    variance: np.ndarray  # if donors spread as their weights say, (M,)
    spread: np.ndarray  # mean square of donors around their side, over that; (M,)


def cell_test(estimate: np.ndarray, variance: np.ndarray, n_cells: np.ndarray) -> Difference:
    """Return the difference of the second from the first of two estimates, each from cells of its own.

    The test is a t test with the degrees of freedom of two samples whose variances differ :cite:p:`Welch47`.

    Parameters
    ----------
    estimate, variance
        Estimates and their squared standard errors, each ``(2, M)``.
    n_cells
        Number of cells of each, at least 2, shape ``(2,)``.
    """
    variance = variance + _TINY**2
    difference, se = estimate[1] - estimate[0], np.sqrt(variance.sum(0))
    n_free = variance.sum(0) ** 2 / (variance**2 / (n_cells - 1)[:, None]).sum(0)
    return Difference(difference, se, difference / se, 2 * t.sf(np.abs(difference / se), n_free))


def donor_test(
    estimate: np.ndarray, variance: np.ndarray, side: np.ndarray, *, most_borrowed: float = np.inf
) -> Difference:
    r"""Return the difference of donors on side 1 from donors on side 0; if all are on side 1, from 0.

    A donor's estimate has its own error s and a share in what differs between donors. Estimates are weighted by
    :math:`1 / (s^2 + \tau^2)`, where :math:`\tau^2` is the variance between donors for which the mean of

    .. math:: Q = \frac{1}{d} \sum_k w_k (x_k - \bar x)^2

    over all things is 1 :cite:p:`Paule82`; :math:`\bar x` is the mean of the donor's side, d the number of donors less the number of
    sides. The variance of a difference is :math:`Q / \sum_k w_k`, summed over the sides :cite:p:`Hartung01`. A handful of
    donors tells Q badly, so it is moderated: towards that of all things, with as many degrees of freedom as these are
    alike :cite:p:`Smyth04`. It is never below 1 :cite:p:`Rover15`. The test is a t test with the degrees of freedom of both.
    What is the same in all donors, such as a gene that no cell expresses, does not tell how donors differ and is left out of
    :math:`\tau^2` and of what is borrowed.

    Parameters
    ----------
    estimate, variance
        Estimates and their squared standard errors, each ``(K, M)``.
    side
        Side of each donor, 0 or 1, shape ``(K,)``; at least one side has two donors.
    most_borrowed
        Largest number of degrees of freedom taken from the other things.
    """
    n_free = len(side) - len(np.unique(side))
    differs = np.ptp(estimate, axis=0) > _TINY
    told = differs if differs.any() else slice(None)
    between = _between(estimate[:, told], variance[:, told], side)
    pooled = _pooled(estimate, variance + between, side)
    borrowed, typical = _moderation(pooled.spread[told], n_free)
    borrowed = min(borrowed, most_borrowed)
    if np.isinf(borrowed):
        spread = np.full_like(pooled.spread, typical)
    else:
        spread = (borrowed * typical + n_free * pooled.spread) / (borrowed + n_free)
    se = np.sqrt(np.maximum(spread, 1) * pooled.variance)
    statistic = pooled.difference / se
    return Difference(pooled.difference, se, statistic, 2 * t.sf(np.abs(statistic), borrowed + n_free))


def _pooled(estimate: np.ndarray, variance: np.ndarray, side: np.ndarray) -> _Pooled:
    weight = 1 / (variance + _TINY)
    difference, total, spread = np.zeros((3, estimate.shape[1]))
    sides = np.unique(side)
    for one in sides:
        of_side, x = weight[side == one], estimate[side == one]
        mean = (of_side * x).sum(0) / of_side.sum(0)
        difference = difference + (mean if one == 1 else -mean)
        total = total + 1 / of_side.sum(0)
        spread = spread + (of_side * (x - mean) ** 2).sum(0)
    return _Pooled(difference, total, spread / (len(side) - len(sides)))


def _between(estimate: np.ndarray, variance: np.ndarray, side: np.ndarray) -> float:
    """Return the variance between donors, 0 if their errors explain how they differ."""
    some = np.linspace(0, estimate.shape[1] - 1, min(estimate.shape[1], _N_ENTRIES)).astype(int)
    estimate, variance = estimate[:, some], variance[:, some]

    def excess(between: float) -> float:
        return float(_pooled(estimate, variance + between, side).spread.mean() - 1)

    if excess(0.0) <= 0:
        return 0.0
    high = float(variance.mean()) + _TINY
    while excess(high) > 0:
        high *= 4
    return float(brentq(excess, 0.0, high))


def _moderation(spread: np.ndarray, n_free: int) -> tuple[float, float]:
    """Return how many degrees of freedom the typical spread is worth, and that spread :cite:p:`Smyth04`."""
    log_spread = np.log(np.maximum(spread, _TINY)) - digamma(n_free / 2) + np.log(n_free / 2)
    excess = log_spread.var(ddof=1) - polygamma(1, n_free / 2) if len(spread) > 1 else 0.0
    if excess <= _TINY:
        return np.inf, float(np.exp(log_spread.mean()))
    half = _trigamma_inverse(float(excess))
    return 2 * half, float(np.exp(log_spread.mean() + digamma(half) - np.log(half)))


def _trigamma_inverse(value: float) -> float:
    """Return x with trigamma(x) = value, which falls from infinity to 0."""
    return float(np.exp(brentq(lambda log_x: float(polygamma(1, np.exp(log_x))) - value, -30.0, 30.0)))
