"""The correction equals its definition in a loop, and a consensus ranks by both of its sources."""

import numpy as np
import pandas as pd
import pytest

from scdual.grn import (
    EdgeEvidence,
    RegulatoryNetwork,
    average_product_correction,
    consensus_network,
    edge_evidence,
)

REGULATORS, TARGETS = pd.Index(["b", "d", "a"]), pd.Index(["a", "b", "c", "d", "e"])
PAIR_MASK = REGULATORS.to_numpy()[:, None] != TARGETS.to_numpy()


def loop_correction(weight: np.ndarray) -> np.ndarray:
    pairs = [(i, j) for i in range(3) for j in range(5) if PAIR_MASK[i, j]]
    total = sum(abs(weight[pair]) for pair in pairs)
    by_row = [sum(abs(weight[i, j]) for i, j in pairs if i == row) for row in range(3)]
    by_column = [sum(abs(weight[i, j]) for i, j in pairs if j == column) for column in range(5)]
    corrected = {(i, j): abs(weight[i, j]) - by_row[i] * by_column[j] / total for i, j in pairs}
    lowest, highest = min(corrected.values()), max(corrected.values())
    result = np.zeros((3, 5))
    for (i, j), value in corrected.items():
        result[i, j] = np.sign(weight[i, j]) * (value - lowest + 1e-6 * (highest - lowest))
    return result


@pytest.fixture
def correlation() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, size=(3, 5))


@pytest.fixture
def network() -> RegulatoryNetwork:
    weight = np.random.default_rng(1).normal(size=(3, 5)) * PAIR_MASK
    return RegulatoryNetwork(weight, REGULATORS, TARGETS, group="B cell")


def test_average_product_correction_equals_a_loop(correlation: np.ndarray) -> None:
    np.testing.assert_allclose(average_product_correction(correlation, PAIR_MASK), loop_correction(correlation))
    assert not average_product_correction(np.zeros((3, 5)), PAIR_MASK).any()


def test_what_a_regulator_and_a_target_share_with_everybody_is_no_edge() -> None:
    """All pairs are products of a row and a column but one, which comes out first."""
    weight = np.outer([1.0, 2.0, 3.0], [0.1, 0.2, 0.3, 0.1, 0.05])
    weight[0, 4] += 0.2
    assert np.argmax(weight) != 4
    assert np.argmax(average_product_correction(weight, np.ones((3, 5), dtype=bool))) == 4


def test_consensus_is_the_geometric_mean_with_the_signs_of_the_network(
    network: RegulatoryNetwork, correlation: np.ndarray
) -> None:
    consensus = consensus_network(network, correlation)
    expected = np.sign(network.weight) * np.sqrt(np.abs(network.weight * loop_correction(correlation)))
    np.testing.assert_allclose(consensus.weight, expected, rtol=1e-5)
    np.testing.assert_array_equal(consensus_network(network, -correlation).weight, consensus.weight)
    assert consensus.group == "B cell"
    assert list(consensus.regulators) == list(REGULATORS)
    assert list(consensus.targets) == list(TARGETS)


def test_the_order_of_genes_does_not_matter(network: RegulatoryNetwork, correlation: np.ndarray) -> None:
    row, column = [2, 0, 1], [4, 1, 0, 3, 2]
    moved = network.subset(REGULATORS[row], TARGETS[column])
    consensus = consensus_network(moved, correlation[np.ix_(row, column)]).subset(REGULATORS, TARGETS)
    np.testing.assert_allclose(consensus.weight, consensus_network(network, correlation).weight, rtol=1e-5)


def test_evidence_for_the_weights_is_none_for_the_consensus(
    network: RegulatoryNetwork, correlation: np.ndarray
) -> None:
    evidence = edge_evidence(network.weight, np.stack([network.weight] * 2), 0.1 * network.weight)
    assert isinstance(evidence, EdgeEvidence)
    sure = RegulatoryNetwork(network.weight, REGULATORS, TARGETS, evidence=evidence)
    assert consensus_network(sure, correlation).evidence is None


@pytest.mark.parametrize("bad", [np.zeros((5, 3)), np.full((3, 5), np.nan)])
def test_a_correlation_of_another_shape_or_without_values_is_refused(
    network: RegulatoryNetwork, bad: np.ndarray
) -> None:
    with pytest.raises(
        ValueError, match=r"`correlation` has shape .* expected \(3, 5\)|15 values of `correlation` are not finite"
    ):
        consensus_network(network, bad)


def test_what_is_no_network_or_of_another_shape_is_refused(network: RegulatoryNetwork, correlation: np.ndarray) -> None:
    with pytest.raises(TypeError, match="Found a ndarray, expected a RegulatoryNetwork"):
        consensus_network(network.weight, correlation)
    with pytest.raises(ValueError, match=r"`pair_mask` has shape \(3,\), expected \(3, 5\)"):
        average_product_correction(network.weight, np.ones(3, dtype=bool))


def test_float32_and_float64_give_the_same_correction(correlation: np.ndarray) -> None:
    small = correlation.astype(np.float32)
    mask = np.ones(small.shape, dtype=bool)
    np.testing.assert_array_equal(
        average_product_correction(small, mask), average_product_correction(small.astype(np.float64), mask)
    )
