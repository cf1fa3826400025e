"""How sure a network is of its edges.

Dimension key
    K  members of an ensemble      R  regulators (rows)      T  targets (columns)
"""

from typing import NamedTuple

import numpy as np


class EdgeEvidence(NamedTuple):
    """What an ensemble says about each pair of a regulator and a target.

    Parameters
    ----------
    sd
        Standard deviation of the weight over the members, shape ``(R, T)``.
    support
        Share of the members whose weight has the sign of the network's, shape ``(R, T)``; 0 where there is no edge.
    q_value
        Smallest false discovery rate at which the edge is called, shape ``(R, T)``; 1 where there is no edge.
    """

    sd: np.ndarray
    support: np.ndarray
    q_value: np.ndarray

    def subset(self, row: np.ndarray, column: np.ndarray) -> "EdgeEvidence":
        """Return the evidence of these rows and columns."""
        return EdgeEvidence(*(values[np.ix_(row, column)] for values in self))


def edge_evidence(weight: np.ndarray, members: np.ndarray, null_weight: np.ndarray) -> EdgeEvidence:
    """Return the evidence for each edge of a network.

    Parameters
    ----------
    weight
        Weights of the network, shape ``(R, T)``.
    members
        Weights of networks learnt from random halves of the cells, shape ``(K, R, T)``. The spread between halves is
        that between independent samples of the full size, as in the bootstrap :cite:p:`Buja06`.
    null_weight
        Weights of a network learnt after permuting each gene's values over the cells, shape ``(R, T)``.

    Raises
    ------
    ValueError
        If the shapes do not fit, there is one member only, or a weight is not finite.
    """
    weight, members, null_weight = np.asarray(weight), np.asarray(members), np.asarray(null_weight)
    if members.shape[1:] != weight.shape or null_weight.shape != weight.shape or len(members) < 2:
        msg = (
            f"`weight` has shape {weight.shape}, `members` {members.shape} and `null_weight` {null_weight.shape}, expected "
            "(R, T), (K, R, T) with K of 2 or more, and (R, T). Pass the same regulators and targets everywhere."
        )
        raise ValueError(msg)
    support = (np.sign(members) == np.sign(weight)).mean(axis=0) * (weight != 0)
    sd = members.std(axis=0, ddof=1)
    return EdgeEvidence(sd, support, false_discovery_rate(np.abs(weight), np.abs(null_weight)))


def false_discovery_rate(strength: np.ndarray, null_strength: np.ndarray) -> np.ndarray:
    r"""Return for each edge the estimated share of false ones among the edges that are at least as strong.

    .. math:: q(s) = \min_{t \le s} \; \min\left(1, \frac{1 + \#\{\mathrm{null} \ge t\}}{\#\{\mathrm{observed} \ge t\}}\right)

    As in the target-decoy strategy, permuted data stand for false edges; the 1 keeps the estimate from being too good
    where no null edge is that strong :cite:p:`Elias07,Barber15`.

    Parameters
    ----------
    strength
        Absolute weights of any shape.
    null_strength
        Absolute weights of as many pairs after permutation.

    Returns
    -------
    Values in (0, 1] in the shape of ``strength``; 1 where the strength is 0.

    Raises
    ------
    ValueError
        If the numbers of pairs differ, or a strength is not finite.
    """
    strength, null_strength = np.asarray(strength), np.asarray(null_strength)
    if not (np.isfinite(strength).all() and np.isfinite(null_strength).all()):
        msg = "Found strengths that are not finite, expected absolute weights. Replace missing weights by 0 (no edge)."
        raise ValueError(msg)
    if strength.size != null_strength.size:
        msg = f"Found {strength.size} strengths and {null_strength.size} of the null, expected as many. Compare the same pairs."
        raise ValueError(msg)
    observed, null = np.sort(strength, axis=None), np.sort(null_strength, axis=None)
    n_observed = len(observed) - np.searchsorted(observed, observed)  # as strong or stronger
    n_null = len(null) - np.searchsorted(null, observed)
    rate = np.minimum.accumulate(np.minimum(1.0, (1 + n_null) / n_observed))  # from weak to strong
    return np.where(strength > 0, rate[np.searchsorted(observed, strength)], 1.0)
