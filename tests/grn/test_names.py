"""Names are text, unique, and found among others whatever the version of an Ensembl id."""

import re

import numpy as np
import pandas as pd
import pytest

from scdual.grn._names import (
    as_names,
    name_positions,
    naming_advice,
    self_pairs,
    spelled_as,
    unique_names,
    without_version,
)

TEXT = pd.Index(["a"], dtype=str).dtype  # `str` from pandas 3 on, `object` before


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["A", "B", "A"], id="list"),
        pytest.param(np.array(["A", "B", "A"]), id="array"),
        pytest.param(np.array(["A", "B", "A"], dtype=object), id="objects"),
        pytest.param(pd.Categorical(["A", "B", "A"]), id="category"),
        pytest.param(pd.array(["A", "B", "A"], dtype="string"), id="string"),
    ],
)
def test_names_of_any_type_become_pandas_own_text(names: object) -> None:
    found = as_names(names)
    assert list(found) == ["A", "B", "A"]
    assert found.dtype == TEXT


@pytest.mark.parametrize(
    "names", [[7157, 672], [7157.0, 672.0], ["7157", 672], np.array([7157, 672], dtype=np.float32)]
)
def test_numbers_become_text_without_a_decimal_point(names: object) -> None:
    assert list(as_names(names)) == ["7157", "672"]


def test_no_names_are_text_too() -> None:
    assert as_names([]).dtype == unique_names([], role="genes").dtype == TEXT


def test_unique_names_are_a_copy() -> None:
    given = np.array(["A", "B"], dtype=object)
    found = unique_names(given, role="genes")
    given[:] = "x"
    assert list(found) == ["A", "B"]
    assert found.name is None


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        pytest.param(["A", None], ValueError, "1 of 2 `genes` have no name", id="missing"),
        pytest.param(["A", "B", "A"], ValueError, r"more than once in `genes`: \['A'\]", id="repeated"),
        pytest.param([1, "1"], ValueError, r"more than once in `genes`: \['1'\]", id="number and text"),
        pytest.param("GATA1", TypeError, r"`genes` is 'GATA1' of type str.*\['GATA1'\]", id="text"),
        pytest.param(5, TypeError, "`genes` is 5 of type int, expected names", id="number"),
    ],
)
def test_unclear_names_are_an_error(names: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        unique_names(names, role="genes")


def test_positions_name_what_is_missing() -> None:
    genes = pd.Index(["A", "B", "C"])
    assert name_positions(pd.Index(["C", "A", "C"]), genes, role="genes", where="the list").tolist() == [2, 0, 2]
    with pytest.raises(ValueError, match=r"1 of 2 genes are not in the list: \['X'\]; .* like \['A', 'B', 'C'\]"):
        name_positions(pd.Index(["X", "A"]), genes, role="genes", where="the list")


def test_self_pairs_are_where_the_names_are_equal() -> None:
    row, column = self_pairs(pd.Index(["A", "B", "Q"]), pd.Index(["B", "x", "A"]))
    assert list(zip(row, column, strict=True)) == [(0, 2), (1, 0)]


def test_only_ensembl_ids_lose_what_follows_the_dot() -> None:
    names = ["ENSG00000141510.16", "ENSMUSG00000059552.4", "ENSG00000141510", "RP11-34P13.7", "ENSG1.2"]
    plain = ["ENSG00000141510", "ENSMUSG00000059552", "ENSG00000141510", "RP11-34P13.7", "ENSG1.2"]
    assert [without_version(name) for name in names] == plain


def test_names_are_spelled_as_the_genes_where_one_gene_fits() -> None:
    genes = pd.Index(
        ["ENSG00000141510.16", "ENSG00000012048", "ENSG00000102145.1", "ENSG00000102145.2", "TP53 ", "MYC"]
    )
    asked = [
        "ENSG00000141510",  # the data have a version
        "ENSG00000141510.3",  # another one
        "ENSG00000012048.9",  # only the table has one
        "ENSG00000102145",  # two genes fit
        "ENSG00000102145.2",  # one of them exactly
        " TP53",
        "MYC",
        "unknown",
    ]
    expected = ["ENSG00000141510.16", "ENSG00000141510.16", "ENSG00000012048", *asked[3:5], "TP53 ", "MYC", "unknown"]
    assert list(spelled_as(pd.Index(asked), genes)) == expected
    assert spelled_as(pd.Index(asked), genes).dtype == TEXT


@pytest.mark.parametrize(
    ("names", "genes", "message"),
    [
        (["Gata1", "x"], ["GATA1", "SPI1"], "'Gata1' and 'GATA1' differ in capitals only, .* organism"),
        (["ENSG00000102145"], ["ENSG00000102145.1", "ENSG00000102145.2"], "could be each of .* the version you mean"),
        (["TP53"], ["ENSG00000141510"], r"same identifiers \(symbols or Ensembl\) in both"),
        (["TP53"], [], "same identifiers"),
    ],
)
def test_advice_says_how_the_names_differ(names: list[str], genes: list[str], message: str) -> None:
    assert re.search(message, naming_advice(names, genes))
