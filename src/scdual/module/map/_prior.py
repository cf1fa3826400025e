"""What a prior network is worth to the data, and what it says about pairs and regulators.

Inside tensors row = target, column = regulator.

Dimension key
    G  genes      R  regulators
"""

import torch

from scdual.module.map._settings import DEFAULT_SETTINGS, MapSettings


def prior_trust(weight: torch.Tensor, strength: torch.Tensor, *, settings: MapSettings = DEFAULT_SETTINGS) -> float:
    r"""Return how far the data bear out a prior network, from 0 (not at all) to below 1.

    .. math:: \tau = 1 - \frac{1}{\rho}

    where :math:`\rho \ge 1` is the mean squared weight of the prior's pairs over that of the other pairs
    :cite:p:`vandeWiel16`. Ten more pairs without an edge are counted among the prior's, so few edges need more support.

    Parameters
    ----------
    weight
        Weights that were learnt without the prior, shape ``(G, R)``.
    strength
        Strength of the prior's edges, 0 for other pairs, shape ``(G, R)``.
    settings
        Tuned numbers.
    """
    square = weight.square()
    background = square[strength == 0].mean().clamp_min(1e-12)
    excess = (strength * (square / background - 1)).sum() / (strength.sum() + settings.doubtful_edges)
    return float((excess / (1 + excess)).nan_to_num().clamp(0, settings.largest_trust))


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


def prior_factor(strength: torch.Tensor, trust: float) -> torch.Tensor:
    r"""Return by what a prior network multiplies the weights of a map, shape ``(G, R)``.

    .. math:: f_{ji} = r_i^{\tau} \, (1 - \tau s_{ji})^{-1/2}

    with the trust :math:`\tau` and the reach r of the regulator. An edge of full strength is multiplied by
    :math:`\sqrt\rho`, by how much larger the prior's weights were found to be.

    Parameters
    ----------
    strength
        Strength of the prior's edges, 0 for other pairs, shape ``(G, R)``.
    trust
        How far the data bear the prior out, see :func:`prior_trust`.
    """
    return prior_reach(strength) ** trust * (1 - trust * strength) ** -0.5
