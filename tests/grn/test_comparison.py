"""A comparison of conditions is taken apart by group and condition, and what passes becomes a network."""

import pandas as pd
import pytest

from scdual.grn import ConditionComparison


@pytest.fixture
def comparison() -> ConditionComparison:
    """Return two groups and two doses beside the reference; numbers tell where a row comes from."""
    keys = [(group, dose) for group in ("B", "T") for dose in ("high", "low")]
    tests = {"se": 0.1, "z": 2.0, "p_value": 0.01}
    edges = [
        {
            "group": group,
            "condition": dose,
            "source": source,
            "target": target,
            "difference": value,
            **tests,
            "q_value": q,
        }
        for i, (group, dose) in enumerate(keys)
        for source, target, value, q in (("A", "x", i + 0.5, 0.05), ("A", "y", -1.0 - i, 0.01), ("C", "x", 9.0, 0.0501))
    ]
    regulators = [
        {"group": group, "condition": dose, "regulator": "A", "activity_difference": i, "se": 0.1, "p_value": 0.01}
        | {"q_value": 0.02 if i else 0.3}
        for i, (group, dose) in enumerate(keys)
    ]
    units = [
        {"group": group, "condition": condition, "donor": None, "n_cells": n}
        for group, first in (("B", 10), ("T", 20))
        for n, condition in enumerate(("none", "high", "low"), start=first)
    ]
    return ConditionComparison(*map(pd.DataFrame, (edges, regulators, units)), "none", ["The unit is the cell."])


def test_one_group_and_one_condition_are_selected(comparison: ConditionComparison) -> None:
    one = comparison.select("T", "high")
    assert one.edges["difference"].tolist() == [2.5, -3.0, 9.0]
    assert one.regulators["activity_difference"].tolist() == [2]
    assert dict(zip(one.units["condition"], one.units["n_cells"], strict=True)) == {"none": 20, "high": 21}
    assert one.edges.index.tolist() == [0, 1, 2]
    assert (one.groups, one.conditions, one.reference) == (["T"], ["high"], "none")
    assert len(comparison.edges) == 12


def test_what_passes_becomes_a_network(comparison: ConditionComparison) -> None:
    network = comparison.network(0.05, group="B", condition="low")
    assert network.to_frame()[["source", "target", "weight"]].to_numpy().tolist() == [["A", "y", -2.0], ["A", "x", 1.5]]
    assert network.group == "B"
    assert comparison.network(0.0501, group="B", condition="low").n_edges == 3
    assert comparison.network(0.0, group="B", condition="low").n_edges == 0


def test_several_have_to_be_named(comparison: ConditionComparison) -> None:
    with pytest.raises(ValueError, match="`group` is None, but the comparison has several"):
        comparison.select()
    with pytest.raises(ValueError, match="`condition` is None, but the comparison has several"):
        comparison.select("B")
    with pytest.raises(ValueError, match="none"):
        comparison.select("B", "none")


def test_it_says_how_many_change(comparison: ConditionComparison) -> None:
    lines = repr(comparison).splitlines()
    assert lines[0] == "ConditionComparison of high, low with none in 2 groups"
    assert lines[1:3] == [
        "  edges that change (q <= 0.05): 8 of 12",
        "  regulators that change (q <= 0.05): 3 of 4",
    ]
    assert lines[3] == "  The unit is the cell."


def test_symbols_stand_for_the_names_of_genes(comparison: ConditionComparison) -> None:
    named = comparison.with_symbols({"A": "STAT1", "x": "ISG15"})
    assert set(named.edges["source"]) == {"STAT1", "C"}
    assert set(named.edges["target"]) == {"ISG15", "y"}
    assert set(named.regulators["regulator"]) == {"STAT1"}
