"""Spreadsheet programs take no name for a formula, and no name is lost."""

from pathlib import Path

import pandas as pd
import pytest

from scdual._spreadsheet import guarded, to_csv, unguarded

NAMES = [
    "=cmd|' /C calc'!A0",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "\tx",
    "\r=x",
    "'=x",
    "''-x",
    "'x",
    "GATA1",
    "HLA-A",
    "a=b",
    "",
]


@pytest.mark.parametrize("name", NAMES)
def test_only_what_looks_like_a_formula_gets_an_apostrophe(name: str) -> None:
    found = guarded(pd.DataFrame({"source": [name], "weight": [-0.5]}))
    looks_like_one = name.lstrip("'").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert found["source"].tolist() == [f"'{name}" if looks_like_one else name]
    assert found["weight"].tolist() == [-0.5]


def test_names_come_back_from_the_file(tmp_path: Path) -> None:
    names = [*NAMES, "from Windows\r"]
    frame = pd.DataFrame({"source": names, "target": names[::-1], "weight": [-1.0] * len(names)})
    to_csv(frame, tmp_path / "edges.csv")
    read = pd.read_csv(tmp_path / "edges.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(unguarded(read), frame, check_dtype=False)


def test_usual_names_are_written_as_pandas_does() -> None:
    frame = pd.DataFrame({"source": ["GATA1", "a,b"], "weight": [-0.5, 1]})
    assert to_csv(frame) == frame.to_csv(index=False)


def test_table_of_the_caller_stays_as_it_is() -> None:
    frame = pd.DataFrame({"source": ["=1"], "n": [1]})
    guarded(frame)
    assert frame["source"].tolist() == ["=1"]


def test_missing_values_and_other_objects_pass() -> None:
    frame = pd.DataFrame({"name": ["-x", None, 3]}, dtype=object)
    assert guarded(frame)["name"].tolist() == ["'-x", None, 3]
