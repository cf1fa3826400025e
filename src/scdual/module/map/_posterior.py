r"""What cells say about every pair: from estimates with standard errors to weights that share what genes have in common.

An estimate w of a pair with standard error s is taken as :math:`w \sim N(\beta, s^2)` and its truth as
:math:`\beta \sim N(0, \tau^2)` :cite:p:`Morris83`. How large the variance :math:`\tau^2` of a pair is, similar genes tell:
it grows with the part of the map that is of low rank.

Inside tensors row = target, column = regulator.

Dimension key
    G  genes      R  regulators
"""

from typing import NamedTuple

import torch
from torch import nn

from scdual.module.map._adaptive_ridge import adaptive_ridge
from scdual.module.map._blocks import row_blocks
from scdual.module.map._sign import SignMixture

_N_NEWTON_STEPS = 80  # far more than it takes
_TO_THE_LAST_DIGIT = 1e-14
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
    sparse: torch.Tensor | None = None,
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
    sparse
        Coefficients if few regulators decide a gene, shape ``(G, R)``: the mean of W and these takes the place of W, and
        the standard deviation tells how far apart they are.
    """
    found = Posterior(*(torch.zeros_like(estimate) for _ in Posterior._fields))
    if not estimate.any():
        return found
    mean_variance = excess_variance(estimate, variance)
    shared = _SharedPart(estimate, variance, mean_variance)
    signs = SignMixture(estimate, variance)
    for rows in row_blocks(*estimate.shape):
        own, noise = estimate[rows].double(), variance[rows].double()
        is_pair = own != 0
        shrunken = own * mean_variance / (mean_variance + noise + _TINY)
        size = shared.of(shrunken).abs()
        by_target = least_share + (1 - least_share) * size / size.mean(1, keepdim=True).clamp_min(_TINY)
        refit = adaptive_ridge(gram, cross[rows].double(), penalty / by_target, start=shrunken, is_pair=is_pair)
        apart = torch.zeros_like(refit) if sparse is None else (refit - sparse[rows]) / 2
        relative = (least_share + (1 - least_share) * size / shared.mean_size.clamp_min(_TINY)) / (
            least_share + (1 - least_share) * shared.mean_size / shared.mean_size.clamp_min(_TINY)
        )
        prior = mean_variance * relative
        share = prior / (prior + noise + _TINY) * is_pair
        right, mean = signs.right(own, noise), refit - apart
        found.weight[rows] = (share * mean).to(estimate.dtype)
        found.sd[rows] = (share * noise + (share * apart).square()).sqrt().to(estimate.dtype)
        found.support[rows] = (torch.where(mean.sign() == own.sign(), right, 1 - right) * is_pair).to(estimate.dtype)
        found.z[rows] = (own / (noise + _TINY).sqrt()).to(estimate.dtype)
    return found


def excess_variance(estimate: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    r"""Return the variance of the truth behind estimates, 0 if their errors explain them; zeros are no pairs.

    It is the :math:`\tau^2` for which the mean of :math:`w^2 / (\tau^2 + s^2)` is 1 :cite:p:`Paule82`. Pairs with large
    errors, of which rare genes have many, count little. The reciprocal of that mean is concave in :math:`\tau^2` and
    nearly straight, so Newton's steps rise to the answer, and few are enough :cite:p:`DerSimonian07`.

    Parameters
    ----------
    estimate
        Estimates w, shape ``(G, R)``.
    variance
        Their squared standard errors, shape ``(G, R)``.
    """
    found = torch.zeros((), dtype=torch.float64, device=estimate.device)
    for _ in range(_N_NEWTON_STEPS):
        mean, slope = _standardised_square(estimate, variance, found)
        if mean <= 1:
            break
        step = (mean - 1) * mean / slope
        found = found + step
        if step <= _TO_THE_LAST_DIGIT * found:
            break
    return found


def _standardised_square(
    estimate: torch.Tensor, variance: torch.Tensor, more: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean of squared estimates over their variances and ``more``, and how fast it falls with ``more``."""
    total, slope, n_pairs = torch.zeros_like(more), torch.zeros_like(more), 0
    for rows in row_blocks(*estimate.shape):
        own = estimate[rows].double()
        precision = (variance[rows].double() + _TINY + more).reciprocal_()
        n_pairs += int(torch.count_nonzero(own))
        square = own.square().mul_(precision)
        total += square.sum()
        slope += square.mul_(precision).sum()
    return total / max(n_pairs, 1), slope / max(n_pairs, 1)


class _SharedPart:
    r"""The part of low rank of shrunken estimates that stands out of the noise.

    Its rank is the number of singular values of the z values beyond :math:`\sqrt G + \sqrt R`, the largest one of noise
    alone :cite:p:`Marchenko67`, and at least 1.

    Parameters
    ----------
    estimate
        Estimates, shape ``(G, R)``; 0 where there is no pair.
    variance
        Their squared standard errors, shape ``(G, R)``.
    mean_variance
        Variance of the truth behind them.
    """

    def __init__(self, estimate: torch.Tensor, variance: torch.Tensor, mean_variance: torch.Tensor) -> None:
        n_regulators = estimate.shape[1]
        of_z = torch.zeros(n_regulators, n_regulators, dtype=torch.float64, device=estimate.device)
        of_weight = torch.zeros_like(of_z)
        for rows in row_blocks(*estimate.shape):
            own, noise = estimate[rows].double(), variance[rows].double() + _TINY
            z, shrunken = own / noise.sqrt(), own * mean_variance / (mean_variance + noise)
            of_z.addmm_(z.T, z)
            of_weight.addmm_(shrunken.T, shrunken)
        self.leading = leading_directions(of_z, of_weight, n_genes=len(estimate))  # (R, rank)
        total, n_pairs = torch.zeros_like(mean_variance), 0
        for rows in row_blocks(*estimate.shape):
            own = estimate[rows].double()
            is_pair = own != 0
            shrunken = own * mean_variance / (mean_variance + variance[rows].double() + _TINY)
            total += (self.of(shrunken).abs() * is_pair).sum()
            n_pairs += int(torch.count_nonzero(is_pair))
        self.mean_size = total / max(n_pairs, 1)  # over pairs

    def of(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the shared part of the weights of some genes, each ``(rows, R)``."""
        return weight @ self.leading @ self.leading.T


def leading_directions(of_z: torch.Tensor, of_weight: torch.Tensor, *, n_genes: int) -> torch.Tensor:
    """Return directions of regulators that hold what stands out of the noise, shape ``(R, rank)``.

    Parameters
    ----------
    of_z, of_weight
        Products of the z values, and of the weights, of the regulators over all genes, each ``(R, R)``.
    n_genes
        Number of genes ``G``.
    """
    largest_noise = n_genes**0.5 + len(of_z) ** 0.5
    rank = max(1, int((torch.linalg.eigvalsh(of_z).clamp_min(0).sqrt() > largest_noise).sum()))
    _, directions = torch.linalg.eigh(of_weight)  # the largest last
    return directions[:, -rank:]
