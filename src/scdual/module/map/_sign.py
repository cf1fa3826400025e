"""How sure the sign of an estimate is.

Inside tensors row = target, column = regulator.

Dimension key
    G  genes      R  regulators      K  components of a mixture
"""

import torch
from torch.distributions import Normal

from scdual.module.map._blocks import row_blocks

_N_MIXTURE_PAIRS = 50_000  # that the mixture is fitted to; more do not change its shares
_N_MIXTURE = 15  # components, as many as in ash's own grid for estimates of a thousandfold range
_N_EM_STEPS = 60  # the shares move by less than .001 after it
_TINY = 1e-30


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
    mixture = SignMixture(estimate, variance)
    right = torch.zeros_like(estimate)
    for rows in row_blocks(*estimate.shape):
        found = mixture.right(estimate[rows].double(), variance[rows].double())
        right[rows] = (found * (estimate[rows] != 0)).to(right.dtype)
    return right


class SignMixture:
    """A mixture of normals around 0 from which the truth behind estimates is drawn.

    Parameters
    ----------
    estimate
        Estimates, shape ``(G, R)``; 0 where there is no pair.
    variance
        Their squared standard errors, shape ``(G, R)``.
    """

    def __init__(self, estimate: torch.Tensor, variance: torch.Tensor) -> None:
        sample, sample_variance = evenly_spaced_pairs(estimate, variance)
        smallest, largest = sample_variance.median().sqrt() / 10, 2 * sample.abs().max()
        grid = torch.logspace(float(smallest.log10()), float(largest.log10()), _N_MIXTURE, dtype=torch.float64)
        self.grid = grid.square().to(estimate.device)  # variances of the components, (K,)
        self.shares = _mixture_shares(sample, sample_variance, self.grid)

    def right(self, estimate: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
        """Return the probability that each sign is right, shape ``(rows, R)``.

        Likelihoods are taken relative to the widest component, that of the largest estimates, so none overflows and their
        sum is never 0.
        """
        half_square, variance = estimate.square() / 2, variance + _TINY
        widest = (self.grid[-1] + variance).reciprocal_()
        right, total = torch.zeros_like(estimate), torch.zeros_like(estimate)
        for scale, share in zip(self.grid, self.shares.clamp_min(_TINY), strict=True):
            precision = (scale + variance).reciprocal_()
            likelihood = ((widest - precision).mul_(half_square)).exp_().mul_(precision.sqrt()).mul_(share)
            total += likelihood
            z = (half_square * precision).mul_(scale).div_(variance).sqrt_()  # posterior mean over sd, over root 2
            right += likelihood.mul_(torch.erf(z).add_(1))
        return right.div_(total.mul_(2))


def evenly_spaced_pairs(estimate: torch.Tensor, variance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return estimates and variances of pairs, evenly spaced among all, each ``(pairs,)``, in double precision."""
    n_pairs = int(torch.count_nonzero(estimate))
    wanted = torch.linspace(0, n_pairs - 1, min(n_pairs, _N_MIXTURE_PAIRS), dtype=torch.float64)
    wanted = wanted.to(estimate.device).long()
    parts, n_seen = [], 0
    for rows in row_blocks(*estimate.shape):
        own = estimate[rows].flatten()
        place = own.nonzero()[:, 0]
        chosen = place[wanted[(wanted >= n_seen) & (wanted < n_seen + len(place))] - n_seen]
        parts.append(torch.stack([own[chosen], variance[rows].flatten()[chosen]]).double())
        n_seen += len(place)
    sample, sample_variance = torch.cat(parts, dim=1)
    return sample, sample_variance


def _mixture_shares(sample: torch.Tensor, variance: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Return the share of each component, ``(K,)``, by the EM algorithm."""
    log_likelihood = Normal(0.0, (grid + variance[:, None]).sqrt()).log_prob(sample[:, None])  # (pairs, K)
    shares = torch.full_like(grid, 1 / len(grid))
    for _ in range(_N_EM_STEPS):
        shares = (log_likelihood + shares.clamp_min(_TINY).log()).softmax(1).mean(0)
    return shares
