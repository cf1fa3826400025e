"""Each tool's columns give the same edges, and no column that carries signs is passed over without a word."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from scdual.grn._edges import read_edges

PAIRS = {"source": ["GATA1", "SPI1", "MYC"], "target": ["HBB", "CD14", "TP53"]}


def table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(PAIRS | columns)


def renamed(source: str, target: str, **columns: Any) -> pd.DataFrame:
    return table(**columns).rename(columns={"source": source, "target": target})


def signs(frame: pd.DataFrame) -> list[int]:
    return read_edges(frame)["sign"].tolist()


FORMATS = {
    "pairs alone": (table(), [1, 1, 1], [0, 0, 0]),
    "decoupler 2": (table(weight=[1.0, -0.5, 0.25]), [1, 0.5, 0.25], [1, -1, 1]),
    "collectri": (
        table(weight=[1, -1, 1], resources=["a", "b", "c"], references="1", sign_decision=["PMID", "default", "PMID"]),
        [1, 1, 1],
        [1, -1, 1],
    ),
    "decoupler 1": (table(mor=[1, -1, 1], likelihood=[1, 0.5, 0.25]), [1, 0.5, 0.25], [1, -1, 1]),
    "dorothea": (renamed("tf", "target", confidence=["A", "B", "C"], mor=[1, -1, 1]), [1, 1, 1], [1, -1, 1]),
    "graded mor": (table(mor=[1, -0.5, 0.25]), [1, 0.5, 0.25], [1, -1, 1]),
    "sign": (table(sign=[1, -1, np.nan]), [1, 1, 1], [1, -1, 0]),
    "sizes and sign": (table(weight=[1, 0.5, 0.25], sign=[1, -1, 0]), [1, 0.5, 0.25], [1, -1, 0]),
    "sizes and mor": (table(weight=[1, 0.5, 0.25], mor=[1, -1, 1]), [1, 0.5, 0.25], [1, -1, 1]),
    "weight and sign": (table(weight=[1, -0.5, 0.25], sign=[1, -1, 0]), [1, 0.5, 0.25], [1, -1, 1]),
    "celloracle": (
        table(
            **{"coef_mean": [1, -0.5, 0.25], "coef_abs": [1, 0.5, 0.25], "p": [0.1, 0.2, 0.3], "-logp": [1, 0.7, 0.5]}
        ),
        [1, 0.5, 0.25],
        [1, -1, 1],
    ),
    "grnboost2": (renamed("TF", "target", importance=[8.0, 4.0, 2.0]), [8, 4, 2], [0, 0, 0]),
    "pyscenic": (
        renamed("TF", "target", importance=[8, 4, 2], regulation=[1, -1, 0], rho=[0.4, -0.2, 0.01]),
        [8, 4, 2],
        [1, -1, 0],
    ),
    "trrust": (
        renamed("TF", "Target", Mode=["Activation", "Repression", "Unknown"], PMID=[1, 2, 3]),
        [1, 1, 1],
        [1, -1, 0],
    ),
    "beeline": (renamed("Gene1", "Gene2", Type=["+", "-", "+"]), [1, 1, 1], [1, -1, 1]),
    "omnipath": (
        table(
            source=["P15976", "P17947", "P01106"],
            target=["P68871", "P08571", "P04637"],
            source_genesymbol=PAIRS["source"],
            target_genesymbol=PAIRS["target"],
            is_stimulation=[True, False, True],
            is_inhibition=[False, True, True],
            consensus_stimulation=[1, 0, 0],
            consensus_inhibition=[0, 1, 1],
            type="transcriptional",
        ),
        [1, 1, 1],
        [1, -1, -1],
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_columns_of_each_tool_are_understood(name: str) -> None:
    frame, strength, sign = FORMATS[name]
    before = frame.copy(deep=True)
    edges = read_edges(frame)
    assert edges[["source", "target"]].to_dict("list") == PAIRS
    assert edges["strength"].tolist() == strength
    assert edges["sign"].tolist() == sign
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_read_reads_the_same_again(name: str) -> None:
    edges = read_edges(FORMATS[name][0])
    pd.testing.assert_frame_equal(read_edges(edges), edges)


@pytest.mark.parametrize(
    "values",
    [
        ["activates", "REPRESSES", "unknown"],
        ["positive", "negative", ""],
        ["up", "down", None],
        ["+", "-", "?"],
        ["1", "-1", "0"],
        pd.Categorical([1, -1, 0]),
        pd.array([1, -1, None], dtype="Int64"),
    ],
    ids=str,
)
def test_signs_may_be_numbers_or_words(values: Any) -> None:
    assert signs(table(sign=values)) == [1, -1, 0]


@pytest.mark.parametrize(
    "values", [[0.3, -1, 1], ["strong", "weak", "-"], [True, False, True], [[1], [2], [3]]], ids=str
)
def test_a_sign_column_with_anything_else_is_an_error(values: list) -> None:
    with pytest.raises(ValueError, match="column `sign` of the table has values like .*expected -1, 0 and 1 or words"):
        read_edges(table(sign=values))


@pytest.mark.parametrize("values", ["transcriptional", 1, [1, 2, 1]], ids=str)
def test_a_type_column_that_holds_no_signs_is_none(values: Any) -> None:
    assert signs(table(type=values)) == [0, 0, 0]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"weight": [1, -0.5, 1], "sign": [-1, -1, 1]}, "1 of 3 .*column `weight` than in `sign`, e.g. .*GATA1 -> HBB"),
        ({"sign": [1, -1, 1], "mor": [1, 1, 1]}, "1 of 3 .*column `mor` than in `sign`, e.g. .*SPI1 -> CD14"),
        ({"mor": [1, -1, 1], "effect": [-1, 1, -1]}, "3 of 3 .*column `effect` than in `mor`"),
    ],
)
def test_columns_that_contradict_each_other_are_an_error(columns: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_edges(table(**columns))


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"direction": [1, -1, 1]}, "direction.*signs are unknown"),
        ({"what": ["up", "down", "up"]}, "what.*signs are unknown"),
        ({"importance": [3, 2, 1], "rho": [0.4, -0.2, 0.1]}, "rho.*signs are unknown"),
        ({"weight": [3, 2, 1], "correlation": [0.4, -0.2, 0.1]}, "correlation.*taken as activating"),
    ],
)
def test_signs_under_another_name_are_not_passed_over_in_silence(columns: dict, found: str) -> None:
    with pytest.warns(UserWarning, match=f"{found}.* 'sign'"):
        read_edges(table(**columns))


def test_other_columns_are_of_no_interest() -> None:
    extra = {
        "p_value": [0.1, 0.2, 0.3],
        "note": ["a", None, "b"],
        "evidence": [["x"], [], ["y"]],
        "flag": [True, False, True],
    }
    pd.testing.assert_frame_equal(read_edges(table(**extra)), read_edges(table()))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"weight": ["strong", 1, 2]},
            r"1 of 3 .*no number in the column `weight`, such as \['strong'\].*expected numbers",
        ),
        ({"weight": [np.inf, 1, 2]}, "1 of 3 .*column `weight` that is not finite, e.g. .*GATA1 -> HBB"),
        ({"weight": [1j, 1, 2]}, "complex number in the column `weight`"),
        ({"importance": [1, -1, 2]}, "1 of 3 .*negative value in the column `importance`"),
        ({"mor": ["?", 1, 2]}, "no number in the column `mor`"),
    ],
)
def test_bad_numbers_are_an_error_that_names_the_edge(columns: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_edges(table(**columns))


@pytest.mark.parametrize(
    "values", [["1", "-0.5", "2"], pd.array([1, -0.5, 2], dtype="Float64"), np.float32([1, -0.5, 2])]
)
def test_numbers_of_any_type_are_weights(values: Any) -> None:
    edges = read_edges(table(weight=values))
    assert edges["strength"].tolist() == [1, 0.5, 2]
    assert edges["sign"].tolist() == [1, -1, 1]


def test_a_missing_weight_is_missing_with_an_unknown_sign() -> None:
    edges = read_edges(table(weight=[1.0, np.nan, -1.0]))
    np.testing.assert_array_equal(edges["strength"], [1, np.nan, 1])
    assert edges["sign"].tolist() == [1, 0, -1]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (renamed("factor", "target"), r"columns \['factor', 'target'\].*\['source'\] missing. Rename or add"),
        (pd.DataFrame([["A", "B"]]), r"columns \[0, 1\].*\['source', 'target'\] missing"),
        (
            pd.DataFrame([["A", "B", "C"]], columns=["source", "target", "target"]),
            r"columns of the same name: \['target', 'target'\]",
        ),
        (table(weight=[1, 2, 3], Weight=[-1, -2, -3]), r"several columns of the same name: \['weight', 'Weight'\]"),
    ],
)
def test_columns_that_name_no_genes_are_an_error(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_edges(frame)
