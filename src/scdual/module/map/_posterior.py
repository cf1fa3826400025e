r"""What cells say about every pair: from estimates with standard errors to weights that share what genes have in common.

An estimate w of a pair with standard error s is taken as :math:`w \sim N(\beta, s^2)` and its truth as
:math:`\beta \sim N(0, \tau^2)` :cite:p:`Morris83`. How large the variance :math:`\tau^2` of a pair is, similar genes tell:
it grows with the part of the map that is of low rank.

Inside tensors row = target, column = regulator.

Dimension key
    G  genes      R  regulators      K  components of a mixture
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.distributions import Normal

_N_MIXTURE_PAIRS = 50_000  # that the mixture is fitted to; more do not change its shares
_N_MIXTURE = 15  # components, as many as in ash's own grid for estimates of a thousandfold range
_N_EM_STEPS = 60  # the shares move by less than .001 after it
_N_BISECTIONS = 80  # to the last digit
_ROWS = 512  # targets at a time
_TINY = 1e-30


class Posterior(NamedTuple):
    """What is known about the weight of every pair, each ``(G, R)``; 0 where there is no pair."""

    weight: torch.Tensor  # posterior mean
    sd: torch.Tensor  # posterior standard deviation
    support: torch.Tensor  # probability that the sign of the weight is right
    z: torch.Tensor  # ridge estimate over its standard error, standard normal without regulation


class KnownPairs(nn.Module):
    """Keep with a map what is known about its pairs.

    Parameters
    ----------
    n_genes, n_regulators
        Numbers of genes ``G`` and regulators ``R``.
    """

    weight: torch.Tensor
    sd: torch.Tensor
    support: torch.Tensor
    z: torch.Tensor
    n_cells: torch.Tensor  # that express both genes
    is_known: torch.Tensor

    def __init__(self, n_genes: int, n_regulators: int) -> None:
        super().__init__()
        for name in Posterior._fields:
            self.register_buffer(name, torch.zeros(n_genes, n_regulators))
        self.register_buffer("n_cells", torch.zeros(n_genes, n_regulators, dtype=torch.int32))
        self.register_buffer("is_known", torch.zeros((), dtype=torch.bool))

    def set(self, posterior: Posterior, n_cells: torch.Tensor) -> None:
        """Keep a posterior, and how many cells express both genes of a pair, ``(G, R)``."""
        for name, values in posterior._asdict().items():
            self.get_buffer(name).copy_(values)
        self.n_cells.copy_(n_cells)
        self.is_known.fill_(True)

    def posterior(self) -> Posterior:
        """Return the posterior that is kept."""
        return Posterior(*(self.get_buffer(name) for name in Posterior._fields))


def posterior_map(
    estimate: torch.Tensor,
    variance: torch.Tensor,
    gram: torch.Tensor,
    cross: torch.Tensor,
    *,
    penalty: float,
    least_share: float,
) -> Posterior:
    r"""Return posterior mean, standard deviation and support of every pair.

    .. math::
        \tau_{ji}^2 \propto a + (1 - a) \, \frac{|L_{ji}|}{\mathrm{mean}_i |L_{ji}|}, \qquad
        W = \arg\min_W \sum_j \mathrm{mean}_b (y_{bj} - W_j v_b)^2 + \sum_{ji} \frac{\lambda}{\tau_{ji}^2} W_{ji}^2, \qquad
        I_{ji} = \frac{\tau_{ji}^2}{\tau_{ji}^2 + s_{ji}^2} W_{ji}

    with the low-rank part L of the shrunken estimates. Pairs that similar genes share are shrunk less, so a regulator of many
    similar targets keeps its credit, and it is not spread over all that go with it. The mean of
    :math:`\tau^2` over all pairs is that of the squared estimates beyond their errors: without regulation nothing is left.

    Parameters
    ----------
    estimate
        Ridge estimates, shape ``(G, R)``; 0 where there is no pair.
    variance
        Their squared standard errors, shape ``(G, R)``.
    gram, cross
        Mean products of the regulators ``(R, R)`` and of genes with regulators ``(G, R)``.
    penalty
        Penalty :math:`\lambda` of the estimates.
    least_share
        Share a of a pair's variance that is the same for all pairs.
    """
    is_pair = estimate != 0
    if not is_pair.any():
        return Posterior(*(torch.zeros_like(estimate) for _ in Posterior._fields))
    mean_variance = excess_variance(estimate, variance)
    shrunken = estimate * mean_variance / (mean_variance + variance + _TINY)
    z = estimate / (variance + _TINY).sqrt() * is_pair
    shared = shared_part(shrunken, z).abs()
    by_target = least_share + (1 - least_share) * shared / shared.mean(1, keepdim=True).clamp_min(_TINY)
    refit = adaptive_ridge(gram, cross, penalty / by_target, start=shrunken, is_pair=is_pair)
    relative = least_share + (1 - least_share) * shared / shared[is_pair].mean().clamp_min(_TINY)
    prior = mean_variance * relative / relative[is_pair].mean()
    share = prior / (prior + variance + _TINY) * is_pair
    right = sign_probability(estimate, variance)
    support = torch.where(refit.sign() == estimate.sign(), right, 1 - right) * is_pair
    return Posterior(share * refit, (share * variance).sqrt(), support, z)


def excess_variance(estimate: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    r"""Return the variance of the truth behind estimates, 0 if their errors explain them; zeros are no pairs.

    It is the :math:`\tau^2` for which the mean of :math:`w^2 / (\tau^2 + s^2)` is 1 :cite:p:`Paule82`. Pairs with large
    errors, of which rare genes have many, count little.

    Parameters
    ----------
    estimate
        Estimates w, shape ``(G, R)``.
    variance
        Their squared standard errors, shape ``(G, R)``.
    """
    is_pair = estimate != 0
    square, variance = estimate[is_pair].square(), variance[is_pair] + _TINY
    low, high = torch.zeros_like(square[:1].sum()), 2 * square.mean() + (square / variance).mean() * variance.max()
    if (square / variance).mean() <= 1:
        return low
    for _ in range(_N_BISECTIONS):
        middle = (low + high) / 2
        is_low = (square / (middle + variance)).mean() > 1
        low, high = torch.where(is_low, middle, low), torch.where(is_low, high, middle)
    return (low + high) / 2


def shared_part(weight: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    r"""Return the part of low rank that stands out of the noise, shape ``(G, R)``.

    Its rank is the number of singular values of the z values beyond :math:`\sqrt G + \sqrt R`, the largest one of noise
    alone :cite:p:`Marchenko67`, and at least 1.

    Parameters
    ----------
    weight
        Weights, shape ``(G, R)``.
    z
        Estimates over their standard errors, shape ``(G, R)``.
    """
    largest_noise = sum(size**0.5 for size in z.shape)
    rank = max(1, int((torch.linalg.eigvalsh(z.T @ z).clamp_min(0).sqrt() > largest_noise).sum()))
    _, directions = torch.linalg.eigh(weight.T @ weight)  # the largest last
    leading = directions[:, -rank:]
    return weight @ leading @ leading.T


def adaptive_ridge(
    gram: torch.Tensor,
    cross: torch.Tensor,
    penalty: torch.Tensor,
    *,
    start: torch.Tensor,
    is_pair: torch.Tensor,
    tolerance: float = 1e-4,
    max_steps: int = 100,
) -> torch.Tensor:
    """Return ridge coefficients with a penalty for each pair, shape ``(G, R)``, by conjugate gradients for all genes at once.

    Parameters
    ----------
    gram, cross
        Mean products of the regulators ``(R, R)`` and of genes with regulators ``(G, R)``.
    penalty
        Penalties, positive, shape ``(G, R)``.
    start
        Where to begin, shape ``(G, R)``.
    is_pair
        False for coefficients that are zero, shape ``(G, R)``.
    tolerance
        Size of the last residual, relative to that of the right side.
    max_steps
        Steps after which to stop at the latest.
    """
    diagonal = gram.diagonal() + penalty

    def apply(weight: torch.Tensor) -> torch.Tensor:
        return (weight @ gram + penalty * weight) * is_pair

    weight = start * is_pair
    residual = cross * is_pair - apply(weight)
    direction = residual / diagonal
    square = (residual * direction).sum(1, keepdim=True)
    goal = tolerance**2 * ((cross * is_pair).square() / diagonal).sum(1, keepdim=True)
    for _ in range(max_steps):
        if (square <= goal).all():
            break
        image = apply(direction)
        step = square / (direction * image).sum(1, keepdim=True).clamp_min(_TINY)
        weight = weight + step * direction
        residual = residual - step * image
        scaled = residual / diagonal
        new_square = (residual * scaled).sum(1, keepdim=True)
        direction = scaled + new_square / square.clamp_min(_TINY) * direction
        square = new_square
    return weight


def sign_probability(estimate: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """Return the probability that the sign of each estimate is right: 1 - its local false sign rate, shape ``(G, R)``.

    The truth is drawn from a mixture of normals around 0 whose shares the estimates decide :cite:p:`Stephens17`, so many
    weak and few strong effects are as welcome as effects of one size.

    Parameters
    ----------
    estimate
        Estimates, shape ``(G, R)``; 0 where there is no pair, which has 0.
    variance
        Their squared standard errors, shape ``(G, R)``.
    """
    is_pair = estimate != 0
    chosen = is_pair.flatten().nonzero()[:, 0]
    chosen = chosen[torch.linspace(0, len(chosen) - 1, min(len(chosen), _N_MIXTURE_PAIRS), device=chosen.device).long()]
    sample, sample_variance = estimate.flatten()[chosen], variance.flatten()[chosen]
    smallest, largest = sample_variance.median().sqrt() / 10, 2 * sample.abs().max()
    grid = torch.logspace(float(smallest.log10()), float(largest.log10()), _N_MIXTURE, dtype=torch.float64).square()
    grid = grid.to(estimate.device)
    shares = _mixture_shares(sample, sample_variance, grid)
    right = torch.zeros_like(estimate)
    for rows in torch.arange(len(estimate), device=estimate.device).split(_ROWS):
        right[rows] = _right(estimate[rows], variance[rows], grid, shares)
    return right * is_pair


def _mixture_shares(sample: torch.Tensor, variance: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Return the share of each component, ``(K,)``, by the EM algorithm."""
    log_likelihood = Normal(0.0, (grid + variance[:, None]).sqrt()).log_prob(sample[:, None])  # (pairs, K)
    shares = torch.full_like(grid, 1 / len(grid))
    for _ in range(_N_EM_STEPS):
        shares = (log_likelihood + shares.clamp_min(_TINY).log()).softmax(1).mean(0)
    return shares


def _right(estimate: torch.Tensor, variance: torch.Tensor, grid: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    estimate, variance = estimate[..., None], variance[..., None] + _TINY
    total = grid + variance  # (rows, R, K)
    responsibility = (Normal(0.0, total.sqrt()).log_prob(estimate) + shares.clamp_min(_TINY).log()).softmax(-1)
    z = estimate.abs() * (grid / (total * variance)).sqrt()  # posterior mean over posterior standard deviation
    return (responsibility * torch.special.ndtr(z)).sum(-1)
