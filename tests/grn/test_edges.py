"""Tables of any type become the same edges, and bad ones are refused in one sentence."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from scdual.grn import RegulatoryNetwork
from scdual.grn._edges import check_no_repeats, check_strengths, read_edges, signed_weights, spell_edges

TABLE = pd.DataFrame({"source": ["GATA1", "SPI1"], "target": ["HBB", "CD14"], "weight": [1.0, -0.25]})
TEXT = pd.Index(["a"], dtype=str).dtype


def test_the_result_has_four_columns_and_numbered_rows() -> None:
    edges = read_edges(TABLE.set_index(pd.Index([7, 7])))
    assert list(edges.columns) == ["source", "target", "strength", "sign"]
    assert list(edges.index) == [0, 1]
    assert edges.dtypes.tolist() == [TEXT, TEXT, np.float64, np.int8]


@pytest.mark.parametrize("dtype", ["object", "category", "string"])
def test_names_of_any_text_type_are_read(dtype: str) -> None:
    frame = TABLE.astype({"source": dtype, "target": dtype})
    pd.testing.assert_frame_equal(read_edges(frame), read_edges(TABLE))


@pytest.mark.parametrize("table", [TABLE.to_dict("list"), dict(TABLE.items())], ids=["lists", "series"])
def test_a_mapping_of_columns_is_a_table(table: dict) -> None:
    pd.testing.assert_frame_equal(read_edges(table), read_edges(TABLE))


def test_numbers_are_names_and_blanks_are_stripped() -> None:
    edges = read_edges({"source": [7157, 672.0], "target": [" HBB", "CD14\t"]})
    assert edges["source"].tolist() == ["7157", "672"]
    assert edges["target"].tolist() == ["HBB", "CD14"]


def test_an_empty_table_has_no_edges() -> None:
    edges = read_edges(TABLE.iloc[:0])
    assert len(edges) == 0
    assert edges.dtypes.tolist() == [TEXT, TEXT, np.float64, np.int8]


def test_a_network_s_own_table_is_read() -> None:
    network = RegulatoryNetwork(np.array([[0.5, -0.25]]), ["A"], ["x", "y"])
    edges = read_edges(network.to_frame())
    assert edges.to_numpy().tolist() == [["A", "x", 0.5, 1], ["A", "y", 0.25, -1]]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        pytest.param([("A", "B")], "Found a prior of type list, expected a DataFrame", id="list"),
        pytest.param(None, "type NoneType", id="None"),
        pytest.param(
            RegulatoryNetwork(np.ones((1, 1)), ["A"], ["B"]), "of a network, its `to_frame\\(\\)`", id="network"
        ),
    ],
)
def test_what_is_no_table_is_an_error(table: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        read_edges(table, role="prior")


@pytest.mark.parametrize("table", [{"source": "A", "target": "B"}, {"source": ["A"], "target": ["B", "C"]}], ids=str)
def test_columns_that_make_no_table_are_an_error(table: dict) -> None:
    with pytest.raises(ValueError, match="The columns .* of the prior make no table .*one length each"):
        read_edges(table, role="prior")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "1 of 2 edges of the prior lack a source or target name"),
        ("  ", "1 of 2 edges of the prior lack a source or target name"),
        ("GATA1\x1b[31m", r"1 names of the prior hold control characters, e.g. 'GATA1\\x1b\[31m'"),
        ("GATA1\nSPI1", "control characters"),
    ],
)
@pytest.mark.parametrize("side", ["source", "target"])
def test_names_that_are_none_are_an_error(side: str, name: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_edges(TABLE.assign(**{side: ["SPI1", name]}), role="prior")


def test_ensembl_ids_match_without_their_version_and_a_warning_says_so() -> None:
    edges = read_edges({"source": ["ENSG00000102145", "ENSG00000066336.9"], "target": ["HBB", "ENSG00000102145.1"]})
    genes = pd.Index(["ENSG00000102145.16", "ENSG00000066336", "HBB"])
    with pytest.warns(UserWarning, match="3 names of the prior .*, e.g. ENSG00000066336.9 as ENSG00000066336. "):
        spelled = spell_edges(edges, genes, role="prior")
    assert spelled["source"].tolist() == ["ENSG00000102145.16", "ENSG00000066336"]
    assert spelled["target"].tolist() == ["HBB", "ENSG00000102145.16"]


def test_equal_names_and_blanks_give_no_warning() -> None:
    edges = read_edges(TABLE)
    pd.testing.assert_frame_equal(spell_edges(edges, pd.Index(["GATA1", "HBB", "x"]), role="prior"), edges)
    assert spell_edges(edges, pd.Index(["GATA1 "]), role="prior")["source"].tolist() == ["GATA1 ", "SPI1"]


def test_repeated_pairs_are_an_error_that_names_them() -> None:
    with pytest.raises(
        ValueError, match="1 of 3 edges of the prior have a pair that is repeated, e.g. .*GATA1 -> HBB.*drop_duplicates"
    ):
        check_no_repeats(read_edges(pd.concat([TABLE, TABLE.head(1)])), role="prior")
    check_no_repeats(read_edges(TABLE), role="prior")


@pytest.mark.parametrize(("weight", "what"), [(0.0, "a weight of zero"), (np.nan, "no weight")])
def test_edges_without_a_strength_are_an_error(weight: float, what: str) -> None:
    edges = read_edges(TABLE.assign(weight=[1.0, weight]))
    with pytest.raises(ValueError, match=f"1 of 2 edges of the prior have {what}, e.g. .*SPI1 -> CD14"):
        check_strengths(edges, role="prior")


def test_signed_weights_are_those_of_the_table() -> None:
    assert signed_weights(read_edges(TABLE.assign(weight=[0.0, -0.25])), role="table").tolist() == [0, -0.25]
    assert signed_weights(read_edges(TABLE.drop(columns="weight").assign(mor=[1, -1])), role="table").tolist() == [
        1,
        -1,
    ]


@pytest.mark.parametrize("columns", [{}, {"importance": [2.0, 1.0]}, {"sign": [1, 0]}], ids=str)
def test_weights_without_a_sign_are_an_error(columns: dict) -> None:
    edges = read_edges(TABLE.drop(columns="weight").assign(**columns))
    with pytest.raises(ValueError, match="have an unknown sign, e.g. .*column 'weight', or signs in a column 'sign'"):
        signed_weights(edges, role="table")
