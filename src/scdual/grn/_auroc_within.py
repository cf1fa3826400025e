"""Rank the candidates of one regulator, or of one target, among themselves alone.

A method that only knows which regulators, or which targets, have many edges raises scores over all pairs. It cannot
raise the scores within a regulator, respectively within a target: a constant for all pairs of a group has no effect.
"""

import math

import numpy as np


def auroc_within(strength: np.ndarray, truth: np.ndarray, group: np.ndarray) -> float:
    """Return the mean over groups of the chance that a true edge is stronger than a false one, a tie counting half.

    Groups whose candidates are all true or all false have nothing to rank and are left out; nan if none is left.

    Parameters
    ----------
    strength
        Non-negative strengths, one per candidate.
    truth
        True for candidates in the reference.
    group
        Number of the regulator, or of the target, of each candidate, from 0.
    """
    levels, level = np.unique(strength, return_inverse=True)
    key, tie, size = np.unique(group.astype(np.int64) * len(levels) + level, return_inverse=True, return_counts=True)
    n_true = np.bincount(tie[truth], minlength=len(size))
    n_false = size - n_true
    owner = np.unique(key // len(levels), return_inverse=True)[1]  # the group of each run of ties, weakest first
    n_false_before = np.cumsum(n_false) - n_false
    n_weaker = n_false_before - n_false_before[np.searchsorted(owner, owner)]
    twice_won = np.bincount(owner, n_true * (2 * n_weaker + n_false))  # whole numbers, so that no order changes a digit
    n_pairs = np.bincount(owner, n_true) * np.bincount(owner, n_false)
    can_rank = n_pairs > 0
    if not can_rank.any():
        return float("nan")
    return math.fsum(twice_won[can_rank] / (2 * n_pairs[can_rank])) / int(can_rank.sum())
