"""The area within a group agrees with a loop over scikit-learn, and no constant of a group changes it."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from scdual.grn import RegulatoryNetwork, score_network
from scdual.grn._auroc_within import auroc_within

N_REGULATORS, N_TARGETS = 9, 40


def by_loop(strength: np.ndarray, truth: np.ndarray, group: np.ndarray) -> float:
    members = [group == one for one in np.unique(group)]
    areas = [roc_auc_score(truth[own], strength[own]) for own in members if 0 < truth[own].sum() < own.sum()]
    return float(np.mean(areas))


@pytest.mark.parametrize("n_levels", [2, 5, 10_000], ids=lambda n: f"{n} levels")
def test_it_agrees_with_a_loop_whatever_the_ties(n_levels: int) -> None:
    rng = np.random.default_rng(0)
    strength = rng.integers(n_levels, size=600) / 7
    group, truth = rng.integers(20, size=600) * 3, rng.random(600) < 0.1  # some groups have no true edge
    truth[group == 6] = True
    assert auroc_within(strength, truth, group) == pytest.approx(by_loop(strength, truth, group), abs=1e-14)


def test_groups_with_nothing_to_rank_are_left_out() -> None:
    strength, truth = np.array([1.0, 2, 3, 4, 5, 6]), np.array([True, True, False, False, False, True])
    assert auroc_within(strength, truth, np.array([0, 0, 1, 1, 2, 2])) == 1
    assert math.isnan(auroc_within(strength, truth, np.array([0, 0, 1, 1, 2, 3])))


def network_and_truth() -> tuple[np.ndarray, list[str], list[str], np.ndarray]:
    rng = np.random.default_rng(1)
    regulators, targets = [f"r{i}" for i in range(N_REGULATORS)], [f"t{i}" for i in range(N_TARGETS)]
    return rng.integers(1, 64, (N_REGULATORS, N_TARGETS)) / 64, regulators, targets, rng.random((9, 40)) < 0.2


@pytest.mark.parametrize(("axis", "kept", "moved"), [(1, "regulator", "target"), (0, "target", "regulator")])
def test_a_constant_per_gene_does_not_change_the_area_within_it(axis: int, kept: str, moved: str) -> None:
    weight, regulators, targets, truth = network_and_truth()
    rows, columns = np.nonzero(truth)
    reference = pd.DataFrame({"source": np.take(regulators, rows), "target": np.take(targets, columns)})
    constant = np.expand_dims(np.random.default_rng(2).integers(0, 9, weight.shape[1 - axis]), axis)
    before, after = (
        score_network(RegulatoryNetwork(values, regulators, targets), reference)
        for values in (weight, weight + constant)
    )
    name = "auroc_within_{}".format
    assert getattr(after, name(kept)) == getattr(before, name(kept))
    assert getattr(after, name(moved)) != getattr(before, name(moved))
    assert after.auroc != before.auroc
