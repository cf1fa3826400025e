"""How sure a network is of its edges.

Dimension key
    K  members of an ensemble      R  regulators (rows)      T  targets (columns)
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from scdual.grn._pair_values import as_numbers, check_shape, frozen, sealed

EVIDENCE_RANGE = {"sd": (0.0, math.inf), "support": (0.0, 1.0), "q_value": (0.0, 1.0), "n_cells": (0.0, math.inf)}


class EdgeEvidence(NamedTuple):
    """What is known about each pair of a regulator and a target beside its weight.

    Parameters
    ----------
    sd
        Standard deviation of the weight, shape ``(R, T)``: of its posterior, or with an ensemble over the members.
    support
        Probability that the sign is right, that is 1 - local false sign rate :cite:p:`Stephens17`; with an ensemble the
        share of the members, each learnt from a half of the cells, whose weight has the sign of the network's. Shape
        ``(R, T)``, between 0 and 1; 0 where there is no edge.
    q_value
        Smallest false discovery rate at which the edge is called, shape ``(R, T)``; 1 where there is no edge.
    n_cells
        Number of cells that express both genes, integers of shape ``(R, T)``.
    """

    sd: np.ndarray
    support: np.ndarray
    q_value: np.ndarray | None = None
    n_cells: np.ndarray | None = None

    def columns(self) -> dict[str, np.ndarray]:
        """Return by name what is there, in the order of the columns of a table."""
        return {name: values for name, values in self._asdict().items() if values is not None}

    def subset(self, row: np.ndarray, column: np.ndarray) -> "EdgeEvidence":
        """Return the evidence of these rows and columns."""
        return EdgeEvidence(**{name: sealed(values[np.ix_(row, column)]) for name, values in self.columns().items()})

    def frozen(self) -> "EdgeEvidence":
        """Return what is there as read-only arrays, in copies unless nobody can write to them."""
        return EdgeEvidence(**{name: frozen(values) for name, values in self.columns().items()})


def q_values(z: np.ndarray, is_edge: np.ndarray | None = None) -> np.ndarray:
    """Return the smallest false discovery rate at which each pair is called, by Benjamini and Hochberg :cite:p:`Benjamini95`.

    Parameters
    ----------
    z
        Estimates over their standard errors, of any shape; 0 where there is no pair, which has 1.
    is_edge
        Pairs that can be called, in the shape of ``z``; the others have 1, too, but count. None means all pairs.

    Raises
    ------
    TypeError
        If ``z`` is no array of numbers, or ``is_edge`` no mask.
    ValueError
        If the mask has another shape.
    """
    z = as_numbers("z", z)
    if is_edge is not None:
        check_shape("is_edge", is_edge, z.shape, advice="Pass one value per pair.")
        if np.asarray(is_edge).dtype != bool:
            msg = f"`is_edge` holds values of type {np.asarray(is_edge).dtype}, expected True or False. Compare with 0."
            raise TypeError(msg)
    is_pair = z != 0
    size = np.abs(z[is_pair], dtype=float)
    order = size.argsort()  # the largest p value first
    p_value = size[order]
    ndtr(np.negative(p_value, out=p_value), out=p_value)
    p_value *= 2 * len(order)
    p_value /= np.arange(len(order), 0, -1)
    np.minimum.accumulate(p_value, out=p_value)
    size[order] = np.minimum(p_value, 1, out=p_value)
    result = np.ones(z.shape)
    result[is_pair] = size
    if is_edge is not None:
        result[~np.asarray(is_edge)] = 1
    return sealed(result)


def check_evidence(evidence: EdgeEvidence, weight: np.ndarray) -> None:
    """Raise an error unless the evidence is one of these weights, ``(R, T)``; where there is no edge it may be nan.

    Raises
    ------
    TypeError
        If ``n_cells`` are no integers.
    ValueError
        If a shape differs, or a value of an edge is out of its range.
    """
    for name, values in evidence.columns().items():
        check_shape(name, values, weight.shape, advice="Pass one value per weight.")
        low, high = EVIDENCE_RANGE[name]
        values = np.asarray(values)
        if name == "n_cells" and values.dtype.kind not in "iu":
            msg = f"`n_cells` is of type {values.dtype}, expected integers. Convert it, e.g. with `astype(int)`."
            raise TypeError(msg)
        is_wrong = (weight != 0) & ~((values >= low) & (values <= high) & (values < math.inf))
        if is_wrong.any():
            msg = (
                f"{np.count_nonzero(is_wrong)} edges have a `{name}` that is not between {low:g} and {high:g}, "
                f"e.g. {values[is_wrong][0]}. Correct it, or pass the network without evidence."
            )
            raise ValueError(msg)


def edge_evidence(
    weight: np.ndarray, members: np.ndarray, null_strength: np.ndarray, *, strength: np.ndarray | None = None
) -> EdgeEvidence:
    """Return the evidence for each edge of a network.

    Parameters
    ----------
    weight
        Weights of the network, shape ``(R, T)``.
    members
        Weights of networks learnt from random halves of the cells, shape ``(K, R, T)``. The spread between halves is
        that between independent samples of the full size, as in the bootstrap :cite:p:`Buja06`.
    null_strength
        Strengths of a network learnt after permuting each gene's values over the cells, shape ``(R, T)``.
    strength
        Strengths of the network to compare with these, such as estimates over their standard errors, which rare and
        common genes share; 0 where there is no edge, shape ``(R, T)``. None takes the absolute weights.

    Raises
    ------
    ValueError
        If the shapes do not fit, there is one member only, or a weight is not finite.
    """
    weight, members, null_strength = np.asarray(weight), np.asarray(members), np.asarray(null_strength)
    if members.shape[1:] != weight.shape or null_strength.shape != weight.shape or len(members) < 2:
        msg = (
            f"`weight` has shape {weight.shape}, `members` {members.shape} and `null_strength` {null_strength.shape}, expected "
            "(R, T), (K, R, T) with K of 2 or more, and (R, T). Pass the same regulators and targets everywhere."
        )
        raise ValueError(msg)
    support = (np.sign(members) == np.sign(weight)).mean(axis=0) * (weight != 0)
    sd = members.std(axis=0, ddof=1)
    strength = np.abs(weight) if strength is None else strength
    return EdgeEvidence(sd, support, false_discovery_rate(strength, np.abs(null_strength)))


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
    TypeError
        If these are no arrays of numbers.
    ValueError
        If the numbers of pairs differ, or a strength is not finite.
    """
    strength, null_strength = as_numbers("strength", strength), as_numbers("null_strength", null_strength)
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
