"""The loss terms but the KL divergence, as pure functions.

Dimension key
    B  cells      G  genes      T  targets      R  regulators      L  labels      N  counts above zero      S  samples
"""

import torch
import torch.nn.functional as F
from scvi.distributions import NegativeBinomial, ZeroInflatedNegativeBinomial
from torch.distributions import Distribution

from scdual.nn import positions

_EPS = 1e-8  # in the logarithms, that of scvi-tools


def reconstruction_loss(counts: Distribution, x: torch.Tensor) -> torch.Tensor:
    r"""Return the negative log-likelihood of each cell, summed over genes.

    Of a negative binomial a processor computes the gamma functions where a count is neither 0 nor 1, because

    .. math::
        -\log p(x) = \theta \log\frac{\theta + \mu}{\theta} - x \log\frac{\mu}{\theta + \mu}
        - \log\frac{\Gamma(x + \theta)}{\Gamma(\theta) \, x!}

    is its first term at zero, and :math:`\Gamma(1 + \theta) = \theta \, \Gamma(\theta)`. Gradients are those of ``log_prob``.
    A graphics card computes them all, which takes fewer operations.

    Parameters
    ----------
    counts
        Distribution of the counts, batch shape ``(B, G)`` or ``(S, B, G)``.
    x
        Observed counts, shape ``(B, G)``.

    Returns
    -------
    Loss of each cell, shape ``(B,)`` or ``(S, B)``.
    """
    is_zero_inflated = isinstance(counts, ZeroInflatedNegativeBinomial)
    if x.device.type != "cpu" or is_zero_inflated or not isinstance(counts, NegativeBinomial):
        return -counts.log_prob(x).sum(-1)
    x, mean, theta = torch.broadcast_tensors(x, counts.mu, counts.theta)
    log_sum = (theta + mean + _EPS).log()
    at_zero = (theta * (log_sum - (theta + _EPS).log())).sum(-1)
    position = positions(x != 0)  # (N,)
    k, mean, theta, log_sum = (of_all.flatten().index_select(0, position) for of_all in (x, mean, theta, log_sum))
    other = positions(k != 1)  # counts that are neither 0 nor 1
    of_other, its_theta = k.index_select(0, other), theta.index_select(0, other)
    gammas = (of_other + its_theta).lgamma() - (1 + its_theta).lgamma() - (of_other + 1).lgamma()
    beyond = (k * ((mean + _EPS).log() - log_sum) + theta.log()).index_add(0, other, gammas)
    return at_zero.flatten().index_add(0, position // x.shape[-1], -beyond).view_as(at_zero)


def regulation_loss(prediction: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    r"""Return the mean squared error of each cell's targets, predicted from their regulators.

    .. math:: \ell_b = \frac{1}{T} \sum_j (\hat x_{bj} - \tilde x_{bj})^2

    Parameters
    ----------
    prediction
        Predicted standardised values, shape ``(B, T)``.
    truth
        Observed standardised values, shape ``(B, T)``.

    Returns
    -------
    Loss of each cell, shape ``(B,)``. It is near 1 when the regulators explain nothing.
    """
    return (prediction - truth).square().mean(-1)


def edge_sparsity(weight: torch.Tensor) -> torch.Tensor:
    r"""Return the summed strength of the edges into a target, averaged over targets: :math:`\sum_{ij} |w_{ij}| / T`.

    Parameters
    ----------
    weight
        Gated weights of target (row) on regulator (column), shape ``(T, R)``.
    """
    return weight.abs().sum(-1).mean()


def prior_disagreement(gate: torch.Tensor, strength: torch.Tensor, sign: torch.Tensor) -> torch.Tensor:
    r"""Return how far the gate contradicts the signs of the prior edges, 0 (nowhere) to 1 (fully), by their strength.

    An edge of known sign s costs :math:`\max(0, -s M)`; nothing pulls at an edge of the right sign.

    Parameters
    ----------
    gate
        Signed gate, shape ``(T, R)``.
    strength
        Prior strength, 0 where there is no prior edge, shape ``(T, R)``.
    sign
        Prior sign, 0 where it is unknown, shape ``(T, R)``.

    Returns
    -------
    A scalar; 0 when no edge is given.
    """
    return (strength * F.relu(-sign * gate)).sum() / (strength > 0).sum().clamp_min(1)


def classification_loss(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of the cells that have a label; 0 if none has.

    Parameters
    ----------
    logits
        Scores of the labels, shape ``(B, L)``.
    label
        Codes of the labels, shape ``(B,)``; a code of ``L`` or more stands for no label.
    """
    is_labelled = label < logits.shape[1]
    return F.cross_entropy(logits[is_labelled], label[is_labelled], reduction="sum") / is_labelled.sum().clamp_min(1)
