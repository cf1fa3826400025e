"""Groups of cells get names that differ and can be read back, and positions in the data."""

import numpy as np
import pandas as pd
import pytest

from scdual._constants import evidence_key, group_of, regulation_key
from scdual.model._groups import group_cells, group_names

ODD_NAMES = [
    *("A/B", "A|B", "A%2FB", "a\\b", "", " ", ".", "..", "Treg ", "CD4+ T", "β-cell", "mono 2.1", "50%", "x\ty", "__x"),
    *("%", "/", "regulation", "1", "nan", "T_NK"),
]


@pytest.fixture
def obs() -> pd.DataFrame:
    kind = pd.Categorical(["B", "T", "B", "T", None, "B"], categories=["T", "B", "unused"])
    table = {"kind": kind, "dose": [1, 1, 2, 1, 1, 1], "is_treated": [True, False, True, False, True, True]}
    return pd.DataFrame(table, index=[f"cell_{i}" for i in range(6)])


def test_groups_keep_the_order_of_categories_without_unused_and_missing(obs: pd.DataFrame) -> None:
    groups = group_cells("kind", obs)
    assert {name: cells.tolist() for name, cells in groups.items()} == {"T": [1, 3], "B": [0, 2, 5]}
    assert list(groups) == ["T", "B"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [("dose", {"1": [0, 1, 3, 4, 5]}), ("is_treated", {"False": [1, 3], "True": [0, 2, 4, 5]})],
)
@pytest.mark.filterwarnings("ignore:1 of 2 groups have no map")
def test_numbers_and_truth_values_are_groups(obs: pd.DataFrame, column: str, expected: dict[str, list[int]]) -> None:
    assert {name: cells.tolist() for name, cells in group_cells(column, obs).items()} == expected


def test_two_columns_are_joined_and_a_missing_part_is_no_group(obs: pd.DataFrame) -> None:
    groups = group_cells(["kind", "is_treated"], obs)
    assert {name: cells.tolist() for name, cells in groups.items()} == {"T | False": [1, 3], "B | True": [0, 2, 5]}


def test_positions_are_those_of_the_data(obs: pd.DataFrame) -> None:
    assert group_cells("kind", obs, np.array([5, 2, 1, 3]))["B"].tolist() == [5, 2]


def test_joined_names_can_be_taken_apart() -> None:
    parts = ["a", "a | b", "|", "a|", "|b", "", "a || b"]
    obs = pd.DataFrame([(first, second) for first in parts for second in parts for _ in range(2)], columns=["x", "y"])
    names = list(group_cells(["x", "y"], obs))
    assert len(names) == len(parts) ** 2
    apart = {tuple(part.replace("||", "|") for part in name.split(" | ")) for name in names}
    assert apart == {(first, second) for first in parts for second in parts}


def test_a_single_cell_is_left_out_with_a_warning(obs: pd.DataFrame) -> None:
    with pytest.warns(UserWarning, match=r"1 of 2 groups have no map and are left out, because a single cell.*\['2'\]"):
        assert list(group_cells("dose", obs)) == ["1"]


def test_nothing_but_single_cells_is_an_error(obs: pd.DataFrame) -> None:
    obs["own"] = obs.index
    with pytest.raises(ValueError, match="None of the 6 groups of `groupby` has a map, because a single cell"):
        group_cells("own", obs)


@pytest.mark.parametrize("pair", [(1, "1"), (True, "True"), (1.0, "1.0")])
def test_groups_that_read_the_same_are_refused(obs: pd.DataFrame, pair: tuple[object, object]) -> None:
    obs["mixed"] = pd.Series([pair[i % 2] for i in range(6)], obs.index, dtype=object)
    with pytest.raises(ValueError, match=r"`obs\['mixed'\]`, which has groups that read the same.*astype\(str\)"):
        group_names("groupby", "mixed", obs)


@pytest.mark.parametrize("groupby", ["kinds", ["kind", "doses"], 3, None, ("kind", "nope")])
def test_a_column_that_is_not_there_is_named(obs: pd.DataFrame, groupby: object) -> None:
    with pytest.raises(
        KeyError, match=r"`groupby=.*` is not a column of `obs`, which has \['kind', 'dose', 'is_treated'\]"
    ):
        group_names("groupby", groupby, obs)


@pytest.mark.parametrize("groupby", [[], ["kind", "kind"]])
def test_columns_are_named_once(obs: pd.DataFrame, groupby: list[str]) -> None:
    with pytest.raises(ValueError, match="`groupby` has"):
        group_names("groupby", groupby, obs)


def test_keys_of_groups_can_be_read_back_and_never_collide() -> None:
    keys = [regulation_key(name) for name in ODD_NAMES]
    assert [group_of(key) for key in keys] == ODD_NAMES
    assert len(set(keys)) == len(ODD_NAMES)
    everywhere = {*keys, *(evidence_key(key, name) for key in keys for name in ("sd", "support"))}
    assert len(everywhere) == 3 * len(ODD_NAMES)
    assert not any(character in key for key in everywhere for character in "/\\\t")


@pytest.mark.parametrize("name", ["B cell", "CD4+ T", "mono 2.1", "β-cell", "A|B"])
def test_plain_names_stay_as_they_are(name: str) -> None:
    assert regulation_key(name) == f"scdual_regulation_{name}"


def test_keys_of_evidence_end_as_those_of_the_network() -> None:
    assert evidence_key("scdual_regulation", "sd") == "scdual_sd"
    assert evidence_key("scdual_regulation_A%2FB", "support") == "scdual_support_A%2FB"


@pytest.mark.parametrize("key", ["scdual_regulation", "scdual_attention", "scdual_support_NK", "other"])
def test_other_keys_are_of_no_group(key: str) -> None:
    assert group_of(key) is None


def test_a_measurement_makes_no_groups(obs: pd.DataFrame) -> None:
    obs["depth"] = np.linspace(0, 1, 6)
    with pytest.raises(
        ValueError, match="`groupby` names a column that holds 6 different numbers in 6 cells, e.g. 0.2"
    ):
        group_cells("depth", obs)
