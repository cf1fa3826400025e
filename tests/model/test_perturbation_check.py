"""Observed changes and baselines agree with independent answers.

Dimension key
    N  cells      G  genes
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu, norm
from sklearn.linear_model import LinearRegression

from scdual.model._perturbation_check import (
    PerturbationCheck,
    baselines,
    moved_genes,
    observed_changes,
    ridge_slopes,
    score_changes,
)

N, G = 240, 8
GENES = pd.Index([f"G{i}" for i in range(G)])


@pytest.fixture
def log_expr() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.log1p(rng.poisson(2, size=(N, G))).astype(np.float32)


def test_changes_are_those_within_batches_weighted_by_perturbed_cells(log_expr: np.ndarray) -> None:
    condition = np.array((["none"] * 60 + ["G1"] * 40 + ["G2"] * 15 + ["G3"] * 5) * 2)
    batch = np.repeat([0, 1], 120)
    condition[120:160] = "G2"  # the second batch has few control cells and many of G2
    log_expr[batch == 1] += 1
    log_expr[condition == "G1", 4] += 0.5
    change, score, n_cells = observed_changes(log_expr, condition, batch, GENES, ["G1", "G2", "G3"], "none")
    assert list(change.index) == ["G1", "G2"]
    assert n_cells.to_dict() == {"G1": 80, "G2": 70}
    difference, z = np.zeros(G), np.zeros(G)
    for name in (0, 1):
        ko, control = (log_expr[(batch == name) & (condition == each)] for each in ("G2", "none"))
        difference += len(ko) * (ko.mean(0) - control.mean(0)) / 70
        test = mannwhitneyu(ko, control, use_continuity=False, method="asymptotic")
        sign = np.sign(test.statistic - len(ko) * len(control) / 2)
        z += np.sqrt(len(ko)) * sign * norm.isf(test.pvalue / 2) / np.sqrt(70)
    np.testing.assert_allclose(change.loc["G2"], difference, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(score.loc["G2"], z, rtol=1e-3, atol=1e-4)
    assert change.at["G1", "G4"] == pytest.approx(0.5, abs=0.15)
    moved = moved_genes(score)
    assert moved.at["G1", "G4"]
    assert moved.to_numpy().sum() == 1


def test_the_perturbed_gene_does_not_count_as_moved() -> None:
    score = pd.DataFrame(0.0, index=["G1"], columns=GENES)
    score[["G1", "G2"]] = 9.0
    assert moved_genes(score).columns[moved_genes(score).loc["G1"]].tolist() == ["G2"]


def test_baselines_agree_with_regressions(log_expr: np.ndarray) -> None:
    values = log_expr.astype(float)
    values[:, 5] += values[:, 2]
    found = baselines(values, np.array([2, 6]), {6: -1.0, 2: -0.5})
    slope = np.polyfit(values[:, 2], values[:, 5], 1)[0]
    assert found["correlation"][1, 5] == pytest.approx(-0.5 * slope)
    assert found["correlation"][1, 2] == pytest.approx(-0.5)
    assert not found["no change"].any()
    mean = values.mean(0)
    np.testing.assert_allclose(found["target mean"][0], -mean / mean[6])
    both = LinearRegression().fit(values[:, [2, 6]], values[:, 5]).coef_
    assert found["ridge"][1, 5] == pytest.approx(-0.5 * both[0], rel=0.1)
    assert found["ridge"][1, 2] == 0


def test_ridge_takes_any_set_of_regulators(log_expr: np.ndarray) -> None:
    centred = log_expr - log_expr.mean(0)
    for regulators in (np.arange(G), np.array([3])):
        slopes = ridge_slopes(centred, regulators)
        assert slopes.shape == (len(regulators), G)
        assert not slopes[np.arange(len(regulators)), regulators].any()
        assert np.isfinite(slopes).all()


def test_scores_of_a_perfect_a_wrong_and_a_silent_method() -> None:
    observed = pd.DataFrame([[-2.0, 0.5, -0.2, 0.1, 0.0, 0.3, -0.4, 0.2]], index=["G0"], columns=GENES)
    moved = pd.DataFrame([[False, True, True, False, False, True, True, False]], index=["G0"], columns=GENES)
    predicted = {"right": observed, "wrong": -observed, "none": 0 * observed}
    scores = score_changes(predicted, observed, moved, pd.Series({"G0": 30})).set_index("method")
    assert scores["spearman"].tolist() == pytest.approx([1, -1, 0])
    assert scores["sign_accuracy"].tolist() == [1, 0, 0.5]
    assert scores["error"].tolist() == pytest.approx([0, 2, 1])
    assert (scores[["n_cells", "n_moved"]] == [30, 4]).all(axis=None)


def test_signs_of_few_genes_do_not_count_in_the_summary() -> None:
    scores = pd.DataFrame(
        {
            "regulator": ["A", "B"],
            "method": "scdual",
            "n_moved": [50, 2],
            "spearman": [0.4, 0.2],
            "sign_accuracy": [0.8, 0.0],
            "error": [1.0, 2.0],
        }
    )
    check = PerturbationCheck(scores, pd.DataFrame(index=["A", "B"]), pd.DataFrame(), {}, {})
    assert check.summary().loc["scdual"].tolist() == pytest.approx([0.3, 0.8, 1.5])
    assert "2 perturbations" in repr(check)
    assert "signs of the 1 that moved" in repr(check)
    assert "not judged" not in repr(check)
    left_out = {"C": "no regulator", "D": "not among the genes", "E": "no regulator"}
    told = repr(replace(check, left_out=left_out)).splitlines()[-1]
    assert told == "3 are not judged, see `left_out`: 2 no regulator, 1 not among the genes"
