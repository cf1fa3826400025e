"""Symbols of genes whose names are ids."""

import numpy as np
import pandas as pd
import pytest

from scdual.grn import RegulatoryNetwork, from_frame
from scdual.grn._symbols import symbols_of, unique_symbols

IDS = pd.Index(["ENSG1", "ENSG2", "ENSG3", "ENSG4"])
SYMBOLS = pd.Series(["SPI1", "LYZ", "TBCE", "TBCE"], index=IDS)


@pytest.fixture
def network() -> RegulatoryNetwork:
    weight = np.array([[0, 0.9, -0.5, 0.2]], dtype=np.float32)
    var = pd.DataFrame({"symbol": SYMBOLS, "n_cells": [3, 4, 5, 6]})
    return RegulatoryNetwork(weight, IDS[:1], IDS, var=var)


def test_symbols_stand_beside_the_ids(network: RegulatoryNetwork) -> None:
    frame = network.to_frame(gene_symbols="symbol")
    assert list(frame.columns) == ["source", "target", "source_symbol", "target_symbol", "weight"]
    assert frame["source"].unique().tolist() == ["ENSG1"]
    assert frame["target_symbol"].tolist() == ["LYZ", "TBCE", "TBCE"]
    assert frame["source_symbol"].unique().tolist() == ["SPI1"]
    pd.testing.assert_frame_equal(frame.drop(columns=["source_symbol", "target_symbol"]), network.to_frame())
    np.testing.assert_array_equal(from_frame(frame, IDS, regulators=IDS[:1]).weight, network.weight)


@pytest.mark.parametrize("given", [SYMBOLS, SYMBOLS.iloc[::-1], SYMBOLS.to_dict()])
def test_symbols_are_matched_by_name(network: RegulatoryNetwork, given: object) -> None:
    expected = network.to_frame(gene_symbols="symbol")
    pd.testing.assert_frame_equal(network.to_frame(gene_symbols=given), expected)  # type: ignore[arg-type]


def test_a_shared_symbol_has_the_name_behind_it(network: RegulatoryNetwork) -> None:
    named = network.with_symbols("symbol")
    assert list(named.regulators) == ["SPI1"]
    assert list(named.targets) == ["SPI1", "LYZ", "TBCE (ENSG3)", "TBCE (ENSG4)"]
    np.testing.assert_array_equal(named.weight, network.weight)


@pytest.mark.parametrize("missing", [None, np.nan, "", "  "])
def test_a_gene_without_a_symbol_keeps_its_name(missing: object) -> None:
    symbols = pd.Series(["SPI1", missing, "LYZ"], index=IDS[:3], dtype=object)
    assert symbols_of(IDS, symbols, None).tolist() == ["SPI1", "ENSG2", "LYZ", "ENSG4"]


def test_columns_of_categories_are_symbols_too() -> None:
    var = pd.DataFrame({"symbol": SYMBOLS.astype("category")})
    assert unique_symbols(IDS[:2], "symbol", var).tolist() == ["SPI1", "LYZ"]


def test_a_part_of_the_network_keeps_its_symbols(network: RegulatoryNetwork) -> None:
    for part in (network.top(1), network.subset(targets=IDS[:2])):
        assert part.to_frame(gene_symbols="symbol")["target_symbol"].tolist() == ["LYZ"]


def test_later_changes_of_the_table_do_not_reach_the_network() -> None:
    var = pd.DataFrame({"symbol": SYMBOLS})
    network = RegulatoryNetwork(np.array([[0.0, 1.0]]), IDS[:1], IDS[:2], var=var)
    var["symbol"] = "other"
    assert network.with_symbols("symbol").targets.tolist() == ["SPI1", "LYZ"]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("symbols", KeyError, "not a column of `var`.*Did you mean 'symbol'"),
        ("n_cells", KeyError, "not a column of `var`"),
        (3, TypeError, "`gene_symbols` is 3 of type int"),
        ({"GATA1": "x"}, ValueError, "a symbol for none of the 4 genes.*ENSG1.*GATA1"),
        (pd.Series(["a", "b"], index=["ENSG1", "ENSG1"]), ValueError, "more than once"),
    ],
)
def test_what_is_wrong_with_symbols_is_said(
    network: RegulatoryNetwork, given: object, error: type[Exception], words: str
) -> None:
    for call in (network.with_symbols, lambda symbols: network.to_frame(gene_symbols=symbols)):
        with pytest.raises(error, match=words):
            call(given)


def test_a_column_needs_a_table() -> None:
    network = RegulatoryNetwork(np.array([[0.0, 1.0]]), IDS[:1], IDS[:2])
    with pytest.raises(ValueError, match=r"made without a table of its genes\. Pass the column itself"):
        network.with_symbols("symbol")
