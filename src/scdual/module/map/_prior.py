"""What a prior network is worth to the data, and what it says about pairs and regulators.

Inside tensors row = target, column = regulator.

Dimension key
    G  genes      R  regulators      B  cells
"""

from collections.abc import Iterable

import torch

from scdual.module.map._moments import collect_moments
from scdual.module.map._settings import DEFAULT_SETTINGS, MapSettings
from scdual.module.map._values import MapCells, MapValues

_PENALTY = 1.0  # on activities of unit variance; the first value taken
_TINY = 1e-12


def prior_trust(weight: torch.Tensor, strength: torch.Tensor, *, settings: MapSettings = DEFAULT_SETTINGS) -> float:
    r"""Return how far the data bear out a prior network, from 0 (not at all) to below 1.

    .. math:: \tau = 1 - \frac{1}{\rho}

    where :math:`\rho \ge 1` is the mean squared weight of the prior's pairs over that of the other pairs
    :cite:p:`vandeWiel16`. Ten more pairs without an edge are counted among the prior's, so few edges need more support.

    If the prior names every pair, there is nothing to compare it with, and the trust is 0.

    Parameters
    ----------
    weight
        Weights that were learnt without the prior, shape ``(G, R)``; 0 where there is no pair, as of a gene with itself.
    strength
        Strength of the prior's edges, 0 for other pairs, shape ``(G, R)``.
    settings
        Tuned numbers.
    """
    is_pair = weight != 0
    is_other = is_pair & (strength == 0)
    if not is_other.any():
        return 0.0
    strength, square = strength * is_pair, weight.square()
    background = square[is_other].mean().clamp_min(_TINY)
    excess = (strength * (square / background - 1)).sum() / (strength.sum() + settings.doubtful_edges)
    return float((excess / (1 + excess)).clamp(0, settings.largest_trust))


def prior_reach(strength: torch.Tensor) -> torch.Tensor:
    r"""Return how many targets a prior network gives each regulator, relative to their mean, shape ``(R,)``.

    .. math:: r_i = 1 + \kappa \left(\frac{c_i}{\bar c} - 1\right), \qquad
        \kappa = \left(1 - \frac{\overline{\sum_j s_{ji}^2}}{\mathrm{var}(c)}\right)_+

    with the strengths s of the edges and their sum c over the targets of a regulator. Edges drawn at random would make
    c vary, too, as Poisson counts do; :math:`\kappa` is the share of the variance beyond that :cite:p:`Morris83`. Of a
    regulator without an edge the prior knows nothing: it has 1.

    Parameters
    ----------
    strength
        Strength of the prior's edges, 0 for other pairs, shape ``(G, R)``.
    """
    count, chance = strength.sum(0), strength.square().sum(0)  # (R,)
    is_known = count > 0
    reach = torch.ones_like(count)
    if is_known.sum() > 1:
        mean, variance = count[is_known].mean(), count[is_known].var()
        real = (1 - chance[is_known].mean() / variance.clamp_min(1e-12)).clamp_min(0)
        reach[is_known] = 1 + real * (count[is_known] / mean - 1)
    return reach


@torch.no_grad()
def prior_activity(
    values: MapValues, batches: Iterable[MapCells], weight: torch.Tensor, strength: torch.Tensor
) -> torch.Tensor:
    r"""Return how much a gene goes with the activity of a regulator, relative to the mean of all genes, ``(G, R)``.

    The activity of a regulator in a cell is the sum of the standardised values of its targets in a prior network, each times its
    strength and the sign of its weight, as the univariate linear model of decoupler has it up to scale :cite:p:`BadiaiMompel22`. Genes
    are regressed on the activities of all regulators, with a ridge penalty, free of covariates and depth; a target
    has no part in the activity that it is regressed on. The size of the coefficient tells of targets that the prior does not
    know, also where the regulator is too rare for its own counts to tell. A regulator without an edge that is a pair has 1.

    Parameters
    ----------
    values
        Values whose scale has been learnt.
    batches
        Minibatches of the cells; they are read once.
    weight
        Weights that were learnt without the prior, shape ``(G, R)``; 0 where there is no pair.
    strength
        Strength of the prior's edges, 0 for other pairs, shape ``(G, R)``.
    """
    loading = weight.sign() * strength  # (G, R)

    def view(log_expr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        standardised = values.scale.standardise(log_expr)
        return standardised @ loading, standardised

    moments = collect_moments(values, batches, view)
    gram, cross = moments.partial()
    variance = moments.variance().clamp_min(0)
    cross -= loading.T * variance  # of a target with itself
    of_regulator, of_gene = moments.varies()
    inverse_std = torch.where(of_regulator, gram.diagonal().clamp_min(_TINY).rsqrt(), 0.0)
    correlation = cross * inverse_std[:, None] * torch.where(of_gene, variance.clamp_min(_TINY).rsqrt(), 0.0)
    gram *= inverse_std * inverse_std[:, None]
    size = torch.linalg.solve(gram + _PENALTY * torch.eye(len(gram)).to(gram), correlation).abs()  # (R, G)
    mean = size.mean(1, keepdim=True)
    return torch.where(mean > _TINY, size / mean.clamp_min(_TINY), 1.0).T.to(weight.dtype)


def prior_factor(strength: torch.Tensor, trust: float, activity: torch.Tensor | float = 1.0) -> torch.Tensor:
    r"""Return by what a prior network multiplies the weights of a map, shape ``(G, R)``.

    .. math:: f_{ji} = (r_i a_{ji})^{\tau} \, (1 - \tau s_{ji})^{-1/2}

    with the trust :math:`\tau`, the reach r of the regulator and how much the gene goes with its activity, a. An edge of full strength is multiplied by
    :math:`\sqrt\rho`, by how much larger the prior's weights were found to be.

    Parameters
    ----------
    strength
        Strength of the prior's edges, 0 for other pairs, shape ``(G, R)``.
    trust
        How far the data bear the prior out, see :func:`prior_trust`.
    activity
        What :func:`prior_activity` returns.
    """
    return (prior_reach(strength) * activity) ** trust * (1 - trust * strength) ** -0.5
