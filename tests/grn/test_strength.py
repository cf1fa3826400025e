"""Sums of weights are those of a loop, and the strongest regulator stands first."""

import numpy as np

from scdual.grn import RegulatoryNetwork
from scdual.grn._strength import regulator_strength


def test_sums_agree_with_a_loop() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 7))
    network = RegulatoryNetwork(weight, list("ABCD"), list("tuvwxyz"))
    table = regulator_strength(network)
    for name, row in zip(network.regulators, network.weight.tolist(), strict=True):
        np.testing.assert_allclose(table.loc[name, "activation"], sum(w for w in row if w > 0))
        np.testing.assert_allclose(table.loc[name, "repression"], sum(-w for w in row if w < 0))
        np.testing.assert_allclose(table.loc[name, "strength"], sum(map(abs, row)))


def test_strongest_first_and_ties_by_name() -> None:
    network = RegulatoryNetwork(np.array([[1.0, -1], [0, 2], [0, 0], [0, 3]]), list("DBAC"), list("xy"))
    assert list(regulator_strength(network).index) == list("CBDA")


def test_sums_of_nothing_are_zero() -> None:
    table = regulator_strength(RegulatoryNetwork(np.zeros((0, 1)), [], ["x"]))
    assert table.shape == (0, 3)
    assert table.dtypes.eq(np.float64).all()
