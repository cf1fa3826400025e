"""Pictures of comparisons colour and name what passes, and only that."""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scdual import pl
from scdual.grn import ConditionComparison


@pytest.fixture
def comparison() -> ConditionComparison:
    """Return two groups: two of three edges pass in B cells, none in T cells."""
    edges = pd.DataFrame(
        {
            "group": ["B", "B", "B", "T"],
            "source": ["IRF7", "STAT1", "JUN", "JUN"],
            "target": ["ISG15", "ISG15", "LYZ", "LYZ"],
            "difference": [0.5, -0.4, 0.1, 0.1],
            "se": [0.1, 0.1, 0.1, 0.1],
            "z": [5.0, -4.0, 1.0, 1.0],
            "p_value": [1e-6, 1e-4, 0.3, 0.3],
            "q_value": [1e-5, 1e-3, 0.3, 0.3],
        }
    )
    regulators = pd.DataFrame(
        {
            "group": ["B", "B", "T"],
            "regulator": ["STAT1", "JUN", "JUN"],
            "activity_difference": [7.8, 0.1, 0.1],
            "se": [0.1, 0.1, 0.1],
            "p_value": [0.0, 0.3, 0.3],
            "q_value": [0.0, 0.3, 0.3],
        }
    )
    units = pd.DataFrame(
        {"group": list("BBTT"), "condition": ["ctrl", "stim"] * 2, "donor": [None] * 4, "n_cells": [50] * 4}
    )
    return ConditionComparison(edges, regulators, units, "ctrl")


def names(ax: object) -> set[str]:
    return {text.get_text() for text in ax.texts}


def test_edges_that_pass_are_named(comparison: ConditionComparison) -> None:
    ax = pl.edge_volcano(comparison, "B")
    assert names(ax) == {"IRF7 → ISG15", "STAT1 → ISG15"}
    assert (
        ax.get_title()
        == "B: 2 of 3 edges change (q\N{NO-BREAK SPACE}≤\N{NO-BREAK SPACE}0.05, unit:\N{NO-BREAK SPACE}cells)"
    )
    assert ax.get_xlabel() == "difference of the weight, stim − ctrl\n(SD of the target per SD of the regulator)"
    points = {(float(x), round(float(y), 6)) for line in ax.lines for x, y in zip(*line.get_data(), strict=True)}
    assert {(0.5, 6.0), (-0.4, 4.0), (0.1, round(-np.log10(0.3), 6))} <= points


def test_where_nothing_passes_nothing_is_named(comparison: ConditionComparison) -> None:
    ax = pl.edge_volcano(comparison, "T")
    assert names(ax) == set()
    assert "none of 1 edges change" in ax.get_title()


def test_p_values_too_small_for_a_number_have_a_place(comparison: ConditionComparison) -> None:
    ax = pl.regulator_volcano(comparison, "B")
    assert names(ax) == {"STAT1"}
    assert ax.texts[0].xy == pytest.approx((7.8, 1322.9), rel=1e-3)  # of a z value of 78


def test_several_groups_have_to_be_named(comparison: ConditionComparison) -> None:
    for draw in (pl.edge_volcano, pl.regulator_volcano, pl.difference_network):
        with pytest.raises(ValueError, match=r"`group` is None, but the comparison has several, \['B', 'T'\]"):
            draw(comparison)


def test_a_group_of_a_comparison_without_groups_is_an_error(comparison: ConditionComparison) -> None:
    one = comparison.select("B")
    plain = ConditionComparison(one.edges, one.regulators, one.units.drop(columns="group"), "ctrl")
    with pytest.raises(ValueError, match="`group` is 'B', but the comparison has no groups. Leave it out"):
        pl.edge_volcano(plain, "B")


def test_a_comparison_of_no_pair_is_an_error(comparison: ConditionComparison) -> None:
    nothing = ConditionComparison(comparison.edges[:0], comparison.regulators[:0], comparison.units, "ctrl")
    for draw in (pl.edge_volcano, pl.regulator_volcano):
        with pytest.raises(ValueError, match="The comparison has no pair of genes"):
            draw(nothing, "B")


def test_the_network_holds_what_passes(comparison: ConditionComparison) -> None:
    ax = pl.difference_network(comparison, "B")
    assert {"IRF7", "STAT1", "ISG15"} == names(ax)
    assert ax.get_legend().get_texts()[0].get_text() == "weight higher in stim than in ctrl →"
    assert ax.get_title() == "Edges that change in B (q\N{NO-BREAK SPACE}≤\N{NO-BREAK SPACE}0.05)"


def test_a_network_of_nothing_is_an_error_that_says_so(comparison: ConditionComparison) -> None:
    with pytest.raises(ValueError, match="None of 1 edges has a q value of at most 0.05.*smallest q value is 0.3"):
        pl.difference_network(comparison, "T")


@pytest.fixture
def adata() -> AnnData:
    obs = pd.DataFrame({"type": ["B", "B", "T", "T"], "condition": ["c", "s"] * 2}, index=list("abcd"))
    adata = AnnData(np.ones((4, 1)), obs=obs)
    activity = {"flat": [1.0, 1, 1, 1], "high in B": [3.0, 5, 1, 1], "weak": [1.0, 0, 0, 0.5]}
    adata.obsm["scdual_activity"] = pd.DataFrame(activity, index=adata.obs_names)
    return adata


def test_dots_tell_mean_and_share(adata: AnnData) -> None:
    ax = pl.activity_dotplot(adata, "type", ["high in B", "weak"])
    dots = ax.collections[0]
    scaled = adata.obsm["scdual_activity"]
    scaled = ((scaled - scaled.mean()) / scaled.std(ddof=0))[["high in B", "weak"]]
    groups = adata.obs["type"].to_numpy()
    np.testing.assert_allclose(dots.get_array(), scaled.groupby(groups).mean().to_numpy().ravel())
    np.testing.assert_allclose(dots.get_sizes() / 150, (scaled > 0).groupby(groups).mean().to_numpy().ravel())
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["B", "T"]


@pytest.mark.parametrize("draw", [pl.activity_dotplot, pl.activity_heatmap], ids=lambda draw: draw.__name__)
def test_one_extreme_group_does_not_bleach_the_others(draw: Callable) -> None:
    obs = pd.DataFrame({"type": [f"type {i % 8}" for i in range(400)]}, index=[f"cell {i}" for i in range(400)])
    adata = AnnData(np.ones((400, 1)), obs=obs)
    signs = np.array([[(-1.0) ** (cell % 8 + regulator) for regulator in range(10)] for cell in range(400)])
    activity = pd.DataFrame(signs, index=adata.obs_names, columns=[f"R{i}" for i in range(10)])
    adata.obsm["scdual_activity"] = activity

    def colours() -> object:
        ax = draw(adata, "type")
        return [*ax.images, *ax.collections][0]

    assert colours().norm.vmax == pytest.approx(1)
    assert colours().colorbar.extend == "neither"
    activity.iloc[0::8, :2] = 50.0
    drawn = colours()
    size = np.sort(np.abs(drawn.get_array()).ravel())
    assert drawn.norm.vmax == pytest.approx(1, abs=0.1)
    assert list(size[-2:]) == pytest.approx([np.sqrt(7)] * 2, rel=0.1)  # one type in eight is far from the others
    assert drawn.colorbar.extend == "both"


def test_regulators_that_differ_most_are_shown(adata: AnnData) -> None:
    ax = pl.activity_heatmap(adata, ["type", "condition"], n_regulators=2)
    assert {tick.get_text() for tick in ax.get_xticklabels()} == {"high in B", "weak"}
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["B | c", "B | s", "T | c", "T | s"]
    assert ax.images[0].get_array().shape == (4, 2)


def test_missing_activities_name_the_call_that_makes_them(adata: AnnData) -> None:
    del adata.obsm["scdual_activity"]
    with pytest.raises(KeyError, match="regulator_activity.*key_added='scdual_activity'"):
        pl.activity_heatmap(adata, "type")


def test_pictures_change_nothing(adata: AnnData, contents: object) -> None:
    before = contents(adata)
    pl.activity_dotplot(adata, "type")
    pl.activity_heatmap(adata, "type")
    assert contents(adata) == before


def test_names_stand_on_the_side_of_their_points(comparison: ConditionComparison) -> None:
    """What falls is named at the left, so that no line crosses the picture; names and points do not meet."""
    ax = pl.edge_volcano(comparison, "B")
    ax.figure.draw_without_rendering()
    box = {text.get_text(): text.get_window_extent() for text in ax.texts}
    part = plt.figure(layout="constrained").subfigures(1, 2)[0]
    assert names(pl.edge_volcano(comparison, "B", ax=part.subplots())) == set(box)
    falls, rises = ax.transData.transform([(-0.4, 4.0), (0.5, 6.0)])[:, 0]
    assert ax.get_window_extent().x0 <= box["STAT1 → ISG15"].x0
    assert box["STAT1 → ISG15"].x1 < falls
    assert box["IRF7 → ISG15"].x0 > rises
