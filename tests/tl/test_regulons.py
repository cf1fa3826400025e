"""Regulons list each regulator's targets by sign, the strongest first."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from scdual.grn import EdgeEvidence, RegulatoryNetwork, from_frame
from scdual.tl import rank_regulators, regulons


def loop_regulon(network: RegulatoryNetwork, source: str, sign: int) -> list[str]:
    """Return the targets of one sign, strongest first, ties by name."""
    row = network.weight[list(network.regulators).index(source)]
    signed = [(-abs(w), name) for w, name in zip(row.tolist(), network.targets, strict=True) if w * sign > 0]
    return [name for _, name in sorted(signed)]


@pytest.mark.parametrize("top", [None, 0, 1, 2, 100])
def test_each_regulon_agrees_with_a_loop(network: RegulatoryNetwork, top: int | None) -> None:
    table = regulons(network, top=top)
    n_rows = 0
    for source in network.regulators:
        for sign in (1, -1):
            part = table[(table["source"] == source) & (table["sign"] == sign)]
            assert list(part["target"]) == loop_regulon(network, source, sign)[:top]
            assert list(part["rank"]) == list(range(1, len(part) + 1))
            n_rows += len(part)
    assert len(table) == n_rows


def test_strong_regulators_and_activation_come_first(network: RegulatoryNetwork) -> None:
    blocks = regulons(network)[["source", "sign"]].drop_duplicates()
    assert list(blocks.itertuples(index=False, name=None)) == [("C", 1), ("C", -1), ("A", 1), ("A", -1), ("D", -1)]


def test_evidence_stands_between_weight_and_sign(network: RegulatoryNetwork) -> None:
    evidence = EdgeEvidence(
        *np.full((2, *network.weight.shape), 0.5), n_cells=np.arange(network.weight.size).reshape(4, 6)
    )
    table = regulons(replace(network, evidence=evidence), top=1)
    assert list(table.columns) == ["source", "target", "weight", "sd", "support", "n_cells", "sign", "rank"]
    assert table.loc[0, ["source", "target", "n_cells"]].tolist() == ["C", "v", 13]


def test_the_table_holds_the_same_network(network: RegulatoryNetwork) -> None:
    again = from_frame(regulons(network), network.targets, regulators=network.regulators)
    assert (again.weight == network.weight).all()


@pytest.mark.parametrize("top", [None, 1])
def test_order_of_genes_does_not_matter(network: RegulatoryNetwork, top: int | None) -> None:
    shuffled = network.subset(list("DCBA"), ["y", "D", "v", "x", "w", "A"])
    pd.testing.assert_frame_equal(regulons(shuffled, top=top), regulons(network, top=top))


def test_a_table_gives_the_regulons_of_its_network(network: RegulatoryNetwork) -> None:
    pd.testing.assert_frame_equal(regulons(network.to_frame(), top=1), regulons(network, top=1))


def test_network_without_edges_has_no_regulon(network: RegulatoryNetwork) -> None:
    table = regulons(network.top(0))
    assert list(table.columns) == ["source", "target", "weight", "sign", "rank"]
    assert table.empty


@pytest.mark.parametrize("top", ["5", 2.5, True], ids=str)
def test_a_number_of_targets_that_is_no_whole_number_is_an_error(network: RegulatoryNetwork, top: object) -> None:
    with pytest.raises(TypeError, match="`top` is .*, expected a whole number"):
        regulons(network, top=top)


def test_negative_number_is_an_error(network: RegulatoryNetwork) -> None:
    with pytest.raises(ValueError, match="`top` is -1, expected a whole number of at least 0"):
        regulons(network, top=-1)


def test_symbols_stand_beside_ids() -> None:
    network = RegulatoryNetwork(np.array([[0, 0.9, -0.5]]), pd.Index(["E1"]), pd.Index(["E1", "E2", "E3"]))
    table = regulons(network, gene_symbols={"E1": "SPI1", "E2": "LYZ"})
    assert table[["source_symbol", "target_symbol"]].to_numpy().tolist() == [["SPI1", "LYZ"], ["SPI1", "E3"]]
    ranking = rank_regulators(network, gene_symbols={"E1": "SPI1"})
    assert ranking["symbol"].to_dict() == {"E1": "SPI1"}
