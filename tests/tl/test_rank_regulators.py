"""Regulators are ranked by the sum of their absolute weights, whatever the order of the genes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from scdual.grn import EdgeEvidence, RegulatoryNetwork
from scdual.tl import rank_regulators


def test_strengths_and_numbers_agree_with_a_loop(network: RegulatoryNetwork) -> None:
    table = rank_regulators(network)
    for name, row in zip(network.regulators, network.weight.tolist(), strict=True):
        assert table.loc[name, "activation"] == sum(w for w in row if w > 0)
        assert table.loc[name, "repression"] == sum(-w for w in row if w < 0)
        assert table.loc[name, "strength"] == sum(map(abs, row))
        assert table.loc[name, "n_activated"] == sum(w > 0 for w in row)
        assert table.loc[name, "n_repressed"] == sum(w < 0 for w in row)


def test_strongest_first_ties_by_name_and_no_edge_last(network: RegulatoryNetwork) -> None:
    table = rank_regulators(network)
    assert table.index.name == "regulator"
    assert list(table.index) == ["C", "A", "D", "B"]
    assert list(table["rank"]) == [1, 2, 3, 4]


def test_evidence_does_not_change_the_ranking(network: RegulatoryNetwork) -> None:
    ones = np.ones(network.weight.shape)
    sure = replace(network, evidence=EdgeEvidence(ones, ones, ones, ones.astype(int)))
    pd.testing.assert_frame_equal(rank_regulators(sure), rank_regulators(network))
    table = sure.to_frame()
    assert list(table)[2:] == ["weight", "sd", "support", "q_value", "n_cells"]
    pd.testing.assert_frame_equal(rank_regulators(table), rank_regulators(network.to_frame()))


def test_order_of_genes_does_not_matter(network: RegulatoryNetwork) -> None:
    shuffled = network.subset(list("DCBA"), ["y", "D", "v", "x", "w", "A"])
    pd.testing.assert_frame_equal(rank_regulators(shuffled), rank_regulators(network))


def test_sums_keep_every_digit_in_any_order_of_genes() -> None:
    rng = np.random.default_rng(0)
    genes = [f"g{i}" for i in range(500)]
    weight = rng.lognormal(sigma=8, size=(5, 500)) * rng.choice([-1, 1], (5, 500))
    network = RegulatoryNetwork(weight, list("ABCDE"), genes)
    expected = rank_regulators(network)
    for seed in range(5):
        order = np.random.default_rng(seed)
        pd.testing.assert_frame_equal(
            rank_regulators(network.subset(order.permutation(list("ABCDE")), order.permutation(genes))),
            expected,
            check_exact=True,
        )


def test_sums_are_those_of_the_whole_table(network: RegulatoryNetwork) -> None:
    by_source = network.to_frame().assign(weight=lambda edges: edges["weight"].abs()).groupby("source")["weight"].sum()
    pd.testing.assert_series_equal(
        rank_regulators(network)["strength"].drop("B").sort_index(), by_source, check_names=False, check_dtype=False
    )


def test_a_table_ranks_like_its_network(network: RegulatoryNetwork) -> None:
    pd.testing.assert_frame_equal(rank_regulators(network.to_frame()), rank_regulators(network).drop("B"))


def test_flipping_every_sign_swaps_activation_and_repression(network: RegulatoryNetwork) -> None:
    flipped = RegulatoryNetwork(-network.weight, network.regulators, network.targets)
    swap = {"activation": "repression", "repression": "activation"}
    swap |= {"n_activated": "n_repressed", "n_repressed": "n_activated"}
    expected = rank_regulators(network).rename(columns=swap)
    pd.testing.assert_frame_equal(rank_regulators(flipped), expected[rank_regulators(flipped).columns])


@pytest.mark.parametrize("shape", [(0, 3), (2, 3)], ids=["no regulator", "no edge"])
def test_network_without_edges_has_no_strength(shape: tuple[int, int]) -> None:
    table = rank_regulators(RegulatoryNetwork(np.zeros(shape), list("AB")[: shape[0]], list("xyz")))
    assert len(table) == shape[0]
    assert (table["strength"] == 0).all()
