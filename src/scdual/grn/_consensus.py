"""A map and a correlation in one ranking.

Dimension key
    R  regulator genes (rows)      T  target genes (columns)
"""

from dataclasses import replace

import numpy as np

from scdual.grn._names import self_pairs
from scdual.grn._network import RegulatoryNetwork, check_network
from scdual.grn._pair_values import check_shape


def average_product_correction(weight: np.ndarray, pair_mask: np.ndarray) -> np.ndarray:
    r"""Return weights without what a regulator and a target share with everybody :cite:p:`Dunn08`, shape ``(R, T)``.

    .. math:: s_{ij} - \frac{\sum_j s_{ij} \sum_i s_{ij}}{\sum_{ij} s_{ij}}, \quad s = |w|

    The order of the result is what counts, so it is shifted to be positive and given the signs of the weights.

    Parameters
    ----------
    weight
        Signed weights, shape ``(R, T)``.
    pair_mask
        False where a gene meets itself, shape ``(R, T)``; these pairs do not count, and get 0.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if np.ndim(weight) != 2:
        msg = f"`weight` has shape {np.shape(weight)}, expected two dimensions, (R, T). Pass one value per pair."
        raise ValueError(msg)
    check_shape("pair_mask", pair_mask, np.shape(weight), advice="Pass one value per weight.")
    strength = np.abs(np.asarray(weight, dtype=np.float64)) * pair_mask  # sums in float32 would lose digits
    if not strength.any():
        return np.zeros_like(strength)
    corrected = strength - np.outer(strength.sum(1), strength.sum(0)) / strength.sum()
    lowest, highest = corrected[pair_mask].min(), corrected[pair_mask].max()
    shifted = corrected - lowest + 1e-6 * (highest - lowest)
    return np.where(weight < 0, -1, 1) * shifted * pair_mask


def consensus_network(network: RegulatoryNetwork, correlation: np.ndarray) -> RegulatoryNetwork:
    r"""Return the network with the geometric mean of its weights and a correlation, for ranking only.

    .. math:: \mathrm{sign}(w_{ij}) \sqrt{|w_{ij}| \, c_{ij}}

    with the correlation c after :func:`average_product_correction`. Methods that err in different ways err less together
    :cite:p:`Marbach12`. Signs are those of the network; the weights have no unit.

    Parameters
    ----------
    network
        A network.
    correlation
        Correlation of its regulators with its targets, shape ``(R, T)``; signs do not matter.

    Raises
    ------
    TypeError
        If ``network`` is no network.
    ValueError
        If the correlation has another shape or is not finite.
    """
    check_network(network)
    check_shape("correlation", correlation, network.weight.shape, advice="Pass that of the genes of this network.")
    if not np.isfinite(correlation).all():
        n_bad = np.size(correlation) - np.count_nonzero(np.isfinite(correlation))
        msg = (
            f"{n_bad} of {np.size(correlation)} values of `correlation` are not finite, expected none. "
            "Replace missing correlations by 0."
        )
        raise ValueError(msg)
    pair_mask = np.ones(network.weight.shape, dtype=bool)
    pair_mask[self_pairs(network.regulators, network.targets)] = False
    strength = np.abs(average_product_correction(correlation, pair_mask))
    weight = np.sign(network.weight) * np.sqrt(np.abs(network.weight) * strength)
    return replace(network, weight=weight, evidence=None)
